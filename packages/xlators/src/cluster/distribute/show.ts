/** The step of a move that makes the copy the file, and what is done when it does not come about. */
import { type Call, compoundStep, type Failure, Fd, type Gfid, locOf, type RawStep } from '@mortar/core';
import type { Distribute } from './distribute.ts';
import { asOf } from './hold.ts';
import { linktoMode, migratingBits } from './linkto.ts';
import { askArgs, type Found, isLinkto } from './lookup.ts';
import { ownMode, unmark } from './marks.ts';
import { type FileToMove, failed, leftUnsettled, type Moved, skipped } from './moved.ts';

/** O_RDWR */
const readWrite = 2;

/** Bricks let others go on after ten seconds (features/locks): whoever is slower than this takes all back before. */
export const heldMaxMs = 7000;

/** The old place is marked; undefined: the copy is the file now. `isLate`: it may have been changed meanwhile. */
export async function show(
  d: Distribute,
  own: Call,
  file: FileToMove,
  source: Found,
  isLate: boolean,
): Promise<Moved | undefined> {
  const errno = isLate ? undefined : await reveal(d, own, file, source);
  if (errno === 0) return undefined;
  const [there] = await d.ask([file.to], (child) => child.lookup(own, askArgs(d, { loc: locOf(file.gfid) })));
  // Whether it was done: if that is not known, the mark stays.
  const isTakenBack = isLinkto(d, there!) && (await unmark(d, own, file, source));
  const reason = isLate ? 'it took too long' : `its copy cannot be made the file: errno ${errno}`;
  if (!isTakenBack) return leftUnsettled(reason);
  return isLate ? skipped(reason) : failed(reason);
}

/** The copy, which has the file's owner, gets the rest that the file has. Until its linkto xattr goes, too, it is a file that has just come. */
async function reveal(d: Distribute, own: Call, file: FileToMove, source: Found): Promise<number> {
  const { iatt } = source;
  const loc = locOf(file.gfid);
  const to = d.children[file.to]!;
  const mode = ownMode(d, source);
  const ctime = { sec: iatt.ctime, nsec: iatt.ctimeNsec };
  const isMark = (mode & migratingBits) === migratingBits;
  const attr = {
    mode: isMark ? mode & ~linktoMode : mode,
    atime: { sec: iatt.atime, nsec: iatt.atimeNsec },
    mtime: { sec: iatt.mtime, nsec: iatt.mtimeNsec },
    ctime,
  };
  // Should we have been stopped since, the brick knows.
  const xdata = { whileHeld: true };
  const steps: RawStep[] = [compoundStep('setattr', { loc, attr, xdata })];
  // A file of just the mode of a linkto is one, and one of that of the mark has it, as long as it has the xattr.
  if (isMark || mode === linktoMode) steps.push(compoundStep('removexattr', { loc, name: d.names.linkto, xdata }));
  if (isMark) steps.push(compoundStep('setattr', { loc, attr: { mode, ctime } }));
  // The old place is emptied next. A machine that lost power would have a linkto here that leads to nothing.
  if (d.options['ensure-durability']) steps.push(durable(file.gfid));
  const done = await to.compound(asOf(own, iatt), { steps });
  if (!done.ok) return done.errno;
  const refused = done.replies.find((reply) => !reply.ok) as Failure | undefined;
  return refused?.errno ?? 0;
}

/** Attributes, too: they tell a file from a linkto. */
export function durable(gfid: Gfid): RawStep {
  return compoundStep('fsync', { fd: new Fd(gfid, readWrite), dataOnly: false });
}
