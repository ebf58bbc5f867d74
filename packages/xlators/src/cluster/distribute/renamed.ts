/**
 * Renames of files on a child that leaves the volume. Who looks through it for what it still has could miss a file that goes from a directory
 * not read yet to one that was. So who has renamed one says so on the child's root, before anybody hears that it is done: a look counts
 * only if nothing was said meanwhile (docs/distribute.md, "A subvolume that leaves").
 */
import { locOf, rootGfid } from '@mortar/core';
import type { Distribute } from './distribute.ts';

export async function tellRenamed(d: Distribute, child: number): Promise<void> {
  // Another one each time, and nobody else's.
  const xattrs = { [d.names.renamed]: Buffer.from(d.nextLockOwner(), 'latin1') };
  const told = await d.children[child]!.setxattr(d.ownCall(), { loc: locOf(rootGfid), xattrs, flags: 0 });
  if (!told.ok) d.warn(`a rename on ${d.childName(child)} cannot be told to who empties it: errno ${told.errno}`);
}

/** The last one that was told; undefined where the child cannot say. */
export async function lastRenamed(d: Distribute, child: number): Promise<string | undefined> {
  const { renamed } = d.names;
  const root = await d.children[child]!.lookup(d.ownCall(), { loc: locOf(rootGfid), want: [renamed] });
  return root.ok ? Buffer.from(root.xattrs[renamed] ?? []).toString('latin1') : undefined;
}
