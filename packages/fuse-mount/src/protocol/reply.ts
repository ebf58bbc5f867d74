/** Replies: plain values to the bytes of the kernel's structs, in one buffer that is used over and over. */
import { FileType, type Gfid, gfidWord, type Iatt, type Statfs, statMode } from '@mortar/core';
import { outHeaderBytes } from './constants.ts';

const two32 = 2 ** 32;

/** A validity time as the kernel takes it. */
export interface Validity {
  seconds: number;
  nanoseconds: number;
}

export function validity(seconds: number): Validity {
  const whole = Math.floor(seconds);
  return { seconds: whole, nanoseconds: Math.round((seconds - whole) * 1e9) % 1e9 };
}

/** What is left of it when so many milliseconds are over. */
export function shortened(valid: Validity, byMs: number): Validity {
  if (byMs <= 0) return valid;
  const leftMs = Math.max(0, valid.seconds * 1000 + valid.nanoseconds / 1e6 - byMs);
  const seconds = Math.floor(leftMs / 1000);
  return { seconds, nanoseconds: Math.floor((leftMs - seconds * 1000) * 1e6) };
}

/** st_ino of a gfid: its last eight bytes as a big-endian number (GlusterFS's rule); the root's is 1. */
export function inodeNumber(gfid: Gfid): { high: number; low: number } {
  return { high: gfidWord(gfid, 8), low: gfidWord(gfid, 12) };
}

/** For clients that know 32 bits only (`enable-ino32`): both halves mixed. */
export function shortInodeNumber(gfid: Gfid): { high: number; low: number } {
  const { high, low } = inodeNumber(gfid);
  return { high: 0, low: (high ^ low) >>> 0 };
}

/** st_rdev in the kernel's 32-bit form. */
export function encodeDevice(major: number, minor: number): number {
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
}

export function decodeDevice(device: number): { major: number; minor: number } {
  return { major: (device & 0xfff00) >>> 8, minor: (device & 0xff) | ((device >>> 12) & 0xfff00) };
}

export interface EntryOut {
  nodeId: number;
  generation: number;
  entryValid: Validity;
  attrValid: Validity;
  ino: { high: number; low: number };
  iatt: Iatt;
}

const attrBytes = 88;
export const entryOutBytes = 40 + attrBytes;
const attrOutBytes = 16 + attrBytes;
const statxOutBytes = 288;
/** STATX_BASIC_STATS and STATX_BTIME. */
const statxMask = 0xfff;

export class ReplyBuffer {
  readonly bytes: Buffer;
  readonly words: Uint32Array;
  /** How much of it is the reply. */
  length = 0;

  constructor(sizeBytes = 128 * 1024) {
    this.bytes = Buffer.from(new ArrayBuffer(sizeBytes));
    this.words = new Uint32Array(this.bytes.buffer);
  }

  /** Starts the reply to a request, with `bodyBytes` to follow here and `payloadBytes` in other memory. */
  begin(uniqueLow: number, uniqueHigh: number, bodyBytes: number, payloadBytes = 0, errno = 0): void {
    this.length = outHeaderBytes + bodyBytes;
    const words = this.words;
    words[0] = this.length + payloadBytes;
    words[1] = -errno;
    words[2] = uniqueLow;
    words[3] = uniqueHigh;
  }

  /** Words are counted from the start of the body. */
  u32(word: number, value: number): void {
    this.words[4 + word] = value;
  }

  u64(word: number, value: number): void {
    const high = Math.floor(value / two32);
    this.words[4 + word] = value - high * two32;
    this.words[5 + word] = high;
  }

  entry(uniqueLow: number, uniqueHigh: number, out: EntryOut): void {
    this.begin(uniqueLow, uniqueHigh, entryOutBytes);
    this.putEntry(0, out);
  }

  /** The name does not exist, and that may be remembered. */
  noEntry(uniqueLow: number, uniqueHigh: number, entryValid: Validity): void {
    this.begin(uniqueLow, uniqueHigh, entryOutBytes);
    this.words.fill(0, 4, 4 + entryOutBytes / 4);
    this.u64(4, entryValid.seconds);
    this.u32(8, entryValid.nanoseconds);
  }

  created(uniqueLow: number, uniqueHigh: number, out: EntryOut, fh: number, openFlags: number, backingId = 0): void {
    this.begin(uniqueLow, uniqueHigh, entryOutBytes + 16);
    this.putEntry(0, out);
    this.#putOpen(entryOutBytes / 4, fh, openFlags, backingId);
  }

  /** `backingId`: of the file that the kernel reads itself, with `OpenReply.passthrough`. */
  opened(uniqueLow: number, uniqueHigh: number, fh: number, openFlags: number, backingId = 0): void {
    this.begin(uniqueLow, uniqueHigh, 16);
    this.#putOpen(0, fh, openFlags, backingId);
  }

  attr(
    uniqueLow: number,
    uniqueHigh: number,
    iatt: Iatt,
    ino: { high: number; low: number },
    attrValid: Validity,
  ): void {
    this.begin(uniqueLow, uniqueHigh, attrOutBytes);
    this.u64(0, attrValid.seconds);
    this.u32(2, attrValid.nanoseconds);
    this.u32(3, 0);
    this.#putAttr(4, iatt, ino);
  }

  statx(
    uniqueLow: number,
    uniqueHigh: number,
    iatt: Iatt,
    ino: { high: number; low: number },
    attrValid: Validity,
  ): void {
    this.begin(uniqueLow, uniqueHigh, statxOutBytes);
    this.words.fill(0, 4, 4 + statxOutBytes / 4);
    this.u64(0, attrValid.seconds);
    this.u32(2, attrValid.nanoseconds);
    const at = 8;
    this.u32(at, statxMask);
    this.u32(at + 1, iatt.blockSize);
    this.u32(at + 4, iatt.nlink);
    this.u32(at + 5, iatt.uid);
    this.u32(at + 6, iatt.gid);
    this.u32(at + 7, statMode(iatt));
    this.u32(at + 8, ino.low);
    this.u32(at + 9, ino.high);
    this.u64(at + 10, iatt.size);
    this.u64(at + 12, iatt.blocks);
    this.#putStatxTime(at + 16, iatt.atime, iatt.atimeNsec);
    this.#putStatxTime(at + 20, iatt.btime, iatt.btimeNsec);
    this.#putStatxTime(at + 24, iatt.ctime, iatt.ctimeNsec);
    this.#putStatxTime(at + 28, iatt.mtime, iatt.mtimeNsec);
    this.u32(at + 32, iatt.rdevMajor);
    this.u32(at + 33, iatt.rdevMinor);
  }

  statfs(uniqueLow: number, uniqueHigh: number, st: Statfs): void {
    this.begin(uniqueLow, uniqueHigh, 80);
    this.words.fill(0, 4, 24);
    this.u64(0, st.blocks);
    this.u64(2, st.blocksFree);
    this.u64(4, st.blocksAvailable);
    this.u64(6, st.files);
    this.u64(8, st.filesFree);
    this.u32(10, st.blockSize);
    this.u32(11, st.nameMax);
    this.u32(12, st.fragmentSize);
  }

  lock(uniqueLow: number, uniqueHigh: number, start: number, end: number | null, type: number, pid: number): void {
    this.begin(uniqueLow, uniqueHigh, 24);
    this.u64(0, start);
    if (end === null) {
      this.u32(2, 0xffffffff);
      this.u32(3, 0x7fffffff);
    } else this.u64(2, end);
    this.u32(4, type);
    this.u32(5, pid);
  }

  /** fuse_write_out, fuse_getxattr_out: one 32-bit number. */
  size32(uniqueLow: number, uniqueHigh: number, size: number): void {
    this.begin(uniqueLow, uniqueHigh, 8);
    this.u32(0, size);
    this.u32(1, 0);
  }

  /** fuse_lseek_out, fuse_copy_file_range_out: one 64-bit number. */
  size64(uniqueLow: number, uniqueHigh: number, size: number): void {
    this.begin(uniqueLow, uniqueHigh, 8);
    this.u64(0, size);
  }

  putEntry(word: number, out: EntryOut): void {
    this.u64(word, out.nodeId);
    this.u64(word + 2, out.generation);
    this.u64(word + 4, out.entryValid.seconds);
    this.u64(word + 6, out.attrValid.seconds);
    this.u32(word + 8, out.entryValid.nanoseconds);
    this.u32(word + 9, out.attrValid.nanoseconds);
    this.#putAttr(word + 10, out.iatt, out.ino);
  }

  #putOpen(word: number, fh: number, openFlags: number, backingId: number): void {
    this.u64(word, fh);
    this.u32(word + 2, openFlags);
    this.u32(word + 3, backingId);
  }

  #putStatxTime(word: number, sec: number, nsec: number): void {
    this.u64(word, sec);
    this.u32(word + 2, nsec);
  }

  #putAttr(word: number, iatt: Iatt, ino: { high: number; low: number }): void {
    const words = this.words;
    const at = 4 + word;
    words[at] = ino.low;
    words[at + 1] = ino.high;
    this.u64(word + 2, iatt.size);
    this.u64(word + 4, iatt.blocks);
    this.u64(word + 6, iatt.atime);
    this.u64(word + 8, iatt.mtime);
    this.u64(word + 10, iatt.ctime);
    words[at + 12] = iatt.atimeNsec;
    words[at + 13] = iatt.mtimeNsec;
    words[at + 14] = iatt.ctimeNsec;
    words[at + 15] = statMode(iatt);
    words[at + 16] = iatt.nlink;
    words[at + 17] = iatt.uid;
    words[at + 18] = iatt.gid;
    words[at + 19] = iatt.type === FileType.char || iatt.type === FileType.block ? deviceOf(iatt) : 0;
    words[at + 20] = iatt.blockSize;
    words[at + 21] = 0;
  }
}

function deviceOf(iatt: Iatt): number {
  return encodeDevice(iatt.rdevMajor, iatt.rdevMinor);
}
