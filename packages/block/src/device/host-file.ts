/** Opens a file or block device of the host for a device: its size, its lock, and the calls that wait for the disk. */
import { fdatasync, read, write } from 'node:fs';
import { Errno, errnoName } from '@mortar/core';
import * as libc from '@mortar/libc';

/** ioctl BLKGETSIZE64 and BLKSSZGET (include/uapi/linux/fs.h). */
const BLKGETSIZE64 = 0x80081272;
const BLKSSZGET = 0x1268;
const O_EXCL_ON_DEVICE = libc.O_EXCL;

/** Why a file cannot be a device, in words for who configured it. */
export class DeviceError extends Error {
  readonly code: string;

  constructor(message: string, code = 'EDEVICE', options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

export interface OpenHostFile {
  readonly fd: number;
  readonly isBlockDevice: boolean;
  /** Ranges of `fallocate` on a block device are multiples of it. */
  readonly sectorBytes: number;
  readonly sizeBytes: number;
}

function failed(path: string, what: string, result: number): DeviceError {
  return new DeviceError(`${path}: ${what}: ${errnoName(-result)}`, errnoName(-result));
}

/**
 * A writer holds the file alone, readers share it: two servers never write one file, nor does one read what another changes.
 * A block device is also claimed (O_EXCL): one that is mounted or part of something is refused.
 */
export function openHostFile(path: string, readOnly: boolean): OpenHostFile {
  const bytes = Buffer.from(path).toString('latin1');
  const stat = new libc.Stat();
  const found = libc.statx(-100, bytes, stat, 0);
  if (found < 0) throw failed(path, 'cannot be opened', found);
  const type = stat.mode & libc.S_IFMT;
  const isBlockDevice = type === libc.S_IFBLK;
  if (!isBlockDevice && type !== libc.S_IFREG)
    throw new DeviceError(`${path}: a regular file or a block device is expected`, 'ENOTBLK');
  const access = readOnly ? libc.O_RDONLY : libc.O_RDWR | (isBlockDevice ? O_EXCL_ON_DEVICE : 0);
  const fd = libc.open(bytes, access | libc.O_NONBLOCK | libc.O_NOCTTY);
  if (fd < 0) throw failed(path, 'cannot be opened', fd);
  const locked = libc.flock(fd, (readOnly ? libc.LOCK_SH : libc.LOCK_EX) | libc.LOCK_NB);
  if (locked < 0) {
    libc.close(fd);
    if (locked === -Errno.EAGAIN)
      throw new DeviceError(`${path}: it is in use: another server or program has locked it`, 'EBUSY');
    throw failed(path, 'cannot be locked', locked);
  }
  const size = sizeOf(fd, isBlockDevice);
  if (size < 0) {
    libc.close(fd);
    throw failed(path, 'its size cannot be found out', size);
  }
  return { fd, isBlockDevice, sectorBytes: isBlockDevice ? sectorSize(fd) : 1, sizeBytes: size };
}

/** In bytes, or the negative errno. */
function sizeOf(fd: number, isBlockDevice: boolean): number {
  if (!isBlockDevice) {
    const stat = new libc.Stat();
    const result = libc.fstat(fd, stat);
    return result < 0 ? result : stat.size;
  }
  const out = Buffer.alloc(8);
  const result = libc.ioctl(fd, BLKGETSIZE64, out);
  return result < 0 ? result : Number(out.readBigUInt64LE());
}

function sectorSize(fd: number): number {
  const out = Buffer.alloc(4);
  return libc.ioctl(fd, BLKSSZGET, out) < 0 ? 512 : out.readUInt32LE();
}

type Outcome = NodeJS.ErrnoException | null;

function negative(error: NonNullable<Outcome>): number {
  return error.errno ?? -Errno.EIO;
}

/** Reads the whole range by a thread of the pool; 0 or the negative errno, -EIO when the file ends before. */
export function readInPool(fd: number, into: Uint8Array, from: number, offset: number): Promise<number> {
  return new Promise((resolve) => {
    const step = (at: number) =>
      read(fd, into, at, into.length - at, offset + at, (error: Outcome, count) => {
        if (error) resolve(negative(error));
        else if (count === 0) resolve(-Errno.EIO);
        else if (at + count === into.length) resolve(0);
        else step(at + count);
      });
    step(from);
  });
}

/** Writes all bytes by a thread of the pool; 0 or the negative errno. */
export function writeInPool(fd: number, bytes: Uint8Array, from: number, offset: number): Promise<number> {
  return new Promise((resolve) => {
    const step = (at: number) =>
      write(fd, bytes, at, bytes.length - at, offset + at, (error: Outcome, count) => {
        if (error) resolve(negative(error));
        else if (count === 0) resolve(-Errno.EIO);
        else if (at + count === bytes.length) resolve(0);
        else step(at + count);
      });
    step(from);
  });
}

export function syncInPool(fd: number): Promise<number> {
  return new Promise((resolve) => fdatasync(fd, (error: Outcome) => resolve(error ? negative(error) : 0)));
}
