/**
 * What a move of a file leaves on its two places, in this order (docs/distribute.md, "What moves files"): the old place is
 * marked; the new one becomes the file, its linkto xattr telling still where it came from; the old one becomes a linkto.
 */
import { type Call, Errno, type Gfid, type Iatt, locOf, type Xattrs } from '@mortar/core';
import type { Distribute } from './distribute.ts';
import { asOf } from './hold.ts';
import { encodeLinkto, isMigrating, linktoMode, migratingBits, withoutMigratingBits } from './linkto.ts';
import type { Done } from './linkto-files.ts';
import type { Found } from './lookup.ts';

interface Moving {
  readonly gfid: Gfid;
  readonly from: number;
  readonly to: number;
}

export function isMarked(d: Distribute, { iatt, xattrs }: Found): boolean {
  return isMigrating(iatt) && (xattrs[d.names.linkto] !== undefined || xattrs[d.names.movingMode] !== undefined);
}

/** The file's mode without the mark that a move has left. */
export function ownMode(d: Distribute, source: Pick<Found, 'iatt' | 'xattrs'>): number {
  const kept = source.xattrs[d.names.movingMode];
  const mode = isMigrating(source.iatt) && kept ? Number.parseInt(Buffer.from(kept).toString('latin1'), 8) : Number.NaN;
  const known = mode >= 0 && mode <= 0o7777;
  return known ? mode : withoutMigratingBits(source.iatt, source.xattrs, d.names.linkto).mode;
}

/** As clients are shown it. A mark that was taken off in part, because its brick could not be reached, still tells the mode. */
export function withOwnMode(d: Distribute, iatt: Iatt, xattrs: Xattrs): Iatt {
  return isMigrating(iatt) ? { ...iatt, mode: ownMode(d, { iatt, xattrs }) } : iatt;
}

export async function mark(d: Distribute, own: Call, file: Moving, iatt: Iatt, mode: number): Promise<boolean> {
  const loc = locOf(file.gfid);
  const from = d.children[file.from]!;
  const as = asOf(own, iatt);
  const target: Xattrs = { [d.names.linkto]: encodeLinkto(d.childName(file.to)) };
  const kept: Xattrs = { [d.names.movingMode]: Buffer.from(mode.toString(8)) };
  // A file of just this mode would be taken for a linkto.
  const isAlike = mode === linktoMode;
  const first = await from.setxattr(as, { loc, xattrs: isAlike ? kept : { ...target, ...kept }, flags: 0 });
  if (!first.ok) return false;
  const ctime = { sec: iatt.ctime, nsec: iatt.ctimeNsec };
  if (!(await from.setattr(as, { loc, attr: { mode: mode | migratingBits, ctime } })).ok) return false;
  return !isAlike || (await from.setxattr(as, { loc, xattrs: target, flags: 0 })).ok;
}

/** Takes a mark off a child's copy, in the name of who changed the file last; it may be off already. */
export async function removeMark(d: Distribute, own: Call, child: number, iatt: Iatt, name: string): Promise<Done> {
  const removed = await d.children[child]!.removexattr(asOf(own, iatt), { loc: locOf(iatt.gfid), name });
  return removed.ok || removed.errno === Errno.ENODATA ? { ok: true } : removed;
}

/** Never a file that looks like a linkto in between. False: something of the mark may be there still. */
export async function unmark(
  d: Distribute,
  own: Call,
  { gfid, from }: Pick<Moving, 'gfid' | 'from'>,
  source: Found,
): Promise<boolean> {
  const loc = locOf(gfid);
  const { iatt } = source;
  const as = asOf(own, iatt);
  const { linkto, movingMode } = d.names;
  const attr = { mode: ownMode(d, source), ctime: { sec: iatt.ctime, nsec: iatt.ctimeNsec } };
  if (!(await removeMark(d, own, from, iatt, linkto)).ok) return false;
  if (!(await d.children[from]!.setattr(as, { loc, attr })).ok) return false;
  return (await removeMark(d, own, from, iatt, movingMode)).ok;
}

/** What is left of a file that is elsewhere: all its names are those of one linkto, in one step; descriptors are dead. */
export async function leaveLinkto(d: Distribute, own: Call, { gfid, from, to }: Moving, has: Found): Promise<boolean> {
  const loc = locOf(gfid);
  const child = d.children[from]!;
  const value = encodeLinkto(d.childName(to));
  const now = has.xattrs[d.names.linkto];
  if (!now || Buffer.compare(now, value) !== 0) {
    const led = await child.setxattr(own, { loc, xattrs: { [d.names.linkto]: value }, flags: 0 });
    if (!led.ok) return false;
  }
  if (!(await child.setattr(own, { loc, attr: { mode: linktoMode } })).ok) return false;
  // From here on nothing depends on it.
  await child.removexattr(own, { loc, name: d.names.movingMode });
  await child.truncate(own, { loc, size: 0 });
  return true;
}
