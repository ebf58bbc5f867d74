/** Mounts, devices, credentials of the calling thread, and the process's name. */
import { writeFileSync } from 'node:fs';
import type { ByteString } from '@mortar/core';
import { type Argument, bind, Memory, outcome, path1, path2, putPath } from './native.ts';

const native = {
  ioctl: bind('ioctl', 'int', ['int', 'unsigned long', 'void *']),
  ioctlValue: bind('ioctl', 'int', ['int', 'unsigned long', 'int64_t']),
  mount: bind('mount', 'int', ['void *', 'void *', 'void *', 'unsigned long', 'void *']),
  umount2: bind('umount2', 'int', ['void *', 'int']),
  setfsuid: bind('setfsuid', 'int', ['uint32_t']),
  setfsgid: bind('setfsgid', 'int', ['uint32_t']),
  syscall: bind('syscall', 'long', ['long', 'size_t', 'void *']),
  getpid: bind('getpid', 'int', []),
  umask: bind('umask', 'uint32_t', ['uint32_t']),
  getrusage: bind('getrusage', 'int', ['int', 'void *']),
  prctl: bind('prctl', 'int', ['int', 'unsigned long', 'unsigned long', 'unsigned long', 'unsigned long']),
  mallopt: bind('mallopt', 'int', ['int', 'int']),
};

const M_TRIM_THRESHOLD = -1;
const M_MMAP_THRESHOLD = -3;

/**
 * Keeps up to `keepBytes` of freed memory in the process, and takes pieces up to `pieceBytes` (at most 32 MiB) from it: a
 * buffer of 1 MiB that comes fresh from the kernel costs 256 page faults, several times what reading into it does.
 * False when the C library cannot (musl).
 */
export function keepFreedMemory(keepBytes: number, pieceBytes: number): boolean {
  return native.mallopt(M_MMAP_THRESHOLD, pieceBytes) === 1 && native.mallopt(M_TRIM_THRESHOLD, keepBytes) === 1;
}

const PR_SET_IO_FLUSHER = 57;

/**
 * This thread, and those it starts from now on, serve I/O of the machine: when they need memory the kernel does not make them
 * write dirty pages, which may be waiting for them. Needs CAP_SYS_RESOURCE.
 */
export function setIoFlusher(): number {
  return outcome(native.prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0));
}

/** `argument`: a structure's bytes, read and written by the kernel, or a plain number. */
export function ioctl(fd: number, request: number, argument: Uint8Array | number | null = null): number {
  return typeof argument === 'number'
    ? outcome(native.ioctlValue(fd, request, argument))
    : outcome(native.ioctl(fd, request, argument));
}

const type = new Uint8Array(256);
const data = new Uint8Array(4096);

/** mount(2). `options`: the text that the file system itself reads. */
export function mount(
  source: ByteString,
  target: ByteString,
  fileSystem: ByteString,
  flags: number,
  options: ByteString | null = null,
): number {
  if (fileSystem.length >= type.length) return -22;
  const bad =
    putPath(source, path1) || putPath(target, path2) || putPath(fileSystem, type) || putPath(options ?? '', data);
  return bad < 0 ? bad : outcome(native.mount(path1, path2, type, flags, options === null ? null : data));
}

export function umount2(target: ByteString, flags = 0): number {
  const bad = putPath(target, path1);
  return bad < 0 ? bad : outcome(native.umount2(path1, flags));
}

/** Sets the file-system uid of this OS thread only; the previous one. Undo it in the same tick. */
export function setfsuid(uid: number): number {
  return native.setfsuid(uid);
}

/** As setfsuid, for the group. */
export function setfsgid(gid: number): number {
  return native.setfsgid(gid);
}

const setgroupsNumber = process.arch === 'arm64' ? 159 : 116;

/** Supplementary groups of this OS thread only (glibc's setgroups would change all threads). */
export function setThreadGroups(groups: readonly number[]): number {
  const list = Uint32Array.from(groups);
  const argument: Argument = list.length === 0 ? null : new Uint8Array(list.buffer);
  return outcome(native.syscall(setgroupsNumber, list.length, argument));
}

export function getpid(): number {
  return native.getpid();
}

/** Sets the process's umask; the previous one. Shared by all threads. */
export function umask(mask: number): number {
  return native.umask(mask);
}

const thisThread = 1;
/** struct rusage; ru_nvcsw is at 128. */
const usage = new Memory(144);

/** How often the calling thread has given up the processor to wait for something (ru_nvcsw), since it began. */
export function threadWaits(): number {
  return native.getrusage(thisThread, usage.bytes) < 0 ? 0 : usage.u64(128);
}

/** The name that `ps -o comm` and pgrep show; the kernel keeps 15 bytes of it. */
export function setComm(name: string): void {
  writeFileSync('/proc/self/comm', Buffer.from(name).subarray(0, 15));
}
