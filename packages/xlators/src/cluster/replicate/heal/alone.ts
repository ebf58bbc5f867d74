/**
 * Heals of one file within a process go one after the other. They would share the lease on it, and with that what was read of its
 * marks: each would take them off, and less than none is a mark.
 */
import type { Gfid } from '@mortar/core';
import type { Replica } from '../replica.ts';

const running = new WeakMap<Replica, Map<Gfid, Promise<unknown>>>();

export async function alone<R>(replica: Replica, gfid: Gfid, work: () => Promise<R>): Promise<R> {
  const ours = running.get(replica) ?? new Map<Gfid, Promise<unknown>>();
  running.set(replica, ours);
  const before = ours.get(gfid);
  const run = before ? before.then(work, work) : work();
  ours.set(gfid, run);
  try {
    return await run;
  } finally {
    if (ours.get(gfid) === run) ours.delete(gfid);
  }
}
