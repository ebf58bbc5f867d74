/** What options do, in the words of the translators that take them. */
import { roleOptions } from './builder.ts';
import { entriesOf, type VolumeOption } from './table.ts';
import table from './translator-options.json' with { type: 'json' };
import { missingSentence, missingTranslators } from './translators.ts';

interface Words {
  readonly description: string;
  readonly withoutEffect?: boolean;
}

const translators = table.translators as Readonly<Record<string, Readonly<Record<string, Words>>>>;
/** What both ends of a connection take of TLS is in the client's table. */
const ofTls = ['protocol/client', 'protocol/server'];
const isOfTls = (option: string) => /^!?(transport\.socket\.)?ssl-/.test(option);
const unread: Words = { description: 'Nothing in this build reads it.', withoutEffect: true };
/** What management does by itself, and what nothing in this build does. */
const own: Readonly<Record<string, Words>> = {
  'cluster.server-quorum-type': {
    description: 'Stop the bricks of nodes that reach too few of the pool (server), or not (none).',
  },
  'cluster.server-quorum-ratio': {
    description: 'The part of the pool that a node has to reach; more than half if it is not set.',
  },
  'cluster.nufa': { description: 'Prefer the local brick for new files: refused, there is no cluster/nufa.' },
  'cluster.switch': { description: 'Place files by patterns of their names: refused, there is no cluster/switch.' },
  'cluster.brick-restart': { description: 'Start bricks again that died, after 10 s and later each time.' },
  'config.memory-accounting': { description: 'Memory is accounted for by the runtime.', withoutEffect: true },
  'config.transport': { description: 'The transport of the volume; tcp.' },
  'ssl.dh-param': { description: 'Parameters of key exchange are those of the TLS library.', withoutEffect: true },
  'ssl.ec-curve': { description: 'Curves of key exchange are those of the TLS library.', withoutEffect: true },
};
const loading = /^!(perf|nfsperf|feat|features|debug|nufa|switch|shard|utime|xtime)$/;

/** What an entry of the table of volume options does; undefined where there are no words for it. */
export function wordsOf(entry: VolumeOption): Words | undefined {
  const { key, option, xlator } = entry;
  if (own[key]) return own[key];
  if (xlator in missingTranslators) return { description: sentence(missingSentence(xlator)), withoutEffect: true };
  const types = isOfTls(option) ? ofTls : [xlator];
  const tables = types.map((type) => translators[type]).filter((words) => words !== undefined);
  const names = [roleOptions.get(option) ?? option.replace(/^!/, ''), key];
  const found = tables.map((words) => wordsFor(words, names)).find((words) => words !== undefined);
  if (found) return found;
  if (option.startsWith('!'))
    return loading.test(option) ? { description: `Whether the volume has ${xlator}.` } : undefined;
  return tables.length > 0 ? unread : undefined;
}

/** `names`: those that it may have in the table, where `transport.*` stands for all that begin so. */
function wordsFor(words: Readonly<Record<string, Words>>, names: readonly string[]): Words | undefined {
  const exact = names.find((name) => Object.hasOwn(words, name));
  if (exact !== undefined) return words[exact];
  const pattern = Object.keys(words).find((key) => key.endsWith('*') && names[0]!.startsWith(key.slice(0, -1)));
  return pattern === undefined ? undefined : words[pattern];
}

/** Why an option that is taken does nothing, whatever it is set to; undefined where it does something, as switching off what is not there. */
export function whyWithoutEffect(key: string): string | undefined {
  const entries = entriesOf(key);
  if (entries.some(({ option, xlator }) => option.startsWith('!') && xlator in missingTranslators)) return undefined;
  const words = entries.map(wordsOf);
  return words.every((one) => one?.withoutEffect) ? words[0]?.description : undefined;
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}
