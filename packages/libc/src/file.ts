/** Calls on open files. Buffers are addressed as in node:fs: start and length within the buffer, then the position. */
import type { ByteString } from '@mortar/core';
import { O_CLOEXEC } from './constants.ts';
import { addressOf, assertOffset, assertRange, bind, Memory, outcome, part, path1, putPath } from './native.ts';

const native = {
  openat: bind('openat', 'int', ['int', 'void *', 'int', 'uint32_t']),
  close: bind('close', 'int', ['int']),
  read: bind('read', 'long', ['int', 'void *', 'size_t']),
  write: bind('write', 'long', ['int', 'void *', 'size_t']),
  pread: bind('pread', 'long', ['int', 'void *', 'size_t', 'int64_t']),
  pwrite: bind('pwrite', 'long', ['int', 'void *', 'size_t', 'int64_t']),
  readv: bind('readv', 'long', ['int', 'void *', 'int']),
  writev: bind('writev', 'long', ['int', 'void *', 'int']),
  preadv2: bind('preadv2', 'long', ['int', 'void *', 'int', 'int64_t', 'int']),
  pwritev2: bind('pwritev2', 'long', ['int', 'void *', 'int', 'int64_t', 'int']),
  ftruncate: bind('ftruncate', 'int', ['int', 'int64_t']),
  truncate: bind('truncate', 'int', ['void *', 'int64_t']),
  fallocate: bind('fallocate', 'int', ['int', 'int', 'int64_t', 'int64_t']),
  lseek: bind('lseek', 'int64_t', ['int', 'int64_t', 'int']),
  copy_file_range: bind('copy_file_range', 'long', ['int', 'void *', 'int', 'void *', 'size_t', 'uint32_t']),
  fsync: bind('fsync', 'int', ['int']),
  fdatasync: bind('fdatasync', 'int', ['int']),
  syncfs: bind('syncfs', 'int', ['int']),
  dup: bind('dup', 'int', ['int']),
  posix_fadvise: bind('posix_fadvise', 'int', ['int', 'int64_t', 'int64_t', 'int']),
};

/** An open file number, always close-on-exec. */
export function openat(dirfd: number, path: ByteString, flags: number, mode = 0): number {
  const bad = putPath(path, path1);
  return bad < 0 ? bad : outcome(native.openat(dirfd, path1, flags | O_CLOEXEC, mode));
}

export function open(path: ByteString, flags: number, mode = 0): number {
  return openat(-100, path, flags, mode);
}

export function close(fd: number): number {
  return outcome(native.close(fd));
}

export function dup(fd: number): number {
  return outcome(native.dup(fd));
}

export function read(fd: number, bytes: Uint8Array, start = 0, length = bytes.length - start): number {
  assertRange(bytes, start, length);
  return outcome(native.read(fd, part(bytes, start), length));
}

export function write(fd: number, bytes: Uint8Array, start = 0, length = bytes.length - start): number {
  assertRange(bytes, start, length);
  return outcome(native.write(fd, part(bytes, start), length));
}

export function pread(fd: number, bytes: Uint8Array, start: number, length: number, position: number): number {
  assertRange(bytes, start, length);
  assertOffset(position, 'position');
  return outcome(native.pread(fd, part(bytes, start), length, position));
}

export function pwrite(fd: number, bytes: Uint8Array, start: number, length: number, position: number): number {
  assertRange(bytes, start, length);
  assertOffset(position, 'position');
  return outcome(native.pwrite(fd, part(bytes, start), length, position));
}

/** IOV_MAX. A longer list is cut there, as a short write. */
const vectorsMax = 1024;
const vectors = new Memory(16 * vectorsMax);

function putVectors(buffers: readonly Uint8Array[]): number {
  const count = Math.min(buffers.length, vectorsMax);
  for (let i = 0; i < count; i++) {
    const buffer = buffers[i]!;
    vectors.setPointer(16 * i, addressOf(buffer));
    vectors.setI64(16 * i + 8, buffer.length);
  }
  return count;
}

let header: Uint8Array | null = null;
let headerAddress = 0n;

/** The first `length` bytes of `first`, then `second`, in one call. Fast when `first` is the same as the last time. */
export function writeTwo(fd: number, first: Uint8Array, length: number, second: Uint8Array): number {
  assertRange(first, 0, length);
  if (first !== header) {
    header = first;
    headerAddress = addressOf(first);
  }
  vectors.setPointer(0, headerAddress);
  vectors.setI64(8, length);
  vectors.setPointer(16, addressOf(second));
  vectors.setI64(24, second.length);
  return outcome(native.writev(fd, vectors.bytes, 2));
}

function putVector(bytes: Uint8Array, start: number, length: number): void {
  vectors.setPointer(0, addressOf(bytes) + BigInt(start));
  vectors.setI64(8, length);
}

export function readv(fd: number, buffers: readonly Uint8Array[]): number {
  return outcome(native.readv(fd, vectors.bytes, putVectors(buffers)));
}

export function writev(fd: number, buffers: readonly Uint8Array[]): number {
  return outcome(native.writev(fd, vectors.bytes, putVectors(buffers)));
}

/** `flags`: RWF_NOWAIT answers EAGAIN rather than wait for the disk. `position` -1 means the current one. */
export function preadv2(
  fd: number,
  bytes: Uint8Array,
  start: number,
  length: number,
  position: number,
  flags: number,
): number {
  assertRange(bytes, start, length);
  assertOffset(position, 'position');
  putVector(bytes, start, length);
  return outcome(native.preadv2(fd, vectors.bytes, 1, position, flags));
}

/** `flags`: RWF_DSYNC and RWF_SYNC write through, RWF_APPEND at the end of the file. */
export function pwritev2(
  fd: number,
  bytes: Uint8Array,
  start: number,
  length: number,
  position: number,
  flags: number,
): number {
  assertRange(bytes, start, length);
  assertOffset(position, 'position');
  putVector(bytes, start, length);
  return outcome(native.pwritev2(fd, vectors.bytes, 1, position, flags));
}

export function ftruncate(fd: number, size: number): number {
  assertOffset(size, 'size');
  return outcome(native.ftruncate(fd, size));
}

export function truncate(path: ByteString, size: number): number {
  assertOffset(size, 'size');
  const bad = putPath(path, path1);
  return bad < 0 ? bad : outcome(native.truncate(path1, size));
}

export function fallocate(fd: number, mode: number, offset: number, size: number): number {
  assertOffset(offset, 'offset');
  assertOffset(size, 'size');
  return outcome(native.fallocate(fd, mode, offset, size));
}

/** The new position; SEEK_DATA and SEEK_HOLE find the next of theirs from `offset`. */
export function lseek(fd: number, offset: number, whence: number): number {
  assertOffset(offset, 'offset');
  return outcome(native.lseek(fd, offset, whence));
}

const offsets = new Memory(16);
const offsetIn = offsets.bytes.subarray(0, 8);
const offsetOut = offsets.bytes.subarray(8, 16);

/** Bytes copied; neither file's position moves. */
export function copyFileRange(from: number, fromOffset: number, to: number, toOffset: number, size: number): number {
  assertOffset(fromOffset, 'source offset');
  assertOffset(toOffset, 'target offset');
  assertOffset(size, 'size');
  offsets.setI64(0, fromOffset);
  offsets.setI64(8, toOffset);
  return outcome(native.copy_file_range(from, offsetIn, to, offsetOut, size, 0));
}

export function fsync(fd: number): number {
  return outcome(native.fsync(fd));
}

export function fdatasync(fd: number): number {
  return outcome(native.fdatasync(fd));
}

/** Syncs the whole file system that `fd` is on. */
export function syncfs(fd: number): number {
  return outcome(native.syncfs(fd));
}

/** The same by a thread of the pool; -EIO for whatever goes wrong there, where errno is another thread's. */
export function syncfsInPool(fd: number): Promise<number> {
  const { async } = native.syncfs as unknown as {
    async(fd: number, done: (error: unknown, result: number) => void): void;
  };
  return new Promise((resolve) => async(fd, (error, result) => resolve(error || result !== 0 ? -5 : 0)));
}

/** `advice`: 4 (POSIX_FADV_DONTNEED) drops clean pages of the range from the page cache. */
export function fadvise(fd: number, offset: number, size: number, advice: number): number {
  return -native.posix_fadvise(fd, offset, size, advice);
}
