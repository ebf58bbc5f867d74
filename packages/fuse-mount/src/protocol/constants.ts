/** Numbers of the FUSE kernel protocol 7.31 to 7.45 (source: the kernel's uapi header linux/fuse.h). */

export const protocolMajor = 7;
/** Newest minor version whose layouts are known here. */
export const protocolMinor = 45;
/** Oldest minor version that is served (Linux 5.4). */
export const oldestMinor = 31;

export const rootNodeId = 1;
export const inHeaderBytes = 40;
export const outHeaderBytes = 16;

export const opcodes = {
  lookup: 1,
  forget: 2,
  getattr: 3,
  setattr: 4,
  readlink: 5,
  symlink: 6,
  mknod: 8,
  mkdir: 9,
  unlink: 10,
  rmdir: 11,
  rename: 12,
  link: 13,
  open: 14,
  read: 15,
  write: 16,
  statfs: 17,
  release: 18,
  fsync: 20,
  setxattr: 21,
  getxattr: 22,
  listxattr: 23,
  removexattr: 24,
  flush: 25,
  init: 26,
  opendir: 27,
  readdir: 28,
  releasedir: 29,
  fsyncdir: 30,
  getlk: 31,
  setlk: 32,
  setlkw: 33,
  access: 34,
  create: 35,
  interrupt: 36,
  bmap: 37,
  destroy: 38,
  ioctl: 39,
  poll: 40,
  notifyReply: 41,
  batchForget: 42,
  fallocate: 43,
  readdirplus: 44,
  rename2: 45,
  lseek: 46,
  copyFileRange: 47,
  syncfs: 50,
  tmpfile: 51,
  statx: 52,
  copyFileRange64: 53,
} as const;

export type OpName = keyof typeof opcodes;

/** Requests that get no answer. */
export const unanswered: ReadonlySet<number> = new Set([
  opcodes.forget,
  opcodes.batchForget,
  opcodes.interrupt,
  opcodes.notifyReply,
]);

/** Capabilities in the first word of INIT's flags. */
export const InitFlag = {
  asyncRead: 1 << 0,
  posixLocks: 1 << 1,
  atomicTruncate: 1 << 3,
  bigWrites: 1 << 5,
  dontMask: 1 << 6,
  flockLocks: 1 << 10,
  autoInvalidateData: 1 << 12,
  readdirplus: 1 << 13,
  readdirplusAuto: 1 << 14,
  asyncDirectIo: 1 << 15,
  writebackCache: 1 << 16,
  parallelDirectoryOperations: 1 << 18,
  posixAcl: 1 << 20,
  abortError: 1 << 21,
  maxPages: 1 << 22,
  cacheSymlinks: 1 << 23,
  handleKillPrivilegesV2: 1 << 28,
  setxattrExtended: 1 << 29,
  initExtended: 1 << 30,
} as const;

/** Capabilities in the second word (bits 32 and up of the 64). */
export const InitFlag2 = {
  hasExpireOnly: 1 << 3,
  directIoAllowMmap: 1 << 4,
  /** Opens may name a file that the kernel reads itself (Linux 6.9). */
  passthrough: 1 << 5,
  /** Requests that were taken and not answered can be had again (Linux 6.9). */
  hasResend: 1 << 7,
} as const;

export const AttrValid = {
  mode: 1 << 0,
  uid: 1 << 1,
  gid: 1 << 2,
  size: 1 << 3,
  atime: 1 << 4,
  mtime: 1 << 5,
  fh: 1 << 6,
  atimeNow: 1 << 7,
  mtimeNow: 1 << 8,
  lockOwner: 1 << 9,
  ctime: 1 << 10,
  killSuidgid: 1 << 11,
} as const;

/** Flags in the reply to OPEN, OPENDIR and CREATE. */
export const OpenReply = {
  directIo: 1 << 0,
  keepCache: 1 << 1,
  cacheDirectory: 1 << 3,
  parallelDirectWrites: 1 << 6,
  /** With a `backingId`. Of the others the kernel then takes `directIo` and `parallelDirectWrites` only. */
  passthrough: 1 << 7,
} as const;

export const getattrHasHandle = 1 << 0;
export const releaseFlush = 1 << 0;
export const releaseFlockUnlock = 1 << 1;
export const lockIsFlock = 1 << 0;
export const writeFromCache = 1 << 0;
export const writeKillSuidgid = 1 << 2;
export const openKillSuidgid = 1 << 0;
export const fsyncDataOnly = 1 << 0;

/** Types of fuse_file_lock (fcntl's F_RDLCK ...). */
export const LockType = { read: 0, write: 1, unlock: 2 } as const;

export const NotifyCode = { invalidateInode: 2, invalidateEntry: 3, delete: 6, resend: 7 } as const;

/** open(2) flags on Linux, x86-64 values; those that differ on arm64 are not used. */
export const OpenFlag = {
  accessMode: 3,
  writeOnly: 1,
  readWrite: 2,
  create: 0o100,
  exclusive: 0o200,
  truncate: 0o1000,
  append: 0o2000,
  dataSync: 0o10000,
  sync: 0o4010000,
} as const;
