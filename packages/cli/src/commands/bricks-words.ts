/** `volume add-brick`, `remove-brick`, `replace-brick`, `reset-brick`: words to requests. Pure but for the questions. */
import type { RemoveAction, RequestOf } from '@mortar/glusterd/protocol/requests.ts';
import { UsageError } from '../session.ts';
import { unambiguous } from '../tree.ts';
import { canonicalPath, parseBricks, wholeNumber } from './brick-words.ts';
import { replicaTwoQuestion } from './create-words.ts';

type Ask = (question: string) => Promise<boolean>;
type AddWords = Omit<RequestOf<'volume.add-brick'>, 'ignorePartition'>;
type ResetWords = Omit<RequestOf<'volume.reset-brick'>, 'ignorePartition'>;

const actions: readonly RemoveAction[] = ['start', 'commit', 'stop', 'status', 'force'];

/** `VOLNAME [replica COUNT [arbiter 1]] BRICK... [force]` */
export async function parseAddBrick(words: readonly string[], ask: Ask): Promise<AddWords> {
  const [, , volume] = words;
  if (volume === undefined || words.length < 4) throw new UsageError();
  const force = words.at(-1) === 'force';
  let at = 3;
  let replica: number | undefined;
  let arbiter = 0;
  if (words.length >= 6 && unambiguous(words[3]!, ['replica']) !== undefined) {
    replica = Number.parseInt(words[4]!, 10) || 0;
    if (replica < 2) throw new UsageError(['replica count should be greater than 1']);
    at = 5;
    if (words[at] === 'arbiter') {
      arbiter = wholeNumber(words[at + 1]) ?? 0;
      if (arbiter !== 1 || replica !== 3)
        throw new UsageError([
          'For arbiter configuration, replica count must be 3 and arbiter count must be 1. ' +
            'The 3rd brick of the replica will be the arbiter',
        ]);
      at += 2;
    }
    await askAboutTwo(replica, words, ask);
  }
  const bricks = parseBricks(words.slice(at, force ? -1 : undefined));
  return { verb: 'volume.add-brick', volume, bricks, arbiter, force, ...(replica !== undefined && { replica }) };
}

async function askAboutTwo(replica: number, words: readonly string[], ask: Ask): Promise<void> {
  if (replica === 2 && words.at(-1) !== 'force' && !(await ask(replicaTwoQuestion))) throw new UsageError();
}

/** `VOLNAME [replica COUNT] BRICK... ACTION` */
export async function parseRemoveBrick(words: readonly string[], ask: Ask): Promise<RequestOf<'volume.remove-brick'>> {
  const [, , volume] = words;
  if (volume === undefined || words.length < 5) throw new UsageError();
  let at = 3;
  let replica: number | undefined;
  if (unambiguous(words[3]!, ['replica']) !== undefined) {
    if (words.length < 6) throw new UsageError();
    replica = Number.parseInt(words[4]!, 10) || 0;
    if (replica < 1) throw new UsageError(['replica count should be greater than 0 in case of remove-brick']);
    await askAboutTwo(replica, words, ask);
    at = 5;
  }
  const action = unambiguous(words.at(-1)!, actions) as RemoveAction | undefined;
  if (action === undefined) throw new UsageError();
  const bricks: string[] = [];
  for (const word of words.slice(at, -1)) {
    const brick = existingBrick(word);
    if (bricks.includes(brick)) throw new UsageError([`Duplicate bricks found ${word}`]);
    bricks.push(brick);
  }
  if (bricks.length === 0) throw new UsageError(['No bricks specified']);
  return { verb: 'volume.remove-brick', volume, bricks, action, ...(replica !== undefined && { replica }) };
}

/** `VOLNAME SOURCE TARGET commit force` */
export function parseReplaceBrick(
  words: readonly string[],
): Omit<RequestOf<'volume.replace-brick'>, 'ignorePartition'> {
  const [, , volume, source, target, commit, force] = words;
  if (words.length !== 7) throw new UsageError();
  const request = {
    verb: 'volume.replace-brick' as const,
    volume: volume!,
    source: existingBrick(source!),
    target: existingBrick(target!),
  };
  if (commit !== 'commit' || force !== 'force')
    throw new UsageError([
      `Invalid option '${commit}' '${force}' for replace-brick. Please enter valid replace-brick command`,
    ]);
  return request;
}

/** `VOLNAME SOURCE start` or `VOLNAME SOURCE TARGET commit [force]` */
export function parseResetBrick(words: readonly string[]): ResetWords {
  const [, , volume, source, ...rest] = words;
  if (words.length < 5 || words.length > 7) throw new UsageError();
  const invalid = (given: string) =>
    new UsageError([`Invalid option '${given}' for reset-brick. Please enter valid reset-brick command`]);
  const common = { verb: 'volume.reset-brick' as const, volume: volume!, source: existingBrick(source!) };
  if (rest.length === 1) {
    if (rest[0] !== 'start') throw invalid(rest[0]!);
    return { ...common, action: 'start', force: false };
  }
  const force = rest.length === 3;
  if (rest[1] !== 'commit' || (force && rest[2] !== 'force')) throw invalid(rest.slice(1).join(' '));
  return { ...common, target: existingBrick(rest[0]!), action: 'commit', force };
}

/** A brick that is there already may have any host. */
function existingBrick(word: string): string {
  const colon = word.lastIndexOf(':');
  if (colon <= 0 || word[colon + 1] !== '/')
    throw new UsageError([`wrong brick type: ${word}, use <HOSTNAME>:<export-dir-abs-path>`]);
  return `${word.slice(0, colon)}:${canonicalPath(word.slice(colon + 1))}`;
}
