/** Wire forms of the structures that fops carry. Each pair of functions is the definition of its format. */

import type { Loc } from '@mortar/core/fd.ts';
import type { Dirent, Flock, Xattrs } from '@mortar/core/fields.ts';
import type { AttrChange, FileType, Iatt, Statfs, Timespec } from '@mortar/core/iatt.ts';
import type { ByteReader } from '../byte-reader.ts';
import type { ByteWriter } from '../byte-writer.ts';
import { FrameError } from '../frame.ts';

const nsecBelow = 1_000_000_000;

export function writeTimespec(out: ByteWriter, time: Timespec): void {
  out.i64(time.sec);
  out.u32(time.nsec);
}

export function readTimespec(input: ByteReader): Timespec {
  const sec = input.i64();
  return { sec, nsec: readNsec(input) };
}

function readNsec(input: ByteReader): number {
  const nsec = input.u32();
  if (nsec >= nsecBelow) throw new FrameError('decode', `${nsec} nanoseconds`);
  return nsec;
}

export function writeIatt(out: ByteWriter, iatt: Iatt): void {
  out.gfid(iatt.gfid);
  out.u8(iatt.type);
  out.u16(iatt.mode);
  out.u32(iatt.nlink);
  out.u32(iatt.uid);
  out.u32(iatt.gid);
  out.u32(iatt.rdevMajor);
  out.u32(iatt.rdevMinor);
  out.u64(iatt.size);
  out.u32(iatt.blockSize);
  out.u64(iatt.blocks);
  out.i64(iatt.atime);
  out.u32(iatt.atimeNsec);
  out.i64(iatt.mtime);
  out.u32(iatt.mtimeNsec);
  out.i64(iatt.ctime);
  out.u32(iatt.ctimeNsec);
  out.i64(iatt.btime);
  out.u32(iatt.btimeNsec);
}

export function readIatt(input: ByteReader): Iatt {
  return {
    gfid: input.gfid(),
    type: readFileType(input),
    mode: input.u16(),
    nlink: input.u32(),
    uid: input.u32(),
    gid: input.u32(),
    rdevMajor: input.u32(),
    rdevMinor: input.u32(),
    size: input.u64(),
    blockSize: input.u32(),
    blocks: input.u64(),
    atime: input.i64(),
    atimeNsec: readNsec(input),
    mtime: input.i64(),
    mtimeNsec: readNsec(input),
    ctime: input.i64(),
    ctimeNsec: readNsec(input),
    btime: input.i64(),
    btimeNsec: readNsec(input),
  };
}

function readFileType(input: ByteReader): FileType {
  const type = input.u8();
  if (type > 15) throw new FrameError('decode', `file type ${type}`);
  return type as FileType;
}

export function writeLoc(out: ByteWriter, loc: Loc): void {
  out.u8((loc.gfid === null ? 0 : 1) | (loc.parent === null ? 0 : 2) | (loc.name === null ? 0 : 4));
  if (loc.gfid !== null) out.gfid(loc.gfid);
  if (loc.parent !== null) out.gfid(loc.parent);
  if (loc.name !== null) out.latin1(loc.name);
}

export function readLoc(input: ByteReader): Loc {
  const present = readPresence(input, 0b111);
  return {
    gfid: present & 1 ? input.gfid() : null,
    parent: present & 2 ? input.gfid() : null,
    name: present & 4 ? input.latin1() : null,
  };
}

function readPresence(input: ByteReader, known: number): number {
  const present = input.u8();
  if (present & ~known) throw new FrameError('decode', `unknown presence bits 0x${present.toString(16)}`);
  return present;
}

export function writeXattrs(out: ByteWriter, xattrs: Xattrs): void {
  const names = Object.keys(xattrs);
  out.u16(names.length);
  if (names.length > 0xffff) throw new RangeError(`${names.length} xattrs in one message`);
  for (const name of names) {
    const value = xattrs[name]!;
    out.latin1(name);
    out.u32(value.length);
    out.raw(value);
  }
}

export function readXattrs(input: ByteReader): Xattrs {
  const xattrs: Xattrs = {};
  for (let left = input.u16(); left > 0; left--) {
    const name = input.latin1();
    const value = input.raw(input.u32());
    if (name !== '__proto__') xattrs[name] = value;
    else Object.defineProperty(xattrs, name, { value, enumerable: true, configurable: true, writable: true });
  }
  return xattrs;
}

export function writeAttr(out: ByteWriter, attr: AttrChange): void {
  const { mode, uid, gid, atime, mtime, ctime } = attr;
  let present = 0;
  if (mode !== undefined) present |= 1;
  if (uid !== undefined) present |= 2;
  if (gid !== undefined) present |= 4;
  if (atime !== undefined) present |= 8;
  if (mtime !== undefined) present |= 16;
  if (ctime !== undefined) present |= 32;
  out.u8(present);
  if (mode !== undefined) out.u32(mode);
  if (uid !== undefined) out.u32(uid);
  if (gid !== undefined) out.u32(gid);
  if (atime !== undefined) writeTimespec(out, atime);
  if (mtime !== undefined) writeTimespec(out, mtime);
  if (ctime !== undefined) writeTimespec(out, ctime);
}

export function readAttr(input: ByteReader): AttrChange {
  const present = readPresence(input, 0b111111);
  const attr: AttrChange = {};
  if (present & 1) attr.mode = input.u32();
  if (present & 2) attr.uid = input.u32();
  if (present & 4) attr.gid = input.u32();
  if (present & 8) attr.atime = readTimespec(input);
  if (present & 16) attr.mtime = readTimespec(input);
  if (present & 32) attr.ctime = readTimespec(input);
  return attr;
}

export function writeStatfs(out: ByteWriter, statfs: Statfs): void {
  out.u32(statfs.blockSize);
  out.u32(statfs.fragmentSize);
  out.u64(statfs.blocks);
  out.u64(statfs.blocksFree);
  out.u64(statfs.blocksAvailable);
  out.u64(statfs.files);
  out.u64(statfs.filesFree);
  out.u64(statfs.filesAvailable);
  out.u64(statfs.fsid);
  out.u32(statfs.flags);
  out.u32(statfs.nameMax);
}

export function readStatfs(input: ByteReader): Statfs {
  return {
    blockSize: input.u32(),
    fragmentSize: input.u32(),
    blocks: input.u64(),
    blocksFree: input.u64(),
    blocksAvailable: input.u64(),
    files: input.u64(),
    filesFree: input.u64(),
    filesAvailable: input.u64(),
    fsid: input.u64(),
    flags: input.u32(),
    nameMax: input.u32(),
  };
}

const lockTypes = ['read', 'write', 'unlock'] as const;

/** In the byte of the type: a lock of flock(2). */
const flockFamily = 0x80;

export function writeFlock(out: ByteWriter, flock: Flock): void {
  out.u8(lockTypes.indexOf(flock.type) | (flock.family === 'flock' ? flockFamily : 0));
  out.u64(flock.start);
  out.u64(flock.length);
  out.latin1(flock.owner);
  out.i32(flock.pid);
}

export function readFlock(input: ByteReader): Flock {
  const byte = input.u8();
  const type = lockTypes[byte & ~flockFamily];
  if (!type) throw new FrameError('decode', 'unknown type of lock');
  const flock: Flock = { type, start: input.u64(), length: input.u64(), owner: input.latin1(), pid: input.i32() };
  return byte & flockFamily ? { ...flock, family: 'flock' } : flock;
}

export function writeDirents(out: ByteWriter, entries: readonly Dirent[]): void {
  out.u32(entries.length);
  for (const entry of entries) {
    out.u8((entry.gfid === null ? 0 : 1) | (entry.iatt === null ? 0 : 2) | (entry.xattrs === null ? 0 : 4));
    out.u8(entry.type);
    out.u64(entry.offset);
    out.latin1(entry.name);
    if (entry.gfid !== null) out.gfid(entry.gfid);
    if (entry.iatt !== null) writeIatt(out, entry.iatt);
    if (entry.xattrs !== null) writeXattrs(out, entry.xattrs);
  }
}

export function readDirents(input: ByteReader): Dirent[] {
  const entries: Dirent[] = [];
  for (let left = input.u32(); left > 0; left--) {
    const present = readPresence(input, 0b111);
    const type = input.u8();
    const offset = input.u64();
    const name = input.latin1();
    entries.push({
      name,
      gfid: present & 1 ? input.gfid() : null,
      type,
      offset,
      iatt: present & 2 ? readIatt(input) : null,
      xattrs: present & 4 ? readXattrs(input) : null,
    });
  }
  return entries;
}
