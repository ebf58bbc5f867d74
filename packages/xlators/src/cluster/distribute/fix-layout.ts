/** Layouts of existing directories are spread over the children as they are now (`rebalance fix-layout`). */
import { type Call, type Gfid, locOf } from '@mortar/core';
import type { Distribute } from './distribute.ts';
import { changedCommit, encodeRange, type Layout, LayoutType, ownsNames, type Range } from './layout.ts';
import { withLayout } from './locks.ts';
import { askArgs, discover, isDirectory } from './lookup.ts';
import { copiesOf } from './lookup-directory.ts';
import { newRanges, pathOf } from './new-layout.ts';
import { isShared } from './share.ts';

/** True: the directory has the layout that it would get if it were made now. */
export async function fixLayout(d: Distribute, call: Call, gfid: Gfid): Promise<boolean> {
  const own = d.ownCall(call);
  const loc = locOf(gfid);
  // What another process has laid out costs a look and no lock.
  if (isShared(d) && (await isFixed(d, own, gfid))) return true;
  const done = await withLayout(d, call, d.indices, gfid, async () => {
    const replies = await d.ask(d.indices, (child) => child.lookup(own, askArgs(d, { loc })));
    if (!replies.every(isDirectory)) return false;
    const { layout } = copiesOf(d, replies, undefined);
    // Somebody laid it out by hand.
    if (layout.parts.some((part) => part.state === 'range' && part.range.type === LayoutType.user)) return true;
    const ranges = await wantedRanges(d, gfid, layout);
    if (ranges.every((range, i) => isSame(layout, i, range))) return true;
    const written = await d.ask(d.indices, (child, i) =>
      child.setxattr(own, { loc, xattrs: { [d.names.layout]: encodeRange(ranges[i]!) }, flags: 0 }),
    );
    return written.every((reply) => reply.ok);
  });
  if (done !== true) return false;
  return (await discover(d, own, gfid)).ok;
}

async function isFixed(d: Distribute, own: Call, gfid: Gfid): Promise<boolean> {
  const found = await discover(d, own, gfid);
  const state = d.stateOf(gfid);
  if (!found.ok || state?.kind !== 'directory') return false;
  const ranges = await wantedRanges(d, gfid, state.layout);
  return ranges.every((range, i) => isSame(state.layout, i, range));
}

async function wantedRanges(d: Distribute, gfid: Gfid, before: Layout): Promise<Range[]> {
  return alike(await newRanges(d, gfid, pathOf(d, gfid), changedCommit), before);
}

function isSame(layout: Layout, child: number, range: Range): boolean {
  const part = layout.parts[child]!;
  return part.state === 'range' && part.range.start === range.start && part.range.stop === range.stop;
}

/** The same ranges, dealt out so that as many names as possible stay where they are. Pure. */
export function alike(fresh: readonly Range[], before: Layout): Range[] {
  const ranges = [...fresh];
  const shared = (child: number, range: Range) => {
    const part = before.parts[child]!;
    if (part.state !== 'range' || !ownsNames(part.range) || !ownsNames(range)) return 0;
    return Math.max(0, Math.min(part.range.stop, range.stop) - Math.max(part.range.start, range.start) + 1);
  };
  for (let i = 0; i < ranges.length; i++)
    for (let j = i + 1; j < ranges.length; j++) {
      // A child that gets no names is not to get any.
      if (!ownsNames(ranges[i]!) || !ownsNames(ranges[j]!)) continue;
      const now = shared(i, ranges[i]!) + shared(j, ranges[j]!);
      if (shared(i, ranges[j]!) + shared(j, ranges[i]!) <= now) continue;
      [ranges[i], ranges[j]] = [ranges[j]!, ranges[i]!];
    }
  return ranges;
}
