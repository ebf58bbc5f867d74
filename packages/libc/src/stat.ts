/** statx and statvfs, decoded into objects that callers keep and use again. */
import type { ByteString } from '@mortar/core';
import { AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW } from './constants.ts';
import { bind, Memory, outcome, path1, putPath } from './native.ts';

const native = {
  statx: bind('statx', 'int', ['int', 'void *', 'int', 'uint32_t', 'void *']),
  fstatvfs: bind('fstatvfs', 'int', ['int', 'void *']),
  fstatfs: bind('fstatfs', 'int', ['int', 'void *']),
};

/** STATX_BASIC_STATS, STATX_BTIME, STATX_MNT_ID. */
const wanted = 0x7ff | 0x800 | 0x1000;

/** Times are seconds (negative before 1970) and nanoseconds; `size` bytes; `blocks` of 512 bytes. */
export class Stat {
  /** st_mode: type and permissions. */
  mode = 0;
  nlink = 0;
  uid = 0;
  gid = 0;
  ino = 0;
  size = 0;
  blocks = 0;
  blockSize = 0;
  rdevMajor = 0;
  rdevMinor = 0;
  devMajor = 0;
  devMinor = 0;
  mountId = 0;
  atime = 0;
  atimeNsec = 0;
  btime = 0;
  btimeNsec = 0;
  ctime = 0;
  ctimeNsec = 0;
  mtime = 0;
  mtimeNsec = 0;

  /** As in a directory entry: S_IFMT >> 12. */
  get type(): number {
    return (this.mode >> 12) & 0xf;
  }

  /** The twelve permission bits. */
  get permissions(): number {
    return this.mode & 0o7777;
  }
}

/** struct statx (include/uapi/linux/stat.h). */
const buffer = new Memory(256);

export function statx(dirfd: number, path: ByteString, out: Stat, flags = AT_SYMLINK_NOFOLLOW): number {
  const bad = putPath(path, path1);
  if (bad < 0) return bad;
  const result = outcome(native.statx(dirfd, path1, flags, wanted, buffer.bytes));
  if (result === 0) decode(out);
  return result;
}

export function fstat(fd: number, out: Stat): number {
  return statx(fd, '', out, AT_EMPTY_PATH);
}

function decode(out: Stat): void {
  out.blockSize = buffer.u32(4);
  out.nlink = buffer.u32(16);
  out.uid = buffer.u32(20);
  out.gid = buffer.u32(24);
  out.mode = buffer.u16(28);
  out.ino = buffer.u64(32);
  out.size = buffer.u64(40);
  out.blocks = buffer.u64(48);
  out.atime = buffer.i64(64);
  out.atimeNsec = buffer.u32(72);
  out.btime = buffer.i64(80);
  out.btimeNsec = buffer.u32(88);
  out.ctime = buffer.i64(96);
  out.ctimeNsec = buffer.u32(104);
  out.mtime = buffer.i64(112);
  out.mtimeNsec = buffer.u32(120);
  out.rdevMajor = buffer.u32(128);
  out.rdevMinor = buffer.u32(132);
  out.devMajor = buffer.u32(136);
  out.devMinor = buffer.u32(140);
  out.mountId = buffer.u64(144);
}

/** statvfs(3): blocks are of `fragmentSize` bytes. */
export class StatVfs {
  blockSize = 0;
  fragmentSize = 0;
  blocks = 0;
  blocksFree = 0;
  blocksAvailable = 0;
  files = 0;
  filesFree = 0;
  filesAvailable = 0;
  fsid = 0;
  flags = 0;
  nameMax = 0;
}

const vfs = new Memory(128);

export function fstatvfs(fd: number, out: StatVfs): number {
  const result = outcome(native.fstatvfs(fd, vfs.bytes));
  if (result < 0) return result;
  out.blockSize = vfs.u64(0);
  out.fragmentSize = vfs.u64(8);
  out.blocks = vfs.u64(16);
  out.blocksFree = vfs.u64(24);
  out.blocksAvailable = vfs.u64(32);
  out.files = vfs.u64(40);
  out.filesFree = vfs.u64(48);
  out.filesAvailable = vfs.u64(56);
  // 64 bits of any value: the upper 11 are dropped, so that it stays an exact number.
  out.fsid = (vfs.u32(68) & 0x1fffff) * 2 ** 32 + vfs.u32(64);
  out.flags = vfs.u64(72);
  out.nameMax = vfs.u64(80);
  return 0;
}

/** The file system's magic number (statfs f_type), such as 0xef53 for ext4. */
export function fileSystemType(fd: number): number {
  const result = outcome(native.fstatfs(fd, vfs.bytes));
  return result < 0 ? result : vfs.u64(0);
}
