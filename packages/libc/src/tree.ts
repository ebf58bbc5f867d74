/** Calls on names: directories, links, renames, owners, modes, times. */
import type { ByteString, Timespec } from '@mortar/core';
import { AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_FOLLOW, UTIME_NOW, UTIME_OMIT } from './constants.ts';
import { bind, Memory, outcome, path1, path2, putPath } from './native.ts';

const native = {
  mkdirat: bind('mkdirat', 'int', ['int', 'void *', 'uint32_t']),
  mknodat: bind('mknodat', 'int', ['int', 'void *', 'uint32_t', 'uint64_t']),
  symlinkat: bind('symlinkat', 'int', ['void *', 'int', 'void *']),
  readlinkat: bind('readlinkat', 'long', ['int', 'void *', 'void *', 'size_t']),
  linkat: bind('linkat', 'int', ['int', 'void *', 'int', 'void *', 'int']),
  unlinkat: bind('unlinkat', 'int', ['int', 'void *', 'int']),
  renameat2: bind('renameat2', 'int', ['int', 'void *', 'int', 'void *', 'uint32_t']),
  utimensat: bind('utimensat', 'int', ['int', 'void *', 'void *', 'int']),
  futimens: bind('futimens', 'int', ['int', 'void *']),
  fchmodat: bind('fchmodat', 'int', ['int', 'void *', 'uint32_t', 'int']),
  fchmod: bind('fchmod', 'int', ['int', 'uint32_t']),
  fchownat: bind('fchownat', 'int', ['int', 'void *', 'uint32_t', 'uint32_t', 'int']),
  fchown: bind('fchown', 'int', ['int', 'uint32_t', 'uint32_t']),
  faccessat: bind('faccessat', 'int', ['int', 'void *', 'int', 'int']),
};

/** The kernel applies the process's umask to `mode` here and in mknodat: servers set it to 0 at start. */
export function mkdirat(dirfd: number, path: ByteString, mode: number): number {
  const bad = putPath(path, path1);
  return bad < 0 ? bad : outcome(native.mkdirat(dirfd, path1, mode));
}

/** `mode` with its S_IFMT bits. */
export function mknodat(dirfd: number, path: ByteString, mode: number, major = 0, minor = 0): number {
  const bad = putPath(path, path1);
  return bad < 0 ? bad : outcome(native.mknodat(dirfd, path1, mode, makeDevice(major, minor)));
}

/** A dev_t as glibc's makedev lays it out; within 2^53 for majors below 2^20, which is all that Linux has. */
export function makeDevice(major: number, minor: number): number {
  const low = (minor & 0xff) | ((major & 0xfff) << 8);
  const high = BigInt.asUintN(64, (BigInt(minor >>> 8) << 20n) | (BigInt(major >>> 12) << 44n));
  return Number(high | BigInt(low));
}

export function symlinkat(target: ByteString, dirfd: number, path: ByteString): number {
  const bad = putPath(target, path1) || putPath(path, path2);
  return bad < 0 ? bad : outcome(native.symlinkat(path1, dirfd, path2));
}

const target = Buffer.alloc(4096);

/** The target, or the negative errno. */
export function readlinkat(dirfd: number, path: ByteString): ByteString | number {
  const bad = putPath(path, path1);
  if (bad < 0) return bad;
  const length = outcome(native.readlinkat(dirfd, path1, target, target.length));
  return length < 0 ? length : target.toString('latin1', 0, length);
}

export function linkat(
  oldDirfd: number,
  oldPath: ByteString,
  newDirfd: number,
  newPath: ByteString,
  flags = 0,
): number {
  const bad = putPath(oldPath, path1) || putPath(newPath, path2);
  return bad < 0 ? bad : outcome(native.linkat(oldDirfd, path1, newDirfd, path2, flags));
}

/** Gives an open file (also O_PATH, O_TMPFILE) a name; through /proc where AT_EMPTY_PATH lacks its capability. */
export function linkFd(fd: number, newDirfd: number, newPath: ByteString): number {
  const direct = linkat(fd, '', newDirfd, newPath, AT_EMPTY_PATH);
  if (direct !== -2) return direct;
  return linkat(AT_FDCWD, `/proc/self/fd/${fd}`, newDirfd, newPath, AT_SYMLINK_FOLLOW);
}

/** `flags`: AT_REMOVEDIR for a directory. */
export function unlinkat(dirfd: number, path: ByteString, flags = 0): number {
  const bad = putPath(path, path1);
  return bad < 0 ? bad : outcome(native.unlinkat(dirfd, path1, flags));
}

export function renameat2(
  oldDirfd: number,
  oldPath: ByteString,
  newDirfd: number,
  newPath: ByteString,
  flags = 0,
): number {
  const bad = putPath(oldPath, path1) || putPath(newPath, path2);
  return bad < 0 ? bad : outcome(native.renameat2(oldDirfd, path1, newDirfd, path2, flags));
}

const times = new Memory(32);

/** Absent stays as it is, `'now'` is the kernel's clock. */
export type TimeChange = Timespec | 'now' | undefined;

function putTimes(atime: TimeChange, mtime: TimeChange): void {
  putTime(0, atime);
  putTime(16, mtime);
}

function putTime(at: number, time: TimeChange): void {
  const fixed = typeof time === 'object' ? time : { sec: 0, nsec: time === 'now' ? UTIME_NOW : UTIME_OMIT };
  times.setI64(at, fixed.sec);
  times.setI64(at + 8, fixed.nsec);
}

export function utimensat(
  dirfd: number,
  path: ByteString,
  atime: TimeChange,
  mtime: TimeChange,
  flags: number,
): number {
  const bad = putPath(path, path1);
  if (bad < 0) return bad;
  putTimes(atime, mtime);
  return outcome(native.utimensat(dirfd, path1, times.bytes, flags));
}

export function futimens(fd: number, atime: TimeChange, mtime: TimeChange): number {
  putTimes(atime, mtime);
  return outcome(native.futimens(fd, times.bytes));
}

export function fchmodat(dirfd: number, path: ByteString, mode: number): number {
  const bad = putPath(path, path1);
  return bad < 0 ? bad : outcome(native.fchmodat(dirfd, path1, mode, 0));
}

export function fchmod(fd: number, mode: number): number {
  return outcome(native.fchmod(fd, mode));
}

/** -1 leaves uid or gid as it is. */
export function fchownat(dirfd: number, path: ByteString, uid: number, gid: number, flags: number): number {
  const bad = putPath(path, path1);
  return bad < 0 ? bad : outcome(native.fchownat(dirfd, path1, uid >>> 0, gid >>> 0, flags));
}

export function fchown(fd: number, uid: number, gid: number): number {
  return outcome(native.fchown(fd, uid >>> 0, gid >>> 0));
}

/** `mask`: R_OK 4, W_OK 2, X_OK 1, F_OK 0; by the process's own credentials. */
export function faccessat(dirfd: number, path: ByteString, mask: number): number {
  const bad = putPath(path, path1);
  return bad < 0 ? bad : outcome(native.faccessat(dirfd, path1, mask, 0));
}
