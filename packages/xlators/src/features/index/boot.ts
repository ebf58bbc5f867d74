/**
 * Under which boot of the machine a brick was last started: `BASE/boot` holds the kernel's boot id. Another one means that
 * what was not synced then may be lost; a process that was merely killed loses nothing, for the kernel lives on.
 */
import { Errno } from '@mortar/core';
import * as libc from '@mortar/libc';

const fileName = 'boot';
const newName = 'boot.new';
const bootIdPath = '/proc/sys/kernel/random/boot_id';
/** A boot id has 36. */
const mostBytes = 64;

/** Undefined where the system has none. */
export function currentBoot(): string | undefined {
  return readLine(libc.AT_FDCWD, bootIdPath);
}

/** Undefined: none was recorded, or it cannot be read. */
export function recordedBoot(baseFd: number): string | undefined {
  return readLine(baseFd, fileName);
}

/** Durable when it returns. 0 or a negative errno. */
export function recordBoot(baseFd: number, boot: string): number {
  const fd = libc.openat(baseFd, newName, libc.O_CREAT | libc.O_TRUNC | libc.O_WRONLY, 0o600);
  if (fd < 0) return fd;
  const line = Buffer.from(`${boot}\n`);
  const written = libc.write(fd, line);
  const failed = written < 0 ? written : written < line.length ? -Errno.EIO : libc.fsync(fd);
  libc.close(fd);
  if (failed < 0) return failed;
  const renamed = libc.renameat2(baseFd, newName, baseFd, fileName, 0);
  return renamed < 0 ? renamed : libc.fsync(baseFd);
}

function readLine(dirFd: number, path: string): string | undefined {
  const fd = libc.openat(dirFd, path, libc.O_RDONLY);
  if (fd < 0) return undefined;
  const bytes = Buffer.alloc(mostBytes);
  const length = libc.read(fd, bytes);
  libc.close(fd);
  return length <= 0 ? undefined : bytes.toString('latin1', 0, length).trim();
}
