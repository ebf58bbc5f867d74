/** unlink, rmdir, and what happens to an object that has lost a name. The name goes first, then the handle. */
import { type ByteString, type Call, FileType, type Gfid, nullGfid, type Xdata } from '@mortar/core';
import { AT_REMOVEDIR, RENAME_NOREPLACE } from '@mortar/libc';
import type { Brick } from './brick.ts';
import { handlePath, landfillFolder, unlinkedPath } from './handle.ts';
import { removeName } from './links.ts';
import { type Entry, entryOf, isDirectory, type Node } from './node.ts';
import type { Parent } from './parents.ts';
import { touch } from './times.ts';

const linktoMode = 0o1000;
const ENOENT = -2;
const ENOTDIR = -20;
const EISDIR = -21;
const EEXIST = -17;
const ENOTEMPTY = -39;

/**
 * After a name of a non-directory is gone: other names stay, or the last one was it and the handle goes as well; the
 * inode of an open file waits in `unlink/` until the last close. `before` is the object as it was with the name.
 */
export function nameLost(brick: Brick, call: Call, before: Node, parent: Gfid, name: string, keep = false): void {
  if (before.gfid === nullGfid) return;
  const { sys, hiddenFd } = brick;
  const path = handlePath(before.gfid);
  const node: Node = { ...before, dirfd: hiddenFd, path, target: `/proc/self/fd/${hiddenFd}/${path}` };
  if (before.stat.nlink > 2 || keep) {
    removeName(brick, node, parent, name);
    touch(brick, node, call.time, { data: false });
    return;
  }
  brick.verified.delete(before.gfid);
  brick.times.forget(before.gfid);
  brick.anonymous.delete(before.gfid);
  const state = brick.open.of(before.gfid);
  if (!state) {
    sys.unlinkat(hiddenFd, path);
    return;
  }
  touch(brick, node, call.time, { data: false });
  if (sys.renameat2(hiddenFd, path, hiddenFd, unlinkedPath(before.gfid)) === 0) state.unlinked = true;
}

/** Whether an object is a linkto of distribute's, or a file whose move is not settled: its xattr says where it is, goes, or was. */
export function isLinkto(brick: Brick, { stat, target }: Entry, xattr: ByteString | undefined): boolean {
  if (xattr === undefined || stat.type === FileType.directory) return false;
  return brick.sys.getxattr(target, xattr) instanceof Uint8Array;
}

/** Whether it is nothing but a linkto. */
export function isMereLinkto(brick: Brick, entry: Entry, xattr: ByteString | undefined): boolean {
  const { type, mode } = entry.stat;
  return type === FileType.regular && (mode & 0o7777) === linktoMode && isLinkto(brick, entry, xattr);
}

/** 0 or the negative errno. `keepHandle`: heal may want the object under another name. */
export function unlink(
  brick: Brick,
  call: Call,
  parent: Parent,
  { keepHandle, notLinkto, movedAway }: Xdata = {},
): number {
  const entry = entryOf(brick, parent.fd, parent.name);
  if (typeof entry === 'number') return entry;
  if (entry.stat.type === FileType.directory) return EISDIR;
  if (isLinkto(brick, entry, notLinkto)) return ENOENT;
  const result = brick.sys.unlinkat(parent.fd, parent.name);
  if (result < 0) return result;
  // Its gfid may be given to a linkto in its place.
  if (movedAway && entry.gfid && entry.stat.nlink <= 2) brick.open.disown(entry.gfid);
  nameLost(brick, call, { ...entry, gfid: entry.gfid ?? nullGfid }, parent.node.gfid, parent.name, keepHandle === true);
  return 0;
}

/** After a directory's name is gone. */
export function directoryLost(brick: Brick, gfid: Gfid | null): void {
  if (gfid === null) return;
  brick.sys.unlinkat(brick.hiddenFd, handlePath(gfid));
  brick.verified.delete(gfid);
  brick.times.forget(gfid);
  brick.directories.drop(gfid);
}

/** Into the landfill, under a name of its own: one of the same gfid may still lie there. */
function bury(brick: Brick, parent: Parent, { gfid, stat }: Entry): number {
  const grave = `${landfillFolder}/${gfid ?? `ino-${stat.ino}`}`;
  const move = (to: string) => brick.sys.renameat2(parent.fd, parent.name, brick.hiddenFd, to, RENAME_NOREPLACE);
  const first = move(grave);
  return first === EEXIST ? move(`${grave}.${stat.ino}`) : first;
}

/** 0 or the negative errno; `recursive` takes the whole tree out of sight, to be deleted in the background. */
export function rmdir(brick: Brick, parent: Parent, recursive: boolean): number {
  const entry = entryOf(brick, parent.fd, parent.name);
  if (typeof entry === 'number') return entry;
  if (!isDirectory(entry)) return ENOTDIR;
  let result = brick.sys.unlinkat(parent.fd, parent.name, AT_REMOVEDIR);
  if ((result === ENOTEMPTY || result === EEXIST) && recursive) {
    result = bury(brick, parent, entry);
    // Descriptors of what is below it lead into the landfill now.
    if (result === 0) {
      brick.directories.clear();
      brick.times.clear();
    }
  }
  // XFS says EEXIST where POSIX lets it choose; Linux programs know ENOTEMPTY.
  if (result < 0) return result === EEXIST ? ENOTEMPTY : result;
  directoryLost(brick, entry.gfid);
  return 0;
}
