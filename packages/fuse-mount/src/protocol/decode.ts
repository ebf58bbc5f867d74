/** Bodies of requests: bytes to plain objects. A decoder gives undefined for a body that is too short or malformed. */
import type { ByteString } from '@mortar/core';
import type { OpName } from './constants.ts';
import type { RequestView } from './request.ts';

type Decoder<T extends object> = (r: RequestView) => T | undefined;

const nothing: Decoder<object> = () => ({});

const oneName: Decoder<{ name: ByteString }> = (r) => {
  const name = r.text(0);
  return name === undefined ? undefined : { name };
};

/** Two texts, one behind the other, from `at`. */
function twoNames(r: RequestView, at: number): [ByteString, ByteString] | undefined {
  const first = r.text(at);
  if (first === undefined) return undefined;
  const second = r.text(at + first.length + 1);
  return second === undefined ? undefined : [first, second];
}

const readLike: Decoder<{ fh: number; offset: number; size: number; flags: number }> = (r) =>
  r.has(40) ? { fh: r.u64(0), offset: r.u64(8), size: r.u32(16), flags: r.u32(32) } : undefined;

const releaseLike: Decoder<{ fh: number; flags: number; releaseFlags: number; lockOwner: string }> = (r) =>
  r.has(24) ? { fh: r.u64(0), flags: r.u32(8), releaseFlags: r.u32(12), lockOwner: r.hex64(16) } : undefined;

const fsyncLike: Decoder<{ fh: number; flags: number }> = (r) =>
  r.has(16) ? { fh: r.u64(0), flags: r.u32(8) } : undefined;

const openLike: Decoder<{ flags: number; openFlags: number }> = (r) =>
  r.has(8) ? { flags: r.u32(0), openFlags: r.u32(4) } : undefined;

const createLike: Decoder<{ flags: number; mode: number; umask: number; openFlags: number; name: ByteString }> = (
  r,
) => {
  const name = r.text(16);
  return name === undefined
    ? undefined
    : { flags: r.u32(0), mode: r.u32(4), umask: r.u32(8), openFlags: r.u32(12), name };
};

export interface LockRequest {
  fh: number;
  owner: string;
  start: number;
  /** Inclusive. */
  end: number;
  type: number;
  pid: number;
  flags: number;
}

const lockLike: Decoder<LockRequest> = (r) =>
  r.has(48)
    ? {
        fh: r.u64(0),
        owner: r.hex64(8),
        start: r.u64(16),
        end: r.u64(24),
        type: r.u32(32),
        pid: r.u32(36),
        flags: r.u32(40),
      }
    : undefined;

const copyLike: Decoder<{
  fhIn: number;
  offsetIn: number;
  nodeOut: number;
  fhOut: number;
  offsetOut: number;
  length: number;
  flags: number;
}> = (r) =>
  r.has(56)
    ? {
        fhIn: r.u64(0),
        offsetIn: r.u64(8),
        nodeOut: r.u64(16),
        fhOut: r.u64(24),
        offsetOut: r.u64(32),
        length: r.u64(40),
        flags: r.u32(48),
      }
    : undefined;

export interface Setattr {
  valid: number;
  fh: number;
  size: number;
  lockOwner: string;
  atime: { sec: number; nsec: number };
  mtime: { sec: number; nsec: number };
  ctime: { sec: number; nsec: number };
  mode: number;
  uid: number;
  gid: number;
}

const setattr: Decoder<Setattr> = (r) =>
  r.has(88)
    ? {
        valid: r.u32(0),
        fh: r.u64(8),
        size: r.u64(16),
        lockOwner: r.hex64(24),
        atime: { sec: r.i64(32), nsec: r.u32(56) },
        mtime: { sec: r.i64(40), nsec: r.u32(60) },
        ctime: { sec: r.i64(48), nsec: r.u32(64) },
        mode: r.u32(68),
        uid: r.u32(76),
        gid: r.u32(80),
      }
    : undefined;

/** `data` is a view into the receive buffer. */
const write: Decoder<{
  fh: number;
  offset: number;
  size: number;
  writeFlags: number;
  lockOwner: string;
  flags: number;
  data: Buffer;
}> = (r) => {
  if (!r.has(40)) return undefined;
  const size = r.u32(16);
  const data = r.data(40, size);
  if (!data) return undefined;
  return {
    fh: r.u64(0),
    offset: r.u64(8),
    size,
    writeFlags: r.u32(20),
    lockOwner: r.hex64(24),
    flags: r.u32(32),
    data,
  };
};

/** `structBytes` is 8, or 16 when FUSE_SETXATTR_EXT was negotiated. */
function setxattrOf(structBytes: 8 | 16): Decoder<{ name: ByteString; value: Uint8Array; flags: number }> {
  return (r) => {
    const name = r.text(structBytes);
    if (name === undefined) return undefined;
    const value = r.data(structBytes + name.length + 1, r.u32(0));
    return value && { name, value: Uint8Array.prototype.slice.call(value), flags: r.u32(4) };
  };
}

/** How many there are; they come by the ten thousand, hence are read one by one. */
const batchForget: Decoder<{ forgets: number }> = (r) => {
  if (!r.has(8)) return undefined;
  const forgets = r.u32(0);
  return r.has(8 + forgets * 16) ? { forgets } : undefined;
};

/** The node that entry `i` of a batch is about. */
export function forgotten(r: RequestView, i: number): number {
  return r.u64(8 + i * 16);
}

/** How many lookups of it the kernel forgets. */
export function forgottenCount(r: RequestView, i: number): number {
  return r.u64(16 + i * 16);
}

export const decoders = {
  lookup: oneName,
  forget: (r: RequestView) => (r.has(8) ? { count: r.u64(0) } : undefined),
  getattr: (r: RequestView) => (r.has(16) ? { flags: r.u32(0), fh: r.u64(8) } : undefined),
  setattr,
  readlink: nothing,
  symlink: (r: RequestView) => {
    const names = twoNames(r, 0);
    return names && { name: names[0], target: names[1] };
  },
  mknod: (r: RequestView) => {
    const name = r.text(16);
    return name === undefined ? undefined : { mode: r.u32(0), rdev: r.u32(4), umask: r.u32(8), name };
  },
  mkdir: (r: RequestView) => {
    const name = r.text(8);
    return name === undefined ? undefined : { mode: r.u32(0), umask: r.u32(4), name };
  },
  unlink: oneName,
  rmdir: oneName,
  rename: (r: RequestView) => {
    const names = r.has(8) ? twoNames(r, 8) : undefined;
    return names && { newParent: r.u64(0), flags: 0, from: names[0], to: names[1] };
  },
  rename2: (r: RequestView) => {
    const names = r.has(16) ? twoNames(r, 16) : undefined;
    return names && { newParent: r.u64(0), flags: r.u32(8), from: names[0], to: names[1] };
  },
  link: (r: RequestView) => {
    const name = r.text(8);
    return name === undefined ? undefined : { target: r.u64(0), name };
  },
  open: openLike,
  read: readLike,
  write,
  statfs: nothing,
  release: releaseLike,
  fsync: fsyncLike,
  setxattr: setxattrOf(16),
  getxattr: (r: RequestView) => {
    const name = r.text(8);
    return name === undefined ? undefined : { size: r.u32(0), name };
  },
  listxattr: (r: RequestView) => (r.has(8) ? { size: r.u32(0) } : undefined),
  removexattr: oneName,
  flush: (r: RequestView) => (r.has(24) ? { fh: r.u64(0), lockOwner: r.hex64(16) } : undefined),
  init: (r: RequestView) =>
    r.has(16)
      ? {
          major: r.u32(0),
          minor: r.u32(4),
          maxReadahead: r.u32(8),
          flags: r.u32(12),
          flags2: r.has(20) ? r.u32(16) : 0,
        }
      : undefined,
  opendir: openLike,
  readdir: readLike,
  releasedir: releaseLike,
  fsyncdir: fsyncLike,
  getlk: lockLike,
  setlk: lockLike,
  setlkw: lockLike,
  access: (r: RequestView) => (r.has(8) ? { mask: r.u32(0) } : undefined),
  create: createLike,
  interrupt: (r: RequestView) => (r.has(8) ? { uniqueLow: r.u32(0), uniqueHigh: r.u32(4) } : undefined),
  bmap: nothing,
  destroy: nothing,
  ioctl: nothing,
  poll: nothing,
  notifyReply: nothing,
  batchForget,
  fallocate: (r: RequestView) =>
    r.has(32) ? { fh: r.u64(0), offset: r.u64(8), length: r.u64(16), mode: r.u32(24) } : undefined,
  readdirplus: readLike,
  lseek: (r: RequestView) => (r.has(24) ? { fh: r.u64(0), offset: r.u64(8), whence: r.u32(16) } : undefined),
  copyFileRange: copyLike,
  copyFileRange64: copyLike,
  syncfs: nothing,
  tmpfile: createLike,
  statx: (r: RequestView) =>
    r.has(24) ? { flags: r.u32(0), fh: r.u64(8), statxFlags: r.u32(16), mask: r.u32(20) } : undefined,
} as const satisfies Record<OpName, Decoder<object>>;

export type Decoders = typeof decoders;
/** What a request of this kind says. */
export type RequestOf<N extends OpName> = NonNullable<ReturnType<Decoders[N]>>;

/** The same, for a kernel that did not take FUSE_SETXATTR_EXT. */
export const setxattrShort = setxattrOf(8);
