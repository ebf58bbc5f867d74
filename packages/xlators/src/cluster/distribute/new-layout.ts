/** The ranges of a new directory, or of one whose layout is broken. */
import { type ByteString, type Gfid, rootGfid } from '@mortar/core';
import type { Distribute } from './distribute.ts';
import { assignRanges, type Range } from './layout.ts';

/** The path decides who has the first range; without one, the gfid. */
function seedOf(d: Distribute, path: ByteString | undefined, gfid: Gfid): number {
  return d.hasher.hash(d.options['randomize-hash-range-by-gfid'] || path === undefined ? gfid : path);
}

/** Ranges in the order of the children; `usable` may leave out more than those which are down or leaving. */
export async function newRanges(
  d: Distribute,
  gfid: Gfid,
  path: ByteString | undefined,
  commit: number,
  usable: (child: number) => boolean = () => true,
): Promise<Range[]> {
  const weighted = d.options['weighted-rebalance'];
  if (weighted && d.children.length > 1) await d.space.refresh();
  return assignRanges(
    d.indices.map((i) => ({ name: d.childName(i), usable: d.isUsable(i) && usable(i), chunks: d.space.chunks(i) })),
    { seed: seedOf(d, path, gfid), spread: d.options['directory-layout-spread'], weighted, commit },
  );
}

export function childPath(d: Distribute, parent: Gfid, name: ByteString): ByteString | undefined {
  const path = d.services.inodes.pathOf(parent);
  return path === undefined ? undefined : `${path === '/' ? '' : path}/${name}`;
}

export function pathOf(d: Distribute, gfid: Gfid): ByteString | undefined {
  return gfid === rootGfid ? '/' : d.services.inodes.pathOf(gfid);
}
