/**
 * Field types: what the arguments and replies of fops are made of. They are descriptions only; the wire codec, the
 * trace and the generators of tests each have one function for a kind.
 */
import type { ByteString } from './bytes.ts';
import type { Fd, Loc } from './fd.ts';
import type { Gfid } from './gfid.ts';
import type { AttrChange, FileType, Iatt, Statfs, Timespec } from './iatt.ts';

declare const valueType: unique symbol;

export type ScalarKind =
  | 'u8'
  | 'u32'
  | 'i32'
  | 'u64'
  | 'i64'
  | 'bool'
  | 'gfid'
  | 'bytes'
  | 'text'
  | 'name'
  | 'timespec'
  | 'iatt'
  | 'loc'
  | 'fd'
  | 'xattrs'
  | 'attr'
  | 'statfs'
  | 'flock'
  | 'dirents'
  | 'xdata'
  | 'steps'
  | 'replies'
  | 'payload';

export interface Field<T> {
  readonly kind: ScalarKind | 'list' | 'enum';
  /** Element of a list. */
  readonly of?: Field<unknown>;
  /** Values of an enum, in wire order. */
  readonly values?: readonly string[];
  readonly optional?: boolean;
  readonly [valueType]?: T;
}

export type Fields = Record<string, Field<unknown>>;
type ValueOf<F> = F extends Field<infer T> ? T : never;
type OptionalKeys<F extends Fields> = { [K in keyof F]: F[K] extends { optional: true } ? K : never }[keyof F];

/** The object type that a set of fields describes. */
export type ObjectOf<F extends Fields> = { [K in Exclude<keyof F, OptionalKeys<F>>]: ValueOf<F[K]> } & {
  [K in OptionalKeys<F>]?: ValueOf<F[K]>;
};

function scalar<T>(kind: ScalarKind): Field<T> {
  return { kind };
}

/** Extended attributes by name. A name is bytes; on reading, an absent key means ENODATA. */
export type Xattrs = Record<ByteString, Uint8Array>;

/** A byte-range lock. `length` 0 reaches to the end of the file. `owner` is hex text. */
export interface Flock {
  type: 'read' | 'write' | 'unlock';
  start: number;
  length: number;
  owner: string;
  pid: number;
  /** Of flock(2): of the whole file, and no matter to fcntl's locks. Absent: of fcntl(2). */
  family?: 'flock';
}

/**
 * A name met while listing a directory. `offset` continues the listing behind it: it depends on nothing but the name,
 * hence survives changes and is the same on every replica (docs/directory-listing.md). At most 2^53.
 */
export interface Dirent {
  name: ByteString;
  gfid: Gfid | null;
  type: number;
  offset: number;
  /** readdirp only; null if the file vanished while listing. */
  iatt: Iatt | null;
  xattrs: Xattrs | null;
}

/**
 * Extra, typed requests and answers between translators that are not next to each other. Each key is registered here,
 * with who sets it and who reads it; there is no untyped way around.
 */
export interface Xdata {
  /** entry fops; set by replicate, read by index: the names touched while a replica was away (granular entry heal). */
  pendingNames?: ByteString[];
  /** any fop; set by replicate for a lease, checked by locks: the fence token under which the operation is valid. */
  fence?: number;
  /** inodelk; set by replicate, read by locks: all that is done under this lock carries its fence, so it can be taken from a holder who is silent. */
  isLease?: boolean;
  /** a step of a compound; set by replicate, read by `runSteps`: its fence is that of the inodelk before it in the compound. */
  underGrant?: boolean;
  /**
   * lookup as a step of a compound; set by replicate, read by `runSteps`: go on only if what it wants is zero or not there, and
   * the lock before it not shared.
   */
  ifQuiet?: boolean;
  /** inodelk replies; set by locks: another client asked for this lock lately. */
  shared?: boolean;
  /** inodelk, entrylk replies and upcalls; set by locks: someone else waits for this lock. */
  contended?: boolean;
  /**
   * create, mknod, symlink, put, mkdir, link, rename, lookup; set by distribute, read by storage: the layout that the client
   * believes the (new) name's directory has (xlators/lib/layout-claim). If it is another one now: EREMCHG. Of a lookup:
   * only in place of ENOENT.
   */
  layout?: string;
  /**
   * unlink, rename, link; set by distribute, read by storage: what loses or gets a name must be a file with its data. If
   * it has the xattr that is named here, it is a linkto, or a move of it is not settled: ENOENT.
   */
  notLinkto?: ByteString;
  /**
   * setxattr, removexattr, getxattr, setattr, all of them by fd, too, access, seek, and lk; set by distribute, read by storage, of lk by
   * locks: what has this xattr and a linkto's mode is a linkto, and not what is meant: ENOENT.
   */
  asFile?: ByteString;
  /** access; set by cache-access, read by storage: only who checks what callers do (access-control) refuses; without one there is nothing to refuse. */
  ifChecked?: boolean;
  /** unlink; set by heal: the object may be renamed elsewhere, keep its handle. */
  keepHandle?: boolean;
  /** unlink; set by a rebalance: the file is on another subvolume now, open descriptors of it here are of no use. */
  movedAway?: boolean;
  /** setattr, removexattr; set by a rebalance, read by locks: ESTALE unless the caller holds the file to move it, and not for long. */
  whileHeld?: boolean;
  /** readdir, readdirp replies, and of lookup where nothing is there; set by storage, read by distribute: so long ago a rebalance
   * took a name away from the brick, or the brick began. */
  movedAgoMs?: number;
  /** lookup; set by heal: look below the anonymous-inode directory and the index too. */
  heal?: boolean;
  /** writev, truncate...; set by posix in replies when the file has other writers open. */
  openFdCount?: number;
  /** writev and other modifications of data; set by heal: do not raise mtime, ctime (mdata is copied afterwards). */
  keepTimes?: boolean;
  /** readv, readdir, readdirp; set by utime when noatime is off: move atime forward to the call's time. */
  touchAtime?: boolean;
  /** any fop; set by io-threads, read by posix: the disk was slow here, do not wait for it on the event loop. */
  offload?: boolean;
  /** link; set by the mount for an O_TMPFILE: the open file has no name any more and gets one again. */
  nameless?: boolean;
  /** lookup failures with ENODATA; set by posix, read by replicate: the type of the object, which has no gfid yet. */
  typeWithoutGfid?: FileType;
  /** lookup, stat, fstat replies; set by md-cache, read by the mount: it was asked so long ago, and is to be believed for that much less. */
  ageMs?: number;
  /**
   * lk; set by replicate, read by protocol/client: the lock is held on enough other replicas. One that does not get it here must keep
   * the caller's descriptor out with `strict-locks`.
   */
  heldElsewhere?: boolean;
  /** lk; set by who moves open files to another graph, read by locks: what its owner has by another session of the same process becomes this one's. */
  handsOver?: boolean;
  /** open; set by quick-read, read by upcall: the client wants to be asked before somebody else changes the file (docs/delegations.md). */
  delegate?: boolean;
  /** open replies; set by upcall, made one by replicate, read by quick-read: for so long from the request on it is asked. */
  delegatedMs?: number;
  /** open replies; set by meta, read by the mount: what is read must not come from a cache, nor end at the size seen. */
  uncached?: boolean;
}

/** A step of a compound as it travels; made by `compoundStep`, whose types are the fop table's. */
export interface RawStep {
  readonly fop: string;
  readonly args: object;
}

/** The reply to a step; read with `replyOfStep`. */
export interface RawReply {
  readonly ok: boolean;
}

export const f = {
  u8: scalar<number>('u8'),
  u32: scalar<number>('u32'),
  i32: scalar<number>('i32'),
  /** 0 to 2^53 - 1. */
  u64: scalar<number>('u64'),
  i64: scalar<number>('i64'),
  bool: scalar<boolean>('bool'),
  gfid: scalar<Gfid>('gfid'),
  /** Short bytes inside the frame's meta part. */
  bytes: scalar<Uint8Array>('bytes'),
  /** File data: a raw segment of its own behind the frame, at most one in a message. */
  payload: scalar<Uint8Array>('payload'),
  text: scalar<string>('text'),
  name: scalar<ByteString>('name'),
  timespec: scalar<Timespec>('timespec'),
  iatt: scalar<Iatt>('iatt'),
  loc: scalar<Loc>('loc'),
  fd: scalar<Fd>('fd'),
  xattrs: scalar<Xattrs>('xattrs'),
  attr: scalar<AttrChange>('attr'),
  statfs: scalar<Statfs>('statfs'),
  flock: scalar<Flock>('flock'),
  dirents: scalar<Dirent[]>('dirents'),
  xdata: scalar<Xdata>('xdata'),
  steps: scalar<RawStep[]>('steps'),
  replies: scalar<RawReply[]>('replies'),
} as const;

export function list<T>(of: Field<T>): Field<T[]> {
  return { kind: 'list', of: of as Field<unknown> };
}

export function choice<const V extends readonly string[]>(...values: V): Field<V[number]> {
  return { kind: 'enum', values };
}

export function optional<T>(field: Field<T>): Field<T> & { readonly optional: true } {
  return { ...field, optional: true };
}
