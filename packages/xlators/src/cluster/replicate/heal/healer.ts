/**
 * Heals one file or directory: under its lease, decide who is right, bring the others up to it, take the marks off.
 * docs/heal.md has the rules and why each order is safe.
 */
import { Errno, FileType, type Gfid, locOf } from '@mortar/core';
import { changelogOf, isZero } from '../changelog.ts';
import type { Replica } from '../replica.ts';
import { type Replies, succeeded, successAt } from '../replica-set.ts';
import { settleByPolicy } from '../split-brain.ts';
import { alone } from './alone.ts';
import { healData } from './data.ts';
import { healEntries } from './entry.ts';
import { healMetadata } from './metadata.ts';
import type { HealContext, HealResult } from './result.ts';
import { healSmallFile } from './small-file.ts';

export function heal(context: HealContext, gfid: Gfid): Promise<HealResult> {
  return alone(context.replica, gfid, () => healAlone(context, gfid));
}

/** For who is alone with the file already. */
export async function healAlone(context: HealContext, gfid: Gfid): Promise<HealResult> {
  const { replica } = context;
  const { set } = replica;
  const call = { ...replica.rootCall(), internal: 'self-heal' as const };
  const replies = await replica.lookupAll(locOf(gfid), call, []);
  const present = succeeded(replies).filter((child) => !isMissing(replies[child]));
  if (present.length === 0) return gone(context, gfid, replies);
  const absent = replies.flatMap((reply, child) => (isMissing(reply) ? [child] : []));
  for (const child of absent) await context.index.purge(child, gfid);
  // Its name is to be removed, or was never given by a quorum: that is its directory's matter.
  if (areMost(replica, absent)) return { state: 'clean' };
  const types = new Set(present.map((child) => successAt(replies, child)!.iatt.type));
  if (types.size > 1)
    return { state: 'split-brain', kind: 'type', reason: `${gfid} is of different types on the replicas` };
  if (set.up.length < 2) return { state: 'waiting', reason: 'fewer than two replicas are up' };
  if (!set.suffices(set.up)) return { state: 'waiting', reason: 'no quorum of replicas is up' };
  if (absent.length > 0 && !isPendingBesides(replica, replies, absent))
    return { state: 'waiting', reason: 'the replica that is to be healed lacks it: its directory comes first' };
  const type = successAt(replies, present[0]!)!.iatt.type;
  replica.contexts.inode(gfid).type = type;
  if (type === FileType.regular) {
    const healed = await healSmallFile(context, gfid, replies);
    if (healed) return healed;
  }
  const steps: ((context: HealContext, gfid: Gfid) => Promise<HealResult>)[] = [healMetadata];
  if (type === FileType.regular) steps.push(healData);
  if (type === FileType.directory) steps.push(healEntries);
  const informed = { ...context, before: replies };
  const result = await inTurn(informed, gfid, steps);
  // A brick that crashed or met an error in the middle may list what has no marks any more; it looks at them once more.
  if (result.state === 'clean' && !context.full) for (const child of set.up) await context.index.purge(child, gfid);
  if (result.state !== 'split-brain' || !(await settleByPolicy(replica, gfid))) return result;
  return inTurn(informed, gfid, steps);
}

/** Whether anything is to be healed between those that have it. */
function isPendingBesides(replica: Replica, replies: Replies<'lookup'>, absent: readonly number[]): boolean {
  const { pendingKeys } = replica.set;
  return replies.some((reply) => {
    if (!reply?.ok) return false;
    const { blames, dirty } = changelogOf(reply.xattrs, pendingKeys);
    return !isZero(dirty) || blames.some((vector, child) => !isZero(vector) && !absent.includes(child));
  });
}

/** All steps run; the worst result is the result. */
async function inTurn(
  context: HealContext,
  gfid: Gfid,
  steps: readonly ((context: HealContext, gfid: Gfid) => Promise<HealResult>)[],
): Promise<HealResult> {
  const results: HealResult[] = [];
  for (const step of steps) results.push(await step(context, gfid));
  const order: readonly HealResult['state'][] = ['split-brain', 'waiting', 'again', 'healed', 'clean', 'gone'];
  return results.sort((a, b) => order.indexOf(a.state) - order.indexOf(b.state))[0]!;
}

/** No brick that is up has it; when all are up and say so, the index entry is stale. */
async function gone(context: HealContext, gfid: Gfid, replies: Replies<'lookup'>): Promise<HealResult> {
  const { set } = context.replica;
  if (replies.filter(isMissing).length < set.count)
    return { state: 'waiting', reason: 'the replicas that have it are down' };
  for (const child of set.up) await context.index.purge(child, gfid);
  return { state: 'gone' };
}

/** More than half: not what would be enough to write, which one of two may be, whose other one was away when the file was made. */
export function areMost({ set }: Replica, children: readonly number[]): boolean {
  return children.length * 2 > set.count;
}

/** Also what is open and has lost its name: it has no contents that anybody else may see. */
export function isMissing(reply: Replies<'lookup'>[number]): boolean {
  if (reply?.ok) return reply.iatt.nlink === 0 && reply.iatt.type !== FileType.directory;
  return reply !== undefined && (reply.errno === Errno.ENOENT || reply.errno === Errno.ESTALE);
}
