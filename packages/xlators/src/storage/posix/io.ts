/** File data: opening, writing, room and copies. */
import { createHash } from 'node:crypto';
import { type Call, Errno, FileType, type Gfid, type Reply } from '@mortar/core';
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_ZERO_RANGE,
  O_ACCMODE,
  O_DSYNC,
  O_NOATIME,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  O_SYNC,
  O_TRUNC,
  SEEK_DATA,
  SEEK_HOLE,
} from '@mortar/libc';
import { type Brick, failed, refused } from './brick.ts';
import { openDirectoryFlags } from './directory-cache.ts';
import { iattOf, isDirectory, type Node, nodeOf, nodeOfFile, refreshed } from './node.ts';
import type { OpenFile } from './open-files.ts';
import { touch } from './times.ts';

/** The most that one copy_file_range copies; the caller goes on. Longer ones would hold up everybody else. */
export const copyMax = 16 * 1024 * 1024;

/** A descriptor of its own for an object found by gfid, or the negative errno. */
export function openNode(brick: Brick, node: Node, flags: number): number {
  const { sys } = brick;
  if (isDirectory(node)) {
    if ((flags & O_ACCMODE) !== O_RDONLY) return -Errno.EISDIR;
    return sys.openat(node.dirfd, '.', openDirectoryFlags);
  }
  if (node.stat.type === FileType.symlink) return -Errno.ELOOP;
  // Devices, fifos and sockets are opened by the client's kernel, never here.
  if (node.stat.type !== FileType.regular) return -Errno.ENXIO;
  const kept = (flags & (O_ACCMODE | O_TRUNC)) | O_NOFOLLOW | O_NOATIME | O_NONBLOCK;
  return node.path === ''
    ? sys.openat(-100, `/proc/self/fd/${node.dirfd}`, kept & ~O_NOFOLLOW)
    : sys.openat(node.dirfd, node.path, kept);
}

/** For I/O on a file that the caller has not opened: a cached descriptor, or the negative errno. */
export function anonymousFile(brick: Brick, gfid: Gfid): OpenFile | number {
  const open = brick.anonymous.get(gfid);
  if (open) return open;
  const node = nodeOf(brick, gfid);
  if (typeof node === 'number') return node;
  if (isDirectory(node)) return -Errno.EISDIR;
  let fd = openNode(brick, node, O_RDWR);
  if (fd === -Errno.EROFS || fd === -Errno.ETXTBSY) fd = openNode(brick, node, O_RDONLY);
  if (fd < 0) return fd;
  const file: OpenFile = { gfid, osFd: fd, directory: false, by: '', pins: 0, closed: false };
  brick.anonymous.set(gfid, file);
  return file;
}

/** Whether an open flag asks for writes that are on disk when they are answered. */
export function syncsWrites(flags: number): boolean {
  return (flags & (O_SYNC | O_DSYNC)) !== 0;
}

function grows(brick: Brick, call: Call, node: Node, end: number): boolean {
  return brick.full && !call.internal && end > node.stat.size;
}

const capabilityXattr = 'security.capability';

/**
 * The kernel takes a file's capabilities off with every change of its data, whoever makes it. What heal brings over is no change of the file:
 * they stay.
 */
function withCapability<T>(brick: Brick, { target }: Node, run: () => T): T | number {
  const before = brick.sys.getxattr(target, capabilityXattr);
  const result = run();
  if (typeof before === 'number' || typeof brick.sys.getxattr(target, capabilityXattr) !== 'number') return result;
  const restored = brick.sys.setxattr(target, capabilityXattr, before);
  return restored < 0 ? restored : result;
}

/** Runs a change of data between two iatts. `keepTimes`: nothing else of the file changes. */
function changed<T extends object>(
  brick: Brick,
  call: Call,
  node: Node,
  keepTimes: boolean,
  run: () => T | number,
): ({ ok: true; pre: ReturnType<typeof iattOf>; post: ReturnType<typeof iattOf> } & T) | ReturnType<typeof failed> {
  const pre = iattOf(brick, node);
  const result = keepTimes ? withCapability(brick, node, run) : run();
  if (typeof result === 'number' && result < 0) return failed(result);
  const now = refreshed(brick, node);
  if (!keepTimes) touch(brick, now, call.time, { data: true, by: call.clientId, later: true });
  return { ok: true, pre, post: iattOf(brick, now), ...(result as T) };
}

export interface WriteHow {
  append: boolean;
  keepTimes: boolean;
}

export function write(
  brick: Brick,
  call: Call,
  file: OpenFile,
  data: Uint8Array,
  offset: number,
  how: WriteHow,
): Reply<'writev'> {
  const node = nodeOfFile(brick, file);
  if (typeof node === 'number') return failed(node);
  const at = how.append ? node.stat.size : offset;
  if (at + data.length > Number.MAX_SAFE_INTEGER) return refused(Errno.EFBIG);
  if (grows(brick, call, node, at + data.length)) return refused(Errno.ENOSPC);
  return changed(brick, call, node, how.keepTimes, () => {
    const written = brick.sys.pwrite(file.osFd, data, 0, data.length, at);
    return written < 0 ? written : { written };
  });
}

export function truncate(brick: Brick, call: Call, file: OpenFile, size: number, keep: boolean): Reply<'truncate'> {
  const node = nodeOfFile(brick, file);
  if (typeof node === 'number') return failed(node);
  return changed(brick, call, node, keep, () => brick.sys.ftruncate(file.osFd, size));
}

/** fallocate, discard (punch a hole) and zerofill. */
export function allocate(
  brick: Brick,
  call: Call,
  file: OpenFile,
  mode: number,
  offset: number,
  size: number,
  keepTimes = false,
): Reply<'fallocate'> {
  const node = nodeOfFile(brick, file);
  if (typeof node === 'number') return failed(node);
  if (size === 0 || offset + size > Number.MAX_SAFE_INTEGER) return refused(size === 0 ? Errno.EINVAL : Errno.EFBIG);
  const frees = (mode & FALLOC_FL_PUNCH_HOLE) !== 0;
  if (!frees && brick.full && !call.internal) return refused(Errno.ENOSPC);
  return changed(brick, call, node, keepTimes, () => brick.sys.fallocate(file.osFd, mode, offset, size));
}

export const punchHole = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
export const zeroRange = FALLOC_FL_ZERO_RANGE;

export function seek(brick: Brick, file: OpenFile, offset: number, what: 'data' | 'hole'): Reply<'seek'> {
  const found = brick.sys.lseek(file.osFd, offset, what === 'data' ? SEEK_DATA : SEEK_HOLE);
  return found < 0 ? failed(found) : { ok: true, offset: found };
}

export function copyRange(
  brick: Brick,
  call: Call,
  from: OpenFile,
  fromOffset: number,
  to: OpenFile,
  toOffset: number,
  size: number,
): Reply<'copy_file_range'> {
  const source = nodeOfFile(brick, from);
  const target = nodeOfFile(brick, to);
  if (typeof source === 'number') return failed(source);
  if (typeof target === 'number') return failed(target);
  if (grows(brick, call, target, toOffset + size)) return refused(Errno.ENOSPC);
  return changed(brick, call, target, false, () => {
    // Less than all means that the source ends there: replicas compare what they copied.
    const all = Math.min(size, copyMax);
    for (let written = 0; ; ) {
      const now = written;
      const copied = brick.sys.copyFileRange(from.osFd, fromOffset + now, to.osFd, toOffset + now, all - now);
      if (copied < 0) return copied;
      written += copied;
      if (copied === 0 || written === all) return { written, source: iattOf(brick, source) };
    }
  });
}

const adlerBase = 65521;
/** Bytes after which the sums could pass 2^32. */
const adlerRun = 5552;

/** Adler-32 (RFC 1950). */
export function adler32(bytes: Uint8Array): number {
  let a = 1;
  let b = 0;
  for (let at = 0; at < bytes.length; ) {
    const end = Math.min(at + adlerRun, bytes.length);
    for (; at < end; at++) {
      a += bytes[at]!;
      b += a;
    }
    a %= adlerBase;
    b %= adlerBase;
  }
  return ((b << 16) | a) >>> 0;
}

export function checksums(data: Uint8Array): { weak: number; strong: Uint8Array; size: number } {
  const strong = Uint8Array.from(createHash('sha256').update(data).digest());
  return { weak: adler32(data), strong, size: data.length };
}
