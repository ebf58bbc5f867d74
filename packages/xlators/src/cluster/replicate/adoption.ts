/**
 * Objects that somebody put on bricks by hand have no gfid; a lookup gives them one. Two replicas with different ones
 * would be a split-brain that nobody wrote, so it is given only where it cannot come to that (docs/replicate.md).
 */
import { type Args, type Call, Errno, type FileType, fail, type Gfid, type Reply } from '@mortar/core';
import type { ReplicaSet, Replies } from './replica-set.ts';

/**
 * A lookup that gives objects without a gfid this one. EIO from all where the name is of different types; ENODATA
 * remains where nobody has a gfid for it and a replica is down that may.
 */
export async function lookupGivingGfid(
  set: ReplicaSet,
  call: Call,
  args: Args<'lookup'> & { gfid: Gfid },
): Promise<Replies<'lookup'>> {
  const { gfid: _, ...plain } = args;
  const replies = await set.wind(set.up, 'lookup', call, () => plain);
  if (new Set(typesOf(replies)).size > 1) return replies.map((reply) => reply && fail(Errno.EIO));
  const isKnown = replies.some((reply) => reply?.ok);
  if (!isKnown && set.up.length < set.count) return replies;
  return set.wind(set.up, 'lookup', call, () => args);
}

/** Of an object that is there and has no gfid. */
export function typeWithoutGfid(reply: Reply<'lookup'> | undefined): FileType | undefined {
  return reply?.ok === false && reply.errno === Errno.ENODATA ? reply.xdata?.typeWithoutGfid : undefined;
}

function typesOf(replies: Replies<'lookup'>): FileType[] {
  return replies.flatMap((reply) => (reply?.ok ? reply.iatt.type : (reply?.xdata?.typeWithoutGfid ?? [])));
}
