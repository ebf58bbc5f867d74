/** statedump, log rotate, sync, get-state, system::. */
import type { Handler } from '../commands.ts';
import { line } from '../io.ts';
import { fail, operation, succeedXml } from '../outcome.ts';
import { UsageError } from '../session.ts';
import { element } from '../xml.ts';

const dumpOptions = [
  'nfs',
  'quotad',
  'all',
  'mem',
  'iobuf',
  'callpool',
  'priv',
  'fd',
  'inode',
  'history',
  'inodectx',
  'fdctx',
];

export const statedump: Handler = async (session, words) => {
  const [, , volume, first, process] = words;
  if (volume === undefined) throw new UsageError();
  const refuse = () => new UsageError(['Error parsing options'], true);
  let client: string | undefined;
  let options: string[] = [];
  if (first === 'client' && words.length >= 5) {
    if (!/^[^:]+:\d+$/.test(process!)) throw refuse();
    client = process!;
  } else {
    options = words.slice(3);
    if (!options.every((option) => dumpOptions.includes(option))) throw refuse();
    if (options.includes('nfs') && options.includes('quotad')) throw refuse();
  }
  const reply = await session.request(words, {
    verb: 'volume.statedump',
    volume,
    options,
    ...(client !== undefined && { client }),
  });
  const xml = (text: string) => operation('volStatedump', text);
  if (!reply.ok) return fail(session, 'volume statedump: failed: ', reply.error, xml('Volume statedump unsuccessful'));
  if (session.flags.xml) return succeedXml(session, xml('Volume statedump successful'));
  line(session.io, 'volume statedump: success');
  return 0;
};

export const barrier: Handler = async (session, words) => {
  const [, , volume, state] = words;
  if (volume === undefined || state === undefined || words.length !== 4) throw new UsageError();
  const reply = await session.request(words, { verb: 'volume.barrier', volume, state });
  if (!reply.ok) return fail(session, 'volume barrier: command unsuccessful : ', reply.error);
  if (session.flags.xml) return succeedXml(session, []);
  line(session.io, 'volume barrier: command successful');
  return 0;
};

const lockKinds = ['blocked', 'granted', 'all'] as const;
const lockTypes = ['inode', 'entry', 'posix'] as const;

/** `<VOLNAME> <path> kind {blocked|granted|all}{inode [range]|entry [basename]|posix [range]}` */
export const clearLocks: Handler = async (session, words) => {
  const [, , volume, path, kindWord, first, second, detail] = words;
  if (volume === undefined || words.length < 7 || words.length > 8) throw new UsageError();
  const refuse = () => new UsageError(['Error parsing options'], true);
  const kind = lockKinds.find((one) => one === first);
  const type = lockTypes.find((one) => one === second);
  if (kindWord !== 'kind' || path === undefined || !kind || !type) throw refuse();
  if (detail !== undefined && type !== 'entry' && !/^\d+,\d+-\d+$/.test(detail)) throw refuse();
  const reply = await session.request(words, {
    verb: 'volume.clear-locks',
    volume,
    path,
    kind,
    type,
    ...(detail !== undefined && { detail }),
  });
  if (!reply.ok) return fail(session, 'Volume clear-locks unsuccessful\n', reply.error);
  if (session.flags.json)
    return succeedXml(session, [
      element(
        'lines',
        reply.data.lines.map((text) => element('line', text)),
        'line',
      ),
    ]);
  line(session.io, 'Volume clear-locks successful');
  for (const text of reply.data.lines) line(session.io, text);
  return 0;
};

export const logRotate: Handler = async (session, words) => {
  const [, , volume, rotate, brick] = words;
  if (volume === undefined || rotate !== 'rotate' || words.length > 5) throw new UsageError();
  const reply = await session.request(words, {
    verb: 'volume.log.rotate',
    volume,
    ...(brick !== undefined && { brick }),
  });
  if (!reply.ok)
    return fail(
      session,
      'volume log-rotate: failed: ',
      reply.error,
      operation('volLogRotate', 'log rotate unsuccessful'),
    );
  if (session.flags.xml) return succeedXml(session, operation('volLogRotate', 'log rotate successful'));
  line(session.io, 'volume log-rotate: success');
  return 0;
};

export const sync: Handler = async (session, words) => {
  const [, , host, named] = words;
  if (host === undefined || words.length > 4) throw new UsageError();
  const question = 'Sync volume may make data inaccessible while the sync is in progress. Do you want to continue?';
  if (!(await session.ask(question))) return 0;
  const volume = named === 'all' ? undefined : named;
  const reply = await session.request(words, { verb: 'volume.sync', host, ...(volume !== undefined && { volume }) });
  if (!reply.ok)
    return fail(session, 'volume sync: failed: ', reply.error, operation('volSync', 'volume sync: failed'));
  if (session.flags.xml) return succeedXml(session, operation('volSync', 'volume sync: success'));
  line(session.io, 'volume sync: success');
  return 0;
};

export const getState: Handler = async (session, words) => {
  const request: { verb: 'get-state'; directory?: string; file?: string; more?: 'detail' | 'volumeoptions' } = {
    verb: 'get-state',
  };
  for (let i = 1; i < words.length; i++) {
    const word = words[i]!;
    if (word === 'odir' || word === 'file') {
      const value = words[++i];
      if (value === undefined) throw new UsageError();
      if (word === 'odir') request.directory = value;
      else request.file = value;
    } else if ((word === 'detail' || word === 'volumeoptions') && i === words.length - 1) request.more = word;
    else if (word !== 'glusterd' || i > 1)
      throw new UsageError([
        i > 1 ? 'Problem parsing arguments. Check usage.' : 'glusterd is the only supported daemon.',
      ]);
  }
  const reply = await session.request(words, request);
  if (!reply.ok) return fail(session, 'Failed to get daemon state: ', reply.error);
  const { path, text } = reply.data;
  if (session.flags.json) {
    const { stateDocument } = await import('../state-document.ts');
    session.io.out(
      `${JSON.stringify({ opRet: 0, opErrno: 0, opErrstr: '', path, state: stateDocument(text) }, null, 2)}\n`,
    );
    return 0;
  }
  line(session.io, `glusterd state dumped to ${path}`);
  return 0;
};

export const getSpec: Handler = async (session, words) => {
  const volume = words[2];
  if (volume === undefined || words.length !== 3) throw new UsageError();
  const reply = await session.request(words, { verb: 'system.getspec', volume });
  if (!reply.ok) return fail(session, 'getspec: failed: ', reply.error);
  if (session.flags.json) return succeedXml(session, [element('volfile', reply.data.text)]);
  session.io.out(reply.data.text);
  return 0;
};

export const uuidGet: Handler = async (session, words) => {
  const reply = await session.request(words, { verb: 'system.uuid.get' });
  if (!reply.ok) return fail(session, 'uuid get: failed: ', reply.error);
  if (session.flags.json) return succeedXml(session, [element('uuid', reply.data.uuid)]);
  line(session.io, `UUID: ${reply.data.uuid}`);
  return 0;
};

export const uuidReset: Handler = async (session, words) => {
  if (words.length !== 3) throw new UsageError();
  const question = 'Resetting uuid changes the uuid of local glusterd. Do you want to continue?';
  if (!(await session.ask(question))) return 0;
  const reply = await session.request(words, { verb: 'system.uuid.reset' });
  if (!reply.ok) return fail(session, '', reply.error);
  if (session.flags.json) return succeedXml(session, [element('uuid', reply.data.uuid)]);
  line(session.io, 'resetting the peer uuid has been successful');
  return 0;
};

export const workingDirectory: Handler = async (session, words) => {
  const reply = await session.request(words, { verb: 'system.getwd' });
  if (!reply.ok) return fail(session, 'getwd: failed: ', reply.error);
  if (session.flags.json) return succeedXml(session, [element('path', reply.data.path)]);
  line(session.io, reply.data.path);
  return 0;
};
