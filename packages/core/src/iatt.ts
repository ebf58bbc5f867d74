import { type Gfid, nullGfid } from './gfid.ts';

/** File types with their values in st_mode (S_IFMT >> 12). */
export const FileType = {
  unknown: 0,
  fifo: 1,
  char: 2,
  directory: 4,
  block: 6,
  regular: 8,
  symlink: 10,
  socket: 12,
} as const;
export type FileType = (typeof FileType)[keyof typeof FileType];

/**
 * What stat says of a file, by gfid. `mode` holds the twelve permission bits only; sizes are bytes, `blocks` are of
 * 512 bytes; times are seconds (may be negative) with nanoseconds 0 to 999,999,999.
 */
export interface Iatt {
  gfid: Gfid;
  type: FileType;
  mode: number;
  nlink: number;
  uid: number;
  gid: number;
  rdevMajor: number;
  rdevMinor: number;
  size: number;
  blockSize: number;
  blocks: number;
  atime: number;
  atimeNsec: number;
  mtime: number;
  mtimeNsec: number;
  ctime: number;
  ctimeNsec: number;
  btime: number;
  btimeNsec: number;
}

export function emptyIatt(gfid: Gfid = nullGfid, type: FileType = FileType.unknown): Iatt {
  return {
    gfid,
    type,
    mode: 0,
    nlink: 0,
    uid: 0,
    gid: 0,
    rdevMajor: 0,
    rdevMinor: 0,
    size: 0,
    blockSize: 4096,
    blocks: 0,
    atime: 0,
    atimeNsec: 0,
    mtime: 0,
    mtimeNsec: 0,
    ctime: 0,
    ctimeNsec: 0,
    btime: 0,
    btimeNsec: 0,
  };
}

/** Whether attributes in a reply are the file's: a translator that answers before the brick did has none to give (`emptyIatt`). */
export function isKnownIatt({ gfid, type, ctime, ctimeNsec }: Iatt): boolean {
  return gfid !== nullGfid && type !== FileType.unknown && (ctime !== 0 || ctimeNsec !== 0);
}

/** st_mode: type and permission bits together. */
export function statMode(iatt: Pick<Iatt, 'type' | 'mode'>): number {
  return (iatt.type << 12) | iatt.mode;
}

/** The type in an st_mode. */
export function typeOfMode(mode: number): FileType {
  return ((mode >> 12) & 0xf) as FileType;
}

/** A wall-clock instant as the file system keeps it. */
export interface Timespec {
  sec: number;
  nsec: number;
}

export function compareTimes(a: Timespec, b: Timespec): number {
  return a.sec - b.sec || a.nsec - b.nsec;
}

/** What setattr changes; an absent field stays as it is. `'now'` means the server's clock (UTIME_NOW). */
export interface AttrChange {
  mode?: number;
  uid?: number;
  gid?: number;
  atime?: Timespec;
  mtime?: Timespec;
  ctime?: Timespec;
}

/** File system totals: blocks of `fragmentSize` bytes. */
export interface Statfs {
  blockSize: number;
  fragmentSize: number;
  blocks: number;
  blocksFree: number;
  blocksAvailable: number;
  files: number;
  filesFree: number;
  filesAvailable: number;
  fsid: number;
  flags: number;
  nameMax: number;
}
