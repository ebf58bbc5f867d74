/** `gluster volume heal V split-brain ...`: the operator decides. Texts are GlusterFS's. */
import { type ByteString, byteString, Errno, type Gfid, isGfid, locAt, rootGfid } from '@mortar/core';
import { judge } from '../judgement.ts';
import { lookup } from '../lookup.ts';
import type { Replica } from '../replica.ts';
import { succeeded, successAt } from '../replica-set.ts';
import { arbitrate, type Candidate, candidates, choose, isSplit } from '../split-brain.ts';
import { alone } from './alone.ts';
import { healEntries } from './entry.ts';
import { heal, healAlone } from './healer.ts';
import { NameHeal, truthOf } from './name.ts';
import { brickName } from './report.ts';
import type { HealContext } from './result.ts';

export type Choice = { by: 'bigger-file' | 'latest-mtime' } | { by: 'source-brick'; child: number };

/** What became of one file: the line to print, and whether it is a failure. */
export interface Resolution {
  readonly line: string;
  readonly healed: boolean;
  /** Exit status for a failure. */
  readonly exit: number;
  /** The set does not have the file; another may. */
  readonly missing?: true;
  /** There was nothing to decide. */
  readonly needless?: true;
  /** The line says all: GlusterFS's command does not add that the heal failed. */
  readonly saysAll?: true;
}

const notSplit = 'File not in split-brain.';

const done = (line: string): Resolution => ({ line, healed: true, exit: 0 });
const failed = (line: string, exit = 1): Resolution => ({ line, healed: false, exit });

/** The child that serves a brick `HOST:/path`, or undefined. */
export function childOfBrick(context: HealContext, brick: string): number | undefined {
  const child = context.replica.set.children.findIndex((_, i) => brickName(context.replica, i) === brick);
  return child < 0 ? undefined : child;
}

/** Resolves a file given as a path from the volume's root or as `gfid:UUID`. */
export async function resolveFile(context: HealContext, file: string, choice: Choice): Promise<Resolution> {
  const given = /^gfid:(.*)$/.exec(file)?.[1];
  if (given !== undefined) {
    if (!isGfid(given)) return failed(`Invalid gfid ${file}.`, 22);
    return resolveGfid(context, given, file, choice);
  }
  const names = byteString(file)
    .split('/')
    .filter((name) => name !== '');
  const { replica } = context;
  const call = { ...replica.rootCall(), internal: 'glfs-heal' as const };
  let gfid: Gfid = rootGfid;
  for (const [i, name] of names.entries()) {
    const isLast = i === names.length - 1;
    const files: readonly (Gfid | undefined)[] = isLast ? await filesOf(replica, gfid, name) : [];
    const [first] = files;
    // Also where a majority decides which file it is: the operator may decide otherwise.
    if (new Set(files.filter((one) => one !== undefined)).size > 1)
      return resolveName(context, gfid, name, file, choice);
    if (first !== undefined && files.every((one) => one === first)) return resolveGfid(context, first, file, choice);
    const reply = await lookup(replica, call, { loc: locAt(gfid, name) });
    if (reply.ok) gfid = reply.iatt.gfid;
    else if (reply.errno === Errno.EIO && isLast) return resolveName(context, gfid, name, file, choice);
    else return { ...failed(`Lookup failed on ${file}:${errorText(reply.errno)}.`, 22), missing: true };
  }
  return resolveGfid(context, gfid, file, choice);
}

/** What each replica has under the name; undefined: nothing, or it cannot be asked. */
async function filesOf(replica: Replica, parent: Gfid, name: ByteString): Promise<(Gfid | undefined)[]> {
  const replies = await replica.lookupAll(locAt(parent, name), replica.rootCall(), []);
  return replies.map((reply) => (reply?.ok ? reply.iatt.gfid : undefined));
}

function errorText(errno: Errno): string {
  if (errno === Errno.ENOENT || errno === Errno.ESTALE) return 'No such file or directory';
  return errno === Errno.ENOTCONN ? 'Transport endpoint is not connected' : 'Input/output error';
}

/** Everything that a brick's index has, with that brick as the source. */
export async function resolveAll(context: HealContext, child: number): Promise<Resolution[]> {
  const gfids = (await context.index.gfids(child, 'xattrop')) ?? [];
  const results: Resolution[] = [];
  for (const gfid of gfids)
    results.push(await resolveGfid(context, gfid, `gfid:${gfid}`, { by: 'source-brick', child }));
  return results.filter((one) => !one.needless);
}

function resolveGfid(context: HealContext, gfid: Gfid, shown: string, choice: Choice): Promise<Resolution> {
  return alone(context.replica, gfid, () => resolveAlone(context, gfid, shown, choice));
}

async function resolveAlone(context: HealContext, gfid: Gfid, shown: string, choice: Choice): Promise<Resolution> {
  const { replica } = context;
  const lease = await replica.leases.acquire(gfid, { ...replica.rootCall(), internal: 'glfs-heal' });
  if ('errno' in lease) return { ...failed(`Healing ${shown} failed: ${errorText(lease.errno)}.`), missing: true };
  lease.recalled = true;
  let refusal: string | undefined;
  const note: string[] = [];
  try {
    if (judge(lease.matrix, 'entry').pending) {
      if (choice.by !== 'source-brick') return failed(`Healing ${shown} failed: ${notSplit}`);
      note.push(`'source-brick' option used on a directory (${shown}). Performing conservative merge.`);
    } else refusal = await decide(context, lease, choice);
  } finally {
    replica.leases.done(lease);
  }
  if (refusal !== undefined)
    return { ...failed(`Healing ${shown} failed: ${refusal}`), ...(refusal === notSplit ? { needless: true } : {}) };
  const result = await healAlone(context, gfid);
  if (result.state === 'split-brain' || result.state === 'waiting')
    return failed([...note, `Healing ${shown} failed: ${result.reason}.`].join('\n'));
  return done([...note, `Healed ${shown}.`].join('\n'));
}

type HeldLease = Parameters<typeof arbitrate>[1];

/** A reason not to, or undefined when a winner was made. */
async function decide(context: HealContext, lease: HeldLease, choice: Choice): Promise<string | undefined> {
  const { replica } = context;
  const split = (['data', 'metadata'] as const).filter((kind) => isSplit(replica, lease, kind));
  if (split.length === 0) return notSplit;
  if (choice.by !== 'source-brick' && !split.includes('data'))
    return 'Use source-brick option to heal metadata split-brain.';
  const copies = await candidates(replica, lease, 'data');
  const winner = winnerOf(choice, copies);
  if (winner === undefined) return `${undecided(choice)}.`;
  if (!lease.holds.has(winner)) return 'The chosen brick is not connected.';
  for (const kind of split)
    if (!(await arbitrate(replica, lease, kind, winner))) return 'A brick could not be reached.';
  return undefined;
}

function undecided({ by }: Choice): string {
  if (by === 'source-brick') return 'Error getting the source brick';
  return by === 'bigger-file' ? 'No bigger file' : 'No difference in mtime';
}

function winnerOf(choice: Choice, copies: readonly Candidate[]): number | undefined {
  if (choice.by === 'source-brick') return choice.child;
  return choose(choice.by === 'bigger-file' ? 'size' : 'mtime', copies);
}

/** Different files of one name: the chosen one's takes the place of the others. */
async function resolveName(
  context: HealContext,
  parent: Gfid,
  name: string,
  shown: string,
  choice: Choice,
): Promise<Resolution> {
  const { replica } = context;
  const lease = await replica.leases.acquire(parent, { ...replica.rootCall(), internal: 'glfs-heal' });
  if ('errno' in lease) return failed(`Healing ${shown} failed: ${errorText(lease.errno)}.`);
  lease.recalled = true;
  const found: Gfid[] = [];
  try {
    const { set } = replica;
    const truth = truthOf(lease, judge(lease.matrix, 'entry', set));
    const nameHeal = new NameHeal(
      replica,
      lease,
      parent,
      { ...truth, merge: true, sources: lease.participants, keepsMore: false },
      (gfid) => found.push(gfid),
      (all) => winnerOf(choice, all),
    );
    const result = await nameHeal.heal(name);
    if (typeof result === 'object') {
      if ('failed' in result) return failed(`Healing ${shown} failed: ${result.failed}.`);
      return { ...failed(`${undecided(choice)} for file ${shown}`), saysAll: true };
    }
  } finally {
    replica.leases.done(lease);
  }
  for (const gfid of found) await heal(context, gfid);
  await alone(replica, parent, () => healEntries(context, parent));
  const replies = await replica.lookupAll(locAt(parent, name), replica.rootCall(), []);
  const [first] = succeeded(replies);
  if (first !== undefined) await heal(context, successAt(replies, first)!.iatt.gfid);
  return done(`GFID split-brain resolved for file ${shown}`);
}
