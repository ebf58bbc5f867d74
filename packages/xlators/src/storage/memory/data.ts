/** Fops on open files and their bytes. */
import { createHash } from 'node:crypto';
import { Errno, type Fd, FileType, type Fops, fail, type Reply, type Timespec, type Xdata } from '@mortar/core';
import type { MemoryFile } from './file.ts';
import { meant } from './meant.ts';
import { type Found, touch, type Volume } from './volume.ts';

export const OpenFlag = { accessMode: 3, writeOnly: 1, exclusive: 0o200, truncate: 0o1000 } as const;
const FallocateMode = { keepSize: 1, punchHole: 2, zeroRange: 0x10 } as const;

type DataFops = Pick<
  Fops,
  | 'open'
  | 'opendir'
  | 'readv'
  | 'writev'
  | 'truncate'
  | 'ftruncate'
  | 'flush'
  | 'fsync'
  | 'fsyncdir'
  | 'fallocate'
  | 'discard'
  | 'zerofill'
  | 'seek'
  | 'rchecksum'
  | 'copy_file_range'
>;

/** What an fd may do is checked only when it was opened here; an anonymous one may do all. */
export function attachOpen(volume: Volume, fd: Fd, file: MemoryFile, _flags: number): void {
  volume.attach(fd, file);
}

function readable(volume: Volume, fd: Fd): Found<MemoryFile> {
  if (fd.slots[volume.slot] && (fd.flags & OpenFlag.accessMode) === OpenFlag.writeOnly) return fail(Errno.EBADF);
  return regular(volume.opened(fd));
}

function writable(volume: Volume, fd: Fd): Found<MemoryFile> {
  if (fd.slots[volume.slot] && (fd.flags & OpenFlag.accessMode) === 0) return fail(Errno.EBADF);
  return regular(volume.opened(fd));
}

function regular(file: Found<MemoryFile>): Found<MemoryFile> {
  if (!file.ok || file.value.type === FileType.regular) return file;
  return fail(file.value.isDirectory ? Errno.EISDIR : Errno.EINVAL);
}

export function truncateTo(volume: Volume, file: MemoryFile, size: number, now: Timespec, xdata: Xdata | undefined) {
  volume.change(file, () => file.content.resize(size));
  touch(file, now, xdata);
}

/** A change of a file's bytes, between its attributes before and after. */
function changing(
  volume: Volume,
  found: Found<MemoryFile>,
  now: Timespec,
  xdata: Xdata | undefined,
  change: (file: MemoryFile) => Errno | 0,
): Reply<'truncate'> {
  if (!found.ok) return found;
  const file = found.value;
  const pre = file.iatt();
  let errno: Errno | 0 = 0;
  volume.change(file, () => {
    errno = change(file);
  });
  if (errno) return fail(errno);
  touch(file, now, xdata);
  return { ok: true, pre, post: file.iatt() };
}

/** Adler-32, as rsync's and GlusterFS's weak checksum. */
function weakChecksum(bytes: Uint8Array): number {
  let a = 1;
  let b = 0;
  for (const byte of bytes) {
    a = (a + byte) % 65521;
    b = (b + a) % 65521;
  }
  return b * 65536 + a;
}

export function dataFops(volume: Volume): DataFops {
  const punch = (file: MemoryFile, offset: number, size: number): Errno | 0 => {
    if (size === 0) return Errno.EINVAL;
    file.content.punch(offset, offset + size);
    return 0;
  };
  const zero = (file: MemoryFile, offset: number, size: number): Errno | 0 => {
    const errno = punch(file, offset, size);
    if (!errno && file.size < offset + size) file.content.resize(offset + size);
    return errno;
  };
  const allocate = (file: MemoryFile, offset: number, size: number, keepSize: boolean): Errno | 0 => {
    if (size === 0) return Errno.EINVAL;
    if (!volume.fits(size)) return Errno.ENOSPC;
    file.content.allocate(offset, offset + size);
    if (!keepSize && file.size < offset + size) file.content.resize(offset + size);
    return 0;
  };

  return {
    async open(call, { loc, flags, fd, contents = 0, xdata }) {
      const found = volume.file(loc);
      if (!found.ok) return found;
      const file = found.value;
      if (file.type === FileType.symlink) return fail(Errno.ELOOP);
      if (file.isDirectory && (flags & OpenFlag.accessMode) !== 0) return fail(Errno.EISDIR);
      if (flags & OpenFlag.truncate && file.type === FileType.regular) truncateTo(volume, file, 0, call.time, xdata);
      attachOpen(volume, fd, file, flags);
      const iatt = file.iatt();
      const mayRead = file.type === FileType.regular && (flags & OpenFlag.accessMode) !== OpenFlag.writeOnly;
      const isSmall = mayRead && iatt.size > 0 && iatt.size <= contents;
      return { ok: true, iatt, ...(isSmall && { data: file.content.read(0, iatt.size) }) };
    },

    async opendir(_call, { loc, fd }) {
      const found = volume.file(loc);
      if (!found.ok) return found;
      if (!found.value.isDirectory) return fail(Errno.ENOTDIR);
      volume.attach(fd, found.value);
      return { ok: true };
    },

    async readv(_call, { fd, size, offset }) {
      const found = readable(volume, fd);
      if (!found.ok) return found;
      return { ok: true, data: found.value.content.read(offset, size), iatt: found.value.iatt() };
    },

    async writev(call, { fd, offset, data, append, xdata }) {
      const found = writable(volume, fd);
      if (!found.ok) return found;
      const file = found.value;
      const at = append ? file.size : offset;
      if (!Number.isSafeInteger(at + data.length)) return fail(Errno.EFBIG);
      if (!volume.fits(data.length) && at + data.length > file.size) return fail(Errno.ENOSPC);
      const pre = file.iatt();
      if (data.length > 0) {
        volume.change(file, () => file.content.write(at, data));
        touch(file, call.time, xdata);
      }
      return { ok: true, written: data.length, pre, post: file.iatt() };
    },

    async truncate(call, { loc, size, xdata }) {
      const found = regular(volume.file(loc));
      return changing(volume, found, call.time, xdata, (file) => {
        file.content.resize(size);
        return 0;
      });
    },

    async ftruncate(call, { fd, size, xdata }) {
      return changing(volume, writable(volume, fd), call.time, xdata, (file) => {
        file.content.resize(size);
        return 0;
      });
    },

    async flush(call, { fd }) {
      const found = volume.opened(fd);
      if (!found.ok) return found;
      const locks = found.value.locks('posix');
      if (locks && call.lockOwner !== '') locks.unlock(`${call.clientId} ${call.lockOwner}`);
      return { ok: true };
    },

    async fsync(_call, { fd }) {
      const found = volume.opened(fd);
      if (!found.ok) return found;
      const iatt = found.value.iatt();
      return { ok: true, pre: iatt, post: iatt };
    },

    async fsyncdir(_call, { fd }) {
      const found = volume.opened(fd);
      return found.ok ? { ok: true } : found;
    },

    async fallocate(call, { fd, mode, offset, size, xdata }) {
      const { keepSize, punchHole, zeroRange } = FallocateMode;
      return changing(volume, writable(volume, fd), call.time, xdata, (file) => {
        if (mode === 0 || mode === keepSize) return allocate(file, offset, size, mode === keepSize);
        if (mode === (punchHole | keepSize)) return punch(file, offset, size);
        if (mode === (zeroRange | keepSize)) return punch(file, offset, size);
        return mode === zeroRange ? zero(file, offset, size) : Errno.EOPNOTSUPP;
      });
    },

    async discard(call, { fd, offset, size, xdata }) {
      return changing(volume, writable(volume, fd), call.time, xdata, (file) => punch(file, offset, size));
    },

    async zerofill(call, { fd, offset, size, xdata }) {
      return changing(volume, writable(volume, fd), call.time, xdata, (file) => zero(file, offset, size));
    },

    async seek(_call, { fd, offset, what, xdata }) {
      const found = meant(readable(volume, fd), xdata);
      if (!found.ok) return found;
      const at = found.value.content.seek(offset, what);
      return at === undefined ? fail(Errno.ENXIO) : { ok: true, offset: at };
    },

    async rchecksum(_call, { fd, offset, size }) {
      const found = readable(volume, fd);
      if (!found.ok) return found;
      const bytes = found.value.content.read(offset, size);
      const strong = createHash('sha256').update(bytes).digest();
      return { ok: true, weak: weakChecksum(bytes), strong, size: bytes.length };
    },

    async copy_file_range(call, { from, fromOffset, to, toOffset, size, xdata }) {
      const source = readable(volume, from);
      if (!source.ok) return source;
      const data = source.value.content.read(fromOffset, size);
      const target = writable(volume, to);
      if (!target.ok) return target;
      const overlaps = source.value === target.value && fromOffset < toOffset + size && toOffset < fromOffset + size;
      if (overlaps) return fail(Errno.EINVAL);
      if (!volume.fits(data.length)) return fail(Errno.ENOSPC);
      const reply = changing(volume, target, call.time, xdata, (file) => {
        file.content.write(toOffset, data);
        return 0;
      });
      if (!reply.ok) return reply;
      return { ok: true, written: data.length, source: source.value.iatt(), pre: reply.pre, post: reply.post };
    },
  };
}
