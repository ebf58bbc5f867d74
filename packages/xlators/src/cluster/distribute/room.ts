/** Whether a child has room for a file that is moved there. */
import { type Call, type Iatt, locOf, rootGfid, type Statfs } from '@mortar/core';
import type { Distribute } from './distribute.ts';

/** Without force a file does not go where less space would be left, by percent, than where it is. */
export async function hasRoom(
  d: Distribute,
  call: Call,
  iatt: Iatt,
  from: number,
  to: number,
  kind: 'fix-layout' | 'migrate' | 'force' | 'detach',
): Promise<boolean> {
  const own = d.ownCall(call);
  const [there, here] = await d.ask([to, from], (child) => child.statfs(own, { loc: locOf(rootGfid) }));
  if (!there!.ok || !here!.ok) return false;
  const bytes = iatt.blocks * 512;
  const left = free(there!.statfs) - bytes;
  if (left < reserve(d, there!.statfs)) return false;
  if (kind !== 'migrate') return true;
  return percent(left, there!.statfs) >= percent(free(here!.statfs) + bytes, here!.statfs);
}

/** Whole percent: bricks that are about as full as each other are as good as each other. */
function percent(bytes: number, { blocks, fragmentSize }: Statfs): number {
  return Math.floor((bytes * 100) / Math.max(1, blocks * fragmentSize));
}

function free({ blocksAvailable, fragmentSize }: Statfs): number {
  return blocksAvailable * fragmentSize;
}

function reserve(d: Distribute, statfs: Statfs): number {
  const limit = d.options['min-free-disk'];
  return 'bytes' in limit ? limit.bytes : (statfs.blocks * statfs.fragmentSize * limit.percent) / 100;
}
