/** volume set, get, reset. */
import type { Handler } from '../commands.ts';
import { line } from '../io.ts';
import { fail, operation, succeedXml } from '../outcome.ts';
import { type Session, UsageError } from '../session.ts';
import { type Element, element } from '../xml.ts';

const columnWidth = 40;
const valueWidth = 40;

export const set: Handler = async (session, words) => {
  const volume = words[2];
  if (volume === undefined) throw new UsageError();
  if ((volume === 'help' || volume === 'help-xml') && words.length === 3) return setHelp(session, words);
  if (words.length < 5) throw new UsageError();
  if (words.length === 5 && words[3] === 'group') {
    const group = words[4]!.trim();
    if (group === '') throw new UsageError();
    return sendSet(session, words, { verb: 'volume.set', volume, pairs: [], group });
  }
  const pairs = await pairsOf(session, words.slice(3));
  return pairs ? sendSet(session, words, { verb: 'volume.set', volume, pairs }) : 1;
};

/** Null: the user thought better of it. */
async function pairsOf(session: Session, words: readonly string[]): Promise<{ key: string; value: string }[] | null> {
  const pairs: { key: string; value: string }[] = [];
  for (let i = 0; i < words.length; i += 2) {
    const key = words[i]!;
    const given = words[i + 1];
    const value = key.startsWith('user.') ? given : given?.trim();
    if (!value || key === 'group') throw new UsageError();
    if (key === 'nfs.disable' && value === 'off') {
      const question =
        'Gluster NFS is being deprecated in favor of NFS-Ganesha Enter "yes" to continue using Gluster NFS';
      if (!(await session.ask(question))) {
        session.io.err('volume set: failed: Aborted by user.\n');
        return null;
      }
    }
    pairs.push({ key, value });
  }
  return pairs;
}

async function sendSet(
  session: Session,
  words: readonly string[],
  request: { verb: 'volume.set'; volume: string; pairs: { key: string; value: string }[]; group?: string },
): Promise<number> {
  const reply = await session.request(words, request);
  if (!reply.ok) {
    // A group that cannot be read is found before anything is asked of glusterd, hence no prefix.
    const prefix = reply.error.text.startsWith('Unable to open file') ? '' : 'volume set: failed: ';
    return fail(session, prefix, reply.error, operation('volSet', 'Set volume unsuccessful'));
  }
  if (session.flags.xml) return succeedXml(session, operation('volSet', 'Set volume successful'));
  if (reply.data.warning) line(session.io, reply.data.warning);
  line(session.io, 'volume set: success');
  return 0;
}

async function setHelp(session: Session, words: readonly string[]): Promise<number> {
  const reply = await session.request(words, { verb: 'volume.set.help' });
  if (!reply.ok) return fail(session, 'volume set: failed: ', reply.error);
  if (session.flags.json) return succeedXml(session, [element('options', optionsIn(reply.data.text), 'option')]);
  session.io.out(reply.data.text);
  return 0;
}

/** The blocks of the text: `Option: `, `Default Value: `, `Description: `. */
function optionsIn(text: string): Element[] {
  const blocks = text.matchAll(/^Option: (.*)\nDefault Value: (.*)\nDescription: (.*)$/gm);
  return [...blocks].map(([, name = '', fallback = '', description = '']) =>
    element('option', [element('name', name), element('default', fallback), element('description', description)]),
  );
}

export const get: Handler = async (session, words) => {
  const [, , volume, key] = words;
  if (volume === undefined || key === undefined || words.length !== 4) throw new UsageError();
  const reply = await session.request(words, { verb: 'volume.get', volume, key });
  if (!reply.ok)
    return fail(session, 'volume get option: failed: ', reply.error, operation('volGetopts', reply.error.text));
  const { options } = reply.data;
  if (session.flags.xml) {
    const rows = options.map((one) => element('Opt', [element('Option', one.key), element('Value', one.value)]));
    return succeedXml(session, [element('volGetopts', [element('count', options.length), ...rows], 'Opt')]);
  }
  const row = (left: string, right: string) =>
    line(session.io, `${left.padEnd(columnWidth)} ${right.padEnd(valueWidth - 1)}`);
  row('Option', 'Value');
  row('------', '-----');
  for (const one of options) row(one.key, one.value);
  return 0;
};

export const reset: Handler = async (session, words) => {
  const [, , volume, first, last] = words;
  if (volume === undefined || words.length > 5) throw new UsageError();
  if (last !== undefined && last !== 'force') throw new UsageError();
  const force = first === 'force' || last === 'force';
  const key = first === undefined || first === 'force' ? 'all' : first;
  const reply = await session.request(words, { verb: 'volume.reset', volume, key, force });
  if (!reply.ok)
    return fail(session, 'volume reset: failed: ', reply.error, operation('volReset', 'reset volume unsuccessful'));
  if (session.flags.xml) return succeedXml(session, operation('volReset', 'reset volume successful'));
  line(session.io, 'volume reset: success: reset volume successful');
  return 0;
};
