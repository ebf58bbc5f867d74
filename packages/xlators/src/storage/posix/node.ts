/** Finding objects by gfid, by parent and name, or by open file; and what clients are shown of them. */
import { type ByteString, FileType, type Gfid, type Iatt, nullGfid } from '@mortar/core';
import { AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, Stat, type XattrTarget } from '@mortar/libc';
import type { Brick } from './brick.ts';
import { handlePath, readGfid, unlinkedPath } from './handle.ts';
import { decodeMdata, mdataSize, mdataXattr, type Times } from './mdata.ts';
import type { OpenFile } from './open-files.ts';

const ENOENT = -2;
const ENOTDIR = -20;
const EINVAL = -22;
const ELOOP = -40;
const ESTALE = -116;

/** An object as it was when it was found. For *at calls: `dirfd` and `path`, the latter empty if `dirfd` is it. */
export interface Node {
  gfid: Gfid;
  stat: Stat;
  dirfd: number;
  path: ByteString;
  /** For xattr calls. */
  target: XattrTarget;
}

function nodeAt(gfid: Gfid, stat: Stat, dirfd: number, path: ByteString): Node {
  return { gfid, stat, dirfd, path, target: path === '' ? dirfd : `/proc/self/fd/${dirfd}/${path}` };
}

export function isDirectory(node: Pick<Node, 'stat'>): boolean {
  return node.stat.type === FileType.directory;
}

/** An object met under a name; it may have no gfid yet. */
export type Entry = Omit<Node, 'gfid'> & { gfid: Gfid | null };

/** For calls that do not follow a symlink at the end. */
export function noFollow(node: Node): number {
  return node.path === '' ? AT_EMPTY_PATH : AT_SYMLINK_NOFOLLOW;
}

function byFd(brick: Brick, gfid: Gfid, fd: number): Node | number {
  const stat = new Stat();
  const result = brick.sys.fstat(fd, stat);
  return result < 0 ? result : nodeAt(gfid, stat, fd, '');
}

export function nodeOfFile(brick: Brick, file: OpenFile): Node | number {
  return byFd(brick, file.gfid, file.osFd);
}

/** An object by gfid; ESTALE if the brick has none. */
export function nodeOf(brick: Brick, gfid: Gfid): Node | number {
  if (gfid === nullGfid) return EINVAL;
  const directory = cachedDirectory(brick, gfid);
  if (directory) return directory;
  const file = brick.open.fdOf(gfid) ?? brick.anonymous.get(gfid);
  if (file === undefined) return nodeOfHandle(brick, gfid);
  const node = nodeOfFile(brick, file);
  // A cached descriptor of a file that somebody else has removed says nothing about its gfid.
  const gone = typeof node === 'number' || (node.stat.nlink < 2 && !brick.open.of(gfid));
  return gone ? nodeOfHandle(brick, gfid) : node;
}

/** A directory whose descriptor is at hand, by one call. */
function cachedDirectory(brick: Brick, gfid: Gfid): Node | undefined {
  const stat = new Stat();
  const fd = brick.directories.peek(gfid, stat);
  return fd === undefined ? undefined : nodeAt(gfid, stat, fd, '');
}

/** A directory by its descriptor, which `dirfd` is. ESTALE if there is none, ENOTDIR if the gfid is no directory's. */
export function directoryOf(brick: Brick, gfid: Gfid): Node | number {
  const cached = cachedDirectory(brick, gfid);
  if (cached) return cached;
  const fd = brick.directories.get(gfid);
  return fd < 0 ? fd : byFd(brick, gfid, fd);
}

function nodeOfHandle(brick: Brick, gfid: Gfid): Node | number {
  const path = handlePath(gfid);
  const stat = new Stat();
  const result = brick.sys.statx(brick.hiddenFd, path, stat);
  if (result < 0) return result === ENOENT ? ESTALE : result;
  const node = nodeAt(gfid, stat, brick.hiddenFd, path);
  if (stat.type === FileType.symlink && readGfid(brick.sys, node.target) === null) {
    const fd = brick.directories.get(gfid);
    if (fd < 0) return fd === ENOTDIR || fd === ELOOP ? ESTALE : fd;
    return byFd(brick, gfid, fd);
  }
  // A handle alone is what a crash left of a create or an unlink (docs/posix.md): there is no such file.
  return stat.nlink < 2 ? ESTALE : node;
}

/** A name in an open directory; its gfid is null if it has none yet. ENOENT if there is no such name. */
export function entryOf(brick: Brick, parentFd: number, name: ByteString): Entry | number {
  const stat = new Stat();
  const result = brick.sys.statx(parentFd, name, stat);
  if (result < 0) return result;
  const node = nodeAt(nullGfid, stat, parentFd, name);
  const gfid = brick.xattrs.gfid(stat, node.target);
  if (typeof gfid === 'number') return gfid;
  return { ...node, gfid };
}

const mdata = new Uint8Array(mdataSize);

function readTimes(brick: Brick, node: Node): Times | null {
  const length = brick.sys.getxattrInto(node.target, mdataXattr, mdata);
  const times = length === mdataSize ? decodeMdata(mdata) : null;
  if (times && node.gfid !== nullGfid) brick.times.set(node.gfid, times, node.stat.ino);
  return times;
}

/** The times of mdata, from memory where they are known; while the file is open; null if it has none. */
export function storedTimes(brick: Brick, node: Node): Times | null {
  const state = brick.open.of(node.gfid);
  if (state?.times) return state.times;
  const times = brick.times.get(node.gfid, node.stat.ino) ?? readTimes(brick, node);
  if (state && times) state.times = times;
  return times;
}

/** What clients are shown: without the handle's link, with the times of mdata. */
export function iattOf(brick: Brick, node: Node): Iatt {
  const { stat, gfid } = node;
  const times = (brick.settings.ctime ? storedTimes(brick, node) : null) ?? stat;
  const directory = stat.type === FileType.directory;
  const unlinked = brick.open.of(gfid)?.unlinked === true;
  return {
    gfid,
    type: stat.type as FileType,
    mode: stat.permissions,
    nlink: directory ? stat.nlink : Math.max(stat.nlink - 1, unlinked ? 0 : 1),
    uid: stat.uid,
    gid: stat.gid,
    rdevMajor: stat.rdevMajor,
    rdevMinor: stat.rdevMinor,
    size: stat.size,
    blockSize: stat.blockSize,
    // Space that the file system has set aside behind the end of the file is not the file's.
    blocks: stat.type === FileType.regular ? Math.min(stat.blocks, Math.ceil(stat.size / 512)) : stat.blocks,
    // Not by a spread, which takes five times as long as all of this.
    atime: times.atime,
    atimeNsec: times.atimeNsec,
    mtime: times.mtime,
    mtimeNsec: times.mtimeNsec,
    ctime: times.ctime,
    ctimeNsec: times.ctimeNsec,
    btime: stat.btime,
    btimeNsec: stat.btimeNsec,
  };
}

/** The object again, as it is now. */
export function refreshed(brick: Brick, node: Node): Node {
  const stat = new Stat();
  const result = brick.sys.statx(node.dirfd, node.path, stat, noFollow(node));
  return result < 0 ? node : { ...node, stat };
}

/** The path of an inode that has lost its last name. */
export function unlinkedTarget(brick: Brick, gfid: Gfid): ByteString {
  return `/proc/self/fd/${brick.hiddenFd}/${unlinkedPath(gfid)}`;
}
