/**
 * Repairs at lookup (docs/posix.md): a name whose object has a gfid but no right handle gets it; what stands in the
 * handle's place without being one is removed.
 */
import { type ByteString, FileType, type Gfid, isGfid } from '@mortar/core';
import { AT_REMOVEDIR, Stat } from '@mortar/libc';
import type { Brick } from './brick.ts';
import { atHandle, directoryTarget, gfidXattr, handlePath, isRoot, readGfid } from './handle.ts';
import { addName } from './links.ts';
import { isDirectory, type Node } from './node.ts';

const EEXIST = -17;
const ENOENT = -2;
const ENOTDIR = -20;
const ESTALE = -116;

/** Makes sure, once in the store's life, that the handle of a named object leads to it. 0 or the negative errno. */
export function ensureHandle(brick: Brick, node: Node, parent: Gfid, name: ByteString): number {
  const alone = !isDirectory(node) && node.stat.nlink === 1;
  if (isRoot(node.gfid) || (!alone && brick.verified.get(node.gfid))) return 0;
  const result = isDirectory(node) ? directoryHandle(brick, node, parent, name) : fileHandle(brick, node, parent, name);
  if (result === 0) brick.verified.set(node.gfid, true);
  return result;
}

function directoryHandle(brick: Brick, node: Node, parent: Gfid, name: ByteString): number {
  const path = handlePath(node.gfid);
  const target = directoryTarget(parent, name);
  if (brick.sys.readlinkat(brick.hiddenFd, path) === target) return 0;
  return putDirectoryHandle(brick, node.gfid, target);
}

/** Writes a directory's handle, in place of whatever is there, in one step. */
export function putDirectoryHandle(brick: Brick, gfid: Gfid, target: ByteString): number {
  const { sys, hiddenFd } = brick;
  const path = handlePath(gfid);
  const made = atHandle(sys, hiddenFd, gfid, () => sys.symlinkat(target, hiddenFd, path));
  if (made !== EEXIST) return made;
  const temporary = `${path}.new`;
  sys.unlinkat(hiddenFd, temporary);
  const written = sys.symlinkat(target, hiddenFd, temporary);
  return written < 0 ? written : sys.renameat2(hiddenFd, temporary, hiddenFd, path);
}

function fileHandle(brick: Brick, node: Node, parent: Gfid, name: ByteString): number {
  const { sys, hiddenFd } = brick;
  const path = handlePath(node.gfid);
  const stat = new Stat();
  if (sys.statx(hiddenFd, path, stat) === 0) {
    if (stat.ino === node.stat.ino) return 0;
    if (stat.nlink > 1) {
      brick.log('ERROR', `two files have the gfid ${node.gfid}; one of them is ${name} in ${parent}`);
      return 0;
    }
    sys.unlinkat(hiddenFd, path);
  }
  const linked = atHandle(sys, hiddenFd, node.gfid, () => sys.linkat(node.dirfd, node.path, hiddenFd, path));
  if (linked < 0) return linked;
  node.stat.nlink++;
  return addName(brick, node, parent, name);
}

/** Gives an object of the brick that has no gfid the one the client chose. */
export function adopt(brick: Brick, node: Node, gfid: Gfid, parent: Gfid, name: ByteString): number {
  if (!isGfid(gfid)) return -22;
  const taken = freeHandle(brick, gfid);
  if (taken < 0) return taken;
  const bytes = Buffer.from(gfid.replaceAll('-', ''), 'hex');
  const result = brick.sys.setxattr(node.target, gfidXattr, bytes, 1);
  if (result < 0) return result;
  node.gfid = gfid;
  return ensureHandle(brick, node, parent, name);
}

/**
 * Makes the place of a handle free: 0 if it is or was held by what a crash left, EEXIST if an object has this gfid.
 */
export function freeHandle(brick: Brick, gfid: Gfid): number {
  const { sys, hiddenFd } = brick;
  const path = handlePath(gfid);
  const stat = new Stat();
  const found = sys.statx(hiddenFd, path, stat);
  if (found === ENOENT) return 0;
  if (found < 0) return found;
  if (brick.open.of(gfid)) return EEXIST;
  if (stat.type === FileType.symlink && readGfid(sys, `/proc/self/fd/${hiddenFd}/${path}`) === null) {
    const fd = brick.directories.get(gfid);
    if (fd >= 0) return EEXIST;
    // That it cannot be reached now does not make it a leftover.
    if (fd !== ESTALE && fd !== ENOTDIR) return fd;
  } else if (stat.nlink > 1) return EEXIST;
  return sys.unlinkat(hiddenFd, path, stat.type === FileType.directory ? AT_REMOVEDIR : 0);
}
