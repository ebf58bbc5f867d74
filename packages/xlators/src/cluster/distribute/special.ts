/**
 * Links, devices, pipes and sockets have no data: where they go they are made anew. Both places say so until one of them is
 * left, so that a name that is removed meanwhile, or after a kill, does not come back from the other (docs/distribute.md).
 */
import { type Call, Errno, type Failure, FileType, fail, type Iatt, locAt, locOf, type Xattrs } from '@mortar/core';
import { copyXattrs } from './copy-file.ts';
import { type Distribute, isFailure } from './distribute.ts';
import { asOf } from './hold.ts';
import { encodeLinkto } from './linkto.ts';
import type { Done } from './linkto-files.ts';
import { withMovesShut, withNames } from './locks.ts';
import { askArgs, type Found, isAbsent, isData, isLinkto } from './lookup.ts';
import { removeMark } from './marks.ts';
import { type FileToMove, failed, leftUnsettled, type Moved, skipped } from './moved.ts';
import { namesOfFile } from './names-of-file.ts';
import { settleInTurn } from './settle.ts';

export async function moveSpecial(d: Distribute, own: Call, file: FileToMove, found: Found): Promise<Moved> {
  if (found.iatt.nlink > 1) return skipped('it has several names');
  if (found.xattrs[d.names.linkto] !== undefined) {
    const done = await settleInTurn(d, own, file.gfid);
    if (!done.ok) return leftUnsettled(`what is left of an earlier move cannot be settled: errno ${done.errno}`);
  }
  const made = await withNames(d, own, [{ child: file.to, parent: file.parent, name: file.name }], () =>
    withMovesShut(d, own, [file.from], file.gfid, () => makeAnew(d, own, file)),
  );
  return isFailure(made) ? failed(`it cannot be locked: errno ${made.errno}`) : made;
}

async function makeAnew(d: Distribute, own: Call, file: FileToMove): Promise<Moved> {
  const loc = locAt(file.parent, file.name);
  const look = (child: number) => d.ask([child], (one) => one.lookup(own, askArgs(d, { loc })));
  const [here] = await look(file.from);
  if (!isData(d, here!) || here.iatt.gfid !== file.gfid) return skipped('it is gone');
  const { iatt } = here;
  const [there] = await look(file.to);
  if (isLinkto(d, there!) && there.iatt.gfid === file.gfid) await d.children[file.to]!.unlink(own, { loc });
  // Of one that is there already, by a move that did not end, only the old place is left to be cleared.
  else if (!isAbsent(there) && !(there?.ok && there.iatt.gfid === file.gfid && there.iatt.type === iatt.type))
    return failed('another file has its name there');
  const leaving = {
    [d.names.linkto]: encodeLinkto(d.childName(file.to)),
    [d.names.movingMode]: Buffer.from(iatt.mode.toString(8)),
  };
  const as = asOf(own, iatt);
  const marked = await d.children[file.from]!.setxattr(as, { loc: locOf(file.gfid), xattrs: leaving, flags: 0 });
  if (!marked.ok) return leftUnsettled(`it cannot be marked: errno ${marked.errno}`);
  const done = await moveMarked(d, own, file, iatt, !there?.ok || isLinkto(d, there));
  if (done.ok) return { outcome: 'moved', bytes: 0, ...(done.isUnsettled && { isUnsettled: true }) };
  // Whatever it came to, the old place is whole.
  await settleSpecial(d, own, file.gfid, await everyCopy(d, own, file));
  return leftUnsettled(`it cannot be made there, or its old place cannot be cleared: errno ${done.errno}`);
}

async function moveMarked(
  d: Distribute,
  own: Call,
  file: FileToMove,
  iatt: Iatt,
  isNew: boolean,
): Promise<{ ok: true; isUnsettled: boolean } | Failure> {
  const to = d.children[file.to]!;
  const byGfid = locOf(file.gfid);
  const come: Xattrs = { [d.names.linkto]: encodeLinkto(d.childName(file.from)) };
  const made = isNew
    ? await make(d, own, file, iatt, come)
    : await to.setxattr(own, { loc: byGfid, xattrs: come, flags: 0 });
  if (!made.ok) return made;
  const { mode, uid, gid } = iatt;
  const times = {
    atime: { sec: iatt.atime, nsec: iatt.atimeNsec },
    mtime: { sec: iatt.mtime, nsec: iatt.mtimeNsec },
  };
  const attr = { uid, gid, ...times, ...(iatt.type !== FileType.symlink && { mode }) };
  const dressed = await to.setattr(own, { loc: byGfid, attr });
  if (!dressed.ok) return dressed;
  if (!(await copyXattrs(d, own, file))) return fail(Errno.EIO);
  d.remember(file.gfid, { kind: 'file', child: file.to, isUnsettled: true });
  const loc = locAt(file.parent, file.name, file.gfid);
  const removed = await d.children[file.from]!.unlink(own, { loc, xdata: { movedAway: true } });
  if (!removed.ok) return removed;
  const settled = await removeMark(d, own, file.to, iatt, d.names.linkto);
  d.remember(file.gfid, { kind: 'file', child: file.to, ...(!settled.ok && { isUnsettled: true }) });
  return { ok: true, isUnsettled: !settled.ok };
}

async function make(
  d: Distribute,
  own: Call,
  { parent, name, gfid, from, to }: FileToMove,
  iatt: Iatt,
  initial: Xattrs,
) {
  const loc = locAt(parent, name);
  const as = d.callAs(own, iatt);
  if (iatt.type !== FileType.symlink) {
    const { rdevMajor, rdevMinor } = iatt;
    const mode = (iatt.type << 12) | iatt.mode;
    return d.children[to]!.mknod(as, { loc, mode, rdevMajor, rdevMinor, gfid, initial });
  }
  const link = await d.children[from]!.readlink(own, { loc: locOf(gfid) });
  return link.ok ? d.children[to]!.symlink(as, { loc, target: link.target, gfid, initial }) : link;
}

/** What a child has of something special. */
export interface SpecialCopy {
  readonly child: number;
  readonly found: Found;
}

async function everyCopy(d: Distribute, own: Call, { gfid, from, to }: FileToMove): Promise<SpecialCopy[]> {
  const args = askArgs(d, { loc: locOf(gfid) });
  const replies = await d.ask([from, to], (child) => child.lookup(own, args));
  return [from, to].flatMap((child, i) => (isData(d, replies[i]!) ? [{ child, found: replies[i] }] : []));
}

/** Takes a move back, or its mark: what is to leave is whole, what has come may not be. */
export async function settleSpecial(
  d: Distribute,
  own: Call,
  gfid: FileToMove['gfid'],
  copies: readonly SpecialCopy[],
): Promise<Done> {
  const whole = copies.find(({ found }) => found.xattrs[d.names.movingMode] !== undefined) ?? copies[0];
  if (!whole) return { ok: true };
  for (const { child, found } of copies) {
    if (child === whole.child || found.xattrs[d.names.linkto] === undefined) continue;
    for (const { parent, name } of (await namesOfFile(d, own, child, gfid)) ?? []) {
      const removed = await d.children[child]!.unlink(own, {
        loc: locAt(parent, name, gfid),
        xdata: { movedAway: true },
      });
      if (!removed.ok && !isAbsent(removed)) return removed;
    }
  }
  for (const name of [d.names.linkto, d.names.movingMode]) {
    if (whole.found.xattrs[name] === undefined) continue;
    const removed = await removeMark(d, own, whole.child, whole.found.iatt, name);
    if (!removed.ok) return removed;
  }
  return { ok: true };
}
