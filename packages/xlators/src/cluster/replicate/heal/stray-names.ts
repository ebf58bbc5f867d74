/**
 * Names recorded as missed in a directory of which nothing is to be healed any more: a brick died between the end of the heal and
 * the end of its record, or lost that with its machine. Nobody would look at them again.
 */
import { type Call, Errno, type Gfid } from '@mortar/core';
import type { Replica } from '../replica.ts';
import type { HealIndex } from './index-access.ts';

/** Where all replicas are there. `isPending`: what a crawl has found to be healed. */
export async function forgetStrayNames(
  replica: Replica,
  index: HealIndex,
  isPending: (gfid: Gfid) => boolean,
): Promise<void> {
  const { set } = replica;
  for (const child of set.up)
    for (const parent of (await index.parents(child)) ?? [])
      if (set.up.length === set.count && !isPending(parent)) await forget(replica, index, child, parent);
}

/** Under a lease on all replicas, which shows that nobody is accused, and keeps it so. */
async function forget(replica: Replica, index: HealIndex, child: number, parent: Gfid): Promise<void> {
  const call: Call = { ...replica.rootCall(), internal: 'self-heal' };
  const lease = await replica.leases.acquire(parent, call, 'try');
  if ('errno' in lease) {
    const isGone = lease.errno === Errno.ENOENT || lease.errno === Errno.ESTALE;
    if (isGone) await index.forgetParent(child, parent);
    return;
  }
  lease.recalled = true;
  try {
    if (lease.isUnmarked && lease.participants.length === replica.set.count) await index.forgetParent(child, parent);
  } finally {
    replica.leases.done(lease);
  }
}
