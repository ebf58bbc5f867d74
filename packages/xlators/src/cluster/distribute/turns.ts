/** One thing at a time with each file: a brick takes all that a process does to a file it moves for the same mover's. */
import type { Gfid } from '@mortar/core';
import type { Distribute } from './distribute.ts';

const under = new WeakMap<Distribute, Map<Gfid, Promise<unknown>>>();

export async function inTurn<R>(d: Distribute, gfid: Gfid, work: () => Promise<R>): Promise<R> {
  const files = under.get(d) ?? new Map<Gfid, Promise<unknown>>();
  under.set(d, files);
  // Who waited with us may have begun in the meantime.
  for (let before = files.get(gfid); before; before = files.get(gfid)) await before.catch(() => undefined);
  const one = work();
  files.set(gfid, one);
  try {
    return await one;
  } finally {
    files.delete(gfid);
  }
}
