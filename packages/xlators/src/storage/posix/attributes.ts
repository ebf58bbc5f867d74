/** stat, setattr, access. */
import { type AttrChange, type Call, Errno, FileType, type Reply } from '@mortar/core';
import { type Brick, failed } from './brick.ts';
import { iattOf, isDirectory, type Node, noFollow, refreshed } from './node.ts';
import { setTimes, touch } from './times.ts';

/** Owner before mode: chown clears set-id bits, which a mode given with it means to set. */
export function setattr(brick: Brick, call: Call, node: Node, attr: AttrChange): Reply<'setattr'> {
  const pre = iattOf(brick, node);
  const { uid, gid, mode, atime, mtime } = attr;
  let result = uid === undefined && gid === undefined ? 0 : changeOwner(brick, node, uid ?? -1, gid ?? -1);
  if (result >= 0 && mode !== undefined) result = changeMode(brick, node, mode & 0o7777);
  const timed = atime !== undefined || mtime !== undefined || attr.ctime !== undefined;
  if (result >= 0 && (atime || mtime)) result = changeTimes(brick, node, attr);
  if (result < 0) return failed(result);
  const now = refreshed(brick, node);
  if (timed) setTimes(brick, now, attr, call.time, call.internal !== undefined);
  else touch(brick, now, call.time, { data: false });
  return { ok: true, pre, post: iattOf(brick, now) };
}

function changeOwner(brick: Brick, node: Node, uid: number, gid: number): number {
  return brick.sys.fchownat(node.dirfd, node.path, uid, gid, noFollow(node));
}

function changeMode(brick: Brick, node: Node, mode: number): number {
  if (node.stat.type === FileType.symlink) return -Errno.EOPNOTSUPP;
  return node.path === '' ? brick.sys.fchmod(node.dirfd, mode) : brick.sys.fchmodat(node.dirfd, node.path, mode);
}

function changeTimes(brick: Brick, node: Node, { atime, mtime }: AttrChange): number {
  return node.path === ''
    ? brick.sys.futimens(node.dirfd, atime, mtime)
    : brick.sys.utimensat(node.dirfd, node.path, atime, mtime, noFollow(node));
}

const readable = 4;
const writable = 2;
const executable = 1;

/** By the caller's credentials and the mode bits; ACLs are features/access-control's. */
export function access(call: Call, node: Node, mask: number): number {
  const { mode, uid, gid } = node.stat;
  const asked = mask & (readable | writable | executable);
  if (call.internal) return 0;
  if (call.uid === 0) {
    const runs = isDirectory(node) || (mode & 0o111) !== 0;
    return asked & executable && !runs ? -Errno.EACCES : 0;
  }
  const inGroup = call.gid === gid || call.groups.includes(gid);
  const bits = call.uid === uid ? mode >> 6 : inGroup ? mode >> 3 : mode;
  return (bits & asked) === asked ? 0 : -Errno.EACCES;
}
