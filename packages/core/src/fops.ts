/**
 * The table of file operations. One row a fop: its number (GlusterFS's), what it changes, its arguments and its reply.
 * Types, wire codec, statistics, trace and error injection all come from here; a new fop is one new row.
 */
import type { Call } from './call.ts';
import type { Errno } from './errno.ts';
import { choice, type Fields, f, list, type ObjectOf, optional, type RawStep, type Xdata } from './fields.ts';

/** What a fop touches: decides locks, changelog index, cache invalidation and the class of its statistics. */
export type FopClass = 'read' | 'data' | 'metadata' | 'entry' | 'lock' | 'open' | 'control';

export interface FopRow<A extends Fields, R extends Fields> {
  readonly id: number;
  readonly class: FopClass;
  readonly args: A;
  readonly reply: R;
}

function fop<A extends Fields, R extends Fields>(id: number, cls: FopClass, args: A, reply: R) {
  return { id, class: cls, args: { ...args, xdata: optional(f.xdata) }, reply } as const;
}

/** Names of xattrs wanted beside the reply; a name that ends in `*` wants all that start so. */
const want = optional(list(f.name));
/** Xattrs that a new object gets before it can be seen. */
const initial = optional(f.xattrs);
const pre = f.iatt;
const post = f.iatt;
const oneParent = { preParent: f.iatt, postParent: f.iatt };
const lockCommand = choice('try', 'wait', 'unlock');

export const fops = {
  stat: fop(1, 'read', { loc: f.loc }, { iatt: f.iatt }),
  readlink: fop(2, 'read', { loc: f.loc }, { target: f.name, iatt: f.iatt }),
  /** `mode` carries the type in its S_IFMT bits. */
  mknod: fop(
    3,
    'entry',
    { loc: f.loc, mode: f.u32, rdevMajor: f.u32, rdevMinor: f.u32, gfid: f.gfid, initial },
    { iatt: f.iatt, ...oneParent },
  ),
  mkdir: fop(4, 'entry', { loc: f.loc, mode: f.u32, gfid: f.gfid, initial }, { iatt: f.iatt, ...oneParent }),
  unlink: fop(5, 'entry', { loc: f.loc }, oneParent),
  /** `recursive`: heal removes a whole tree; the brick moves it to its landfill. */
  rmdir: fop(6, 'entry', { loc: f.loc, recursive: f.bool }, oneParent),
  symlink: fop(7, 'entry', { loc: f.loc, target: f.name, gfid: f.gfid, initial }, { iatt: f.iatt, ...oneParent }),
  /** `flags`: RENAME_NOREPLACE 1, RENAME_EXCHANGE 2. */
  rename: fop(
    8,
    'entry',
    { from: f.loc, to: f.loc, flags: f.u32 },
    { iatt: f.iatt, preFromParent: f.iatt, postFromParent: f.iatt, preToParent: f.iatt, postToParent: f.iatt },
  ),
  link: fop(9, 'entry', { from: f.loc, to: f.loc }, { iatt: f.iatt, ...oneParent }),
  truncate: fop(10, 'data', { loc: f.loc, size: f.u64 }, { pre, post }),
  /**
   * `iatt`: as it is at the open, where that is known; what was cached before is checked against it. `contents`: of a file of at
   * most so many bytes `data` may be all that is in it, as `iatt` says it is; never without `iatt`.
   */
  open: fop(
    11,
    'open',
    { loc: f.loc, flags: f.u32, fd: f.fd, contents: optional(f.u32) },
    { iatt: optional(f.iatt), data: optional(f.payload) },
  ),
  readv: fop(12, 'read', { fd: f.fd, size: f.u32, offset: f.u64 }, { data: f.payload, iatt: f.iatt }),
  /** `append`: at the end of the file as the brick finds it; `offset` is then ignored. `sync`: O_SYNC or O_DSYNC. */
  writev: fop(
    13,
    'data',
    { fd: f.fd, offset: f.u64, data: f.payload, append: optional(f.bool), sync: optional(f.bool) },
    { written: f.u32, pre, post },
  ),
  statfs: fop(14, 'read', { loc: f.loc }, { statfs: f.statfs }),
  flush: fop(15, 'open', { fd: f.fd }, {}),
  fsync: fop(16, 'data', { fd: f.fd, dataOnly: f.bool }, { pre, post }),
  /** `flags`: XATTR_CREATE 1, XATTR_REPLACE 2. */
  setxattr: fop(17, 'metadata', { loc: f.loc, xattrs: f.xattrs, flags: f.u32 }, {}),
  /** `name` absent: all that the caller may see. */
  getxattr: fop(18, 'read', { loc: f.loc, name: optional(f.name) }, { xattrs: f.xattrs }),
  removexattr: fop(19, 'metadata', { loc: f.loc, name: f.name }, {}),
  opendir: fop(20, 'open', { loc: f.loc, fd: f.fd }, {}),
  fsyncdir: fop(21, 'data', { fd: f.fd, dataOnly: f.bool }, {}),
  access: fop(22, 'read', { loc: f.loc, mask: f.u32 }, {}),
  create: fop(
    23,
    'entry',
    { loc: f.loc, flags: f.u32, mode: f.u32, gfid: f.gfid, fd: f.fd, initial },
    { iatt: f.iatt, ...oneParent },
  ),
  ftruncate: fop(24, 'data', { fd: f.fd, size: f.u64 }, { pre, post }),
  fstat: fop(25, 'read', { fd: f.fd }, { iatt: f.iatt }),
  lk: fop(26, 'lock', { fd: f.fd, command: choice('get', 'set', 'wait'), flock: f.flock }, { flock: f.flock }),
  /** By `loc.gfid`, or by parent and name. `gfid`: given to a file of a brick that has none yet (adoption). */
  lookup: fop(
    27,
    'read',
    { loc: f.loc, want, gfid: optional(f.gfid) },
    { iatt: f.iatt, postParent: f.iatt, xattrs: f.xattrs },
  ),
  readdir: fop(28, 'read', { fd: f.fd, size: f.u32, offset: f.u64 }, { entries: f.dirents, end: f.bool }),
  inodelk: fop(
    29,
    'lock',
    { loc: f.loc, domain: f.text, command: lockCommand, flock: f.flock },
    { fence: optional(f.u64) },
  ),
  finodelk: fop(
    30,
    'lock',
    { fd: f.fd, domain: f.text, command: lockCommand, flock: f.flock },
    { fence: optional(f.u64) },
  ),
  /** `name` absent locks the whole directory. */
  entrylk: fop(
    31,
    'lock',
    { loc: f.loc, domain: f.text, name: optional(f.name), command: lockCommand, type: choice('read', 'write') },
    { fence: optional(f.u64) },
  ),
  fentrylk: fop(
    32,
    'lock',
    { fd: f.fd, domain: f.text, name: optional(f.name), command: lockCommand, type: choice('read', 'write') },
    { fence: optional(f.u64) },
  ),
  /** Adds to counters in xattrs, atomically: `add32` and `add64` are arrays of big-endian integers of any length. */
  xattrop: fop(
    33,
    'metadata',
    { loc: f.loc, operation: choice('add32', 'add64', 'or'), values: f.xattrs },
    { xattrs: f.xattrs },
  ),
  fxattrop: fop(
    34,
    'metadata',
    { fd: f.fd, operation: choice('add32', 'add64', 'or'), values: f.xattrs },
    { xattrs: f.xattrs },
  ),
  fgetxattr: fop(35, 'read', { fd: f.fd, name: optional(f.name) }, { xattrs: f.xattrs }),
  fsetxattr: fop(36, 'metadata', { fd: f.fd, xattrs: f.xattrs, flags: f.u32 }, {}),
  /** Weak (Adler-32) and strong (SHA-256) checksum of a block. */
  rchecksum: fop(37, 'read', { fd: f.fd, offset: f.u64, size: f.u32 }, { weak: f.u32, strong: f.bytes, size: f.u32 }),
  setattr: fop(38, 'metadata', { loc: f.loc, attr: f.attr }, { pre, post }),
  fsetattr: fop(39, 'metadata', { fd: f.fd, attr: f.attr }, { pre, post }),
  readdirp: fop(40, 'read', { fd: f.fd, size: f.u32, offset: f.u64, want }, { entries: f.dirents, end: f.bool }),
  fremovexattr: fop(43, 'metadata', { fd: f.fd, name: f.name }, {}),
  /** `mode`: fallocate(2)'s FALLOC_FL bits. */
  fallocate: fop(44, 'data', { fd: f.fd, mode: f.u32, offset: f.u64, size: f.u64 }, { pre, post }),
  discard: fop(45, 'data', { fd: f.fd, offset: f.u64, size: f.u64 }, { pre, post }),
  zerofill: fop(46, 'data', { fd: f.fd, offset: f.u64, size: f.u64 }, { pre, post }),
  /** Requests that have no file: index crawl, statistics. `operation` names a registered one. */
  ipc: fop(47, 'control', { operation: f.text, data: optional(f.bytes) }, { data: optional(f.bytes) }),
  seek: fop(48, 'read', { fd: f.fd, offset: f.u64, what: choice('data', 'hole') }, { offset: f.u64 }),
  /** Steps run in order on one brick; the first that fails ends it (`runSteps`). */
  compound: fop(49, 'control', { steps: f.steps }, { replies: f.replies }),
  lease: fop(
    50,
    'lock',
    { loc: f.loc, command: choice('get', 'grant', 'release'), type: choice('read', 'write'), id: f.text },
    { granted: f.bool },
  ),
  put: fop(
    51,
    'entry',
    { loc: f.loc, mode: f.u32, flags: f.u32, gfid: f.gfid, data: f.payload, initial },
    { iatt: f.iatt, ...oneParent },
  ),
  /** An object without a name yet. */
  icreate: fop(52, 'entry', { gfid: f.gfid, mode: f.u32, initial }, { iatt: f.iatt }),
  /** Gives a name to an object made by `icreate`. */
  namelink: fop(53, 'entry', { loc: f.loc }, { preParent: f.iatt, postParent: f.iatt }),
  copy_file_range: fop(
    54,
    'data',
    { from: f.fd, fromOffset: f.u64, to: f.fd, toOffset: f.u64, size: f.u64 },
    { written: f.u64, source: f.iatt, pre, post },
  ),
} as const;

export type FopTable = typeof fops;
export type FopName = keyof FopTable;
export type Args<N extends FopName> = ObjectOf<FopTable[N]['args']>;

export interface Failure {
  ok: false;
  errno: Errno;
  xdata?: Xdata;
}
export type Success<N extends FopName> = { ok: true; xdata?: Xdata } & ObjectOf<FopTable[N]['reply']>;
/** Expected errors are values; an exception is a bug. */
export type Reply<N extends FopName> = Success<N> | Failure;

export type Fop<N extends FopName> = (call: Call, args: Args<N>) => Promise<Reply<N>>;
/** The operations of a subvolume, complete. */
export type Fops = { [N in FopName]: Fop<N> };

export const fopNames = Object.keys(fops) as FopName[];
const byId = new Map<number, FopName>(fopNames.map((name) => [fops[name].id, name]));

export function fopById(id: number): FopName | undefined {
  return byId.get(id);
}

export function fail(errno: Errno): Failure {
  return { ok: false, errno };
}

/**
 * The locks that a request gives back, each in a request of its own, if it does nothing else: they may still be held when it did
 * not get there.
 */
export function locksGivenBack(fop: FopName, args: object): readonly RawStep[] {
  if (fop === 'compound') {
    const { steps } = args as Args<'compound'>;
    return steps.every((step) => givesLockBack(step.fop as FopName, step.args)) ? steps : [];
  }
  return givesLockBack(fop, args) ? [{ fop, args }] : [];
}

function givesLockBack(fop: FopName, args: object): boolean {
  if (fops[fop].class !== 'lock') return false;
  const { command, flock } = args as { command?: string; flock?: { type: string } };
  return command === 'unlock' || (command !== 'get' && flock?.type === 'unlock');
}
