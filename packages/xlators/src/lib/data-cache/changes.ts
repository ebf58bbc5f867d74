/** Which files' data an operation changes. Pure. */
import { type Fd, type FopName, fops, type Gfid, type Loc, nullGfid, type RawStep } from '@mortar/core';

const openExclusive = 0o200;
const openTruncate = 0o1000;

/** Files whose data an operation changes; the null gfid for one that is known by name only. */
export function changedBy(fop: FopName, args: object): Gfid[] {
  const { fd, loc, to, flags } = args as { fd?: Fd; loc?: Loc; to?: Fd; flags?: number };
  if (fop === 'open') return (flags ?? 0) & openTruncate ? [loc?.gfid ?? fd!.gfid] : [];
  if (fop === 'create' || fop === 'put') {
    // One that must be new has nothing that could be cut off.
    if (fop === 'create' && ((flags ?? 0) & (openTruncate | openExclusive)) !== openTruncate) return [];
    return [loc?.gfid ?? nullGfid];
  }
  if (fop === 'copy_file_range') return [to!.gfid];
  if (fops[fop].class !== 'data' || fop === 'fsync' || fop === 'fsyncdir') return [];
  return [fd?.gfid ?? loc?.gfid ?? nullGfid];
}

export function changedBySteps(steps: readonly RawStep[]): Gfid[] {
  return [...new Set(steps.flatMap((step) => changedBy(step.fop as FopName, step.args)))];
}
