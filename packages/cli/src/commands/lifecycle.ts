/** volume start, stop, delete, info, list. */
import type { CommandReply } from '@mortar/glusterd/protocol/replies.ts';
import type { Handler } from '../commands.ts';
import { line } from '../io.ts';
import { fail, succeedXml } from '../outcome.ts';
import { type Session, UsageError } from '../session.ts';
import { element, outcome, printDocument } from '../xml.ts';
import { volumeElement, volumeText } from './volume-text.ts';

/** `VOLNAME [force]` */
function volumeAndForce(words: readonly string[]): { volume: string; force: boolean } {
  const [, , volume, force] = words;
  if (volume === undefined || words.length > 4 || (force !== undefined && force !== 'force')) throw new UsageError();
  return { volume, force: force !== undefined };
}

function report(
  session: Session,
  verb: 'start' | 'stop' | 'delete',
  volume: string,
  reply: CommandReply<{ volume: string; id: string }>,
): number {
  if (!reply.ok) return fail(session, `volume ${verb}: ${volume}: failed: `, reply.error);
  if (session.flags.xml) {
    const name = { start: 'volStart', stop: 'volStop', delete: 'volDelete' }[verb];
    const content = element('volume', [element('name', reply.data.volume), element('id', reply.data.id)]);
    return succeedXml(session, [element(name, [content])]);
  }
  line(session.io, `volume ${verb}: ${volume}: success`);
  return 0;
}

export const start: Handler = async (session, words) => {
  const { volume, force } = volumeAndForce(words);
  return report(session, 'start', volume, await session.request(words, { verb: 'volume.start', volume, force }));
};

export const stop: Handler = async (session, words) => {
  const { volume, force } = volumeAndForce(words);
  if (!(await session.ask('Stopping volume will make its data inaccessible. Do you want to continue?'))) return 0;
  return report(session, 'stop', volume, await session.request(words, { verb: 'volume.stop', volume, force }));
};

export const remove: Handler = async (session, words) => {
  const volume = words[2];
  if (volume === undefined || words.length !== 3) throw new UsageError();
  const question = 'Deleting volume will erase all information about the volume. Do you want to continue?';
  if (!(await session.ask(question))) return 0;
  return report(session, 'delete', volume, await session.request(words, { verb: 'volume.delete', volume }));
};

export const info: Handler = async (session, words) => {
  if (words.length > 3) throw new UsageError();
  const named = words[2] === 'all' ? undefined : words[2];
  const reply = await session.request(words, {
    verb: 'volume.info',
    ...(named !== undefined && { volume: named }),
  });
  if (!reply.ok) {
    const none = element('volInfo', [element('volumes', [element('count', 0)], 'volume')]);
    if (!session.flags.xml) return fail(session, '', reply.error);
    printDocument(session, [...outcome(-1, reply.error.errno, 'Volume does not exist'), none]);
    return 0;
  }
  const { volumes } = reply.data;
  if (session.flags.xml) {
    const content = [...volumes.map(volumeElement), element('count', volumes.length)];
    return succeedXml(session, [element('volInfo', [element('volumes', content, 'volume')])]);
  }
  if (volumes.length === 0) session.io.err('No volumes present\n');
  else session.io.out(volumes.map(volumeText).join(''));
  return 0;
};

export const list: Handler = async (session, words) => {
  const reply = await session.request(words, { verb: 'volume.list' });
  if (!reply.ok) return fail(session, 'volume list: failed: ', reply.error);
  const { names } = reply.data;
  if (session.flags.xml) {
    const volumes = names.map((name) => element('volume', name));
    return succeedXml(session, [element('volList', [element('count', names.length), ...volumes], 'volume')]);
  }
  if (names.length === 0) session.io.err('No volumes present in cluster\n');
  for (const name of names) line(session.io, name);
  return 0;
};
