/** The body of replies to READDIR and READDIRPLUS: records of 8-byte aligned length. */
import type { ByteString, Dirent } from '@mortar/core';
import { outHeaderBytes } from './constants.ts';
import { type EntryOut, entryOutBytes, type ReplyBuffer } from './reply.ts';

const direntBytes = 24;
const two32 = 2 ** 32;
/** Names up to here are written faster letter by letter than by a call out of JavaScript. */
const shortName = 48;

export interface InodeNumber {
  readonly high: number;
  readonly low: number;
}

/** Bytes of a record without an entry. */
function direntSize(name: ByteString): number {
  return (direntBytes + name.length + 7) & ~7;
}

/** Writes a record, padding included, from a word on. `next`: where to go on behind it, below 2^64. */
function putDirent(
  words: Uint32Array,
  bytes: Buffer,
  word: number,
  name: ByteString,
  ino: InodeNumber,
  type: number,
  next: number,
): void {
  const { length } = name;
  const end = word + direntSize(name) / 4;
  const nextHigh = Math.floor(next / two32);
  words[word] = ino.low;
  words[word + 1] = ino.high;
  words[word + 2] = next - nextHigh * two32;
  words[word + 3] = nextHigh;
  words[word + 4] = length;
  words[word + 5] = type;
  // The padding is in the last two.
  words[end - 2] = 0;
  words[end - 1] = 0;
  const at = word * 4 + direntBytes;
  if (length > shortName) bytes.write(name, at, 'latin1');
  else for (let i = 0; i < length; i++) bytes[at + i] = name.charCodeAt(i);
}

/** Records of a listing without attributes, made once: an answer is a piece of them. `.` and `..` are not among them. */
export class DirentList {
  readonly bytes: Buffer;
  readonly count: number;
  /** Where each record begins; one more for the end. */
  readonly #starts: Uint32Array;
  readonly #nexts: Float64Array;

  constructor(entries: readonly Dirent[], inoOf: (entry: Dirent) => InodeNumber) {
    let size = 0;
    for (const { name } of entries) size += direntSize(name);
    this.bytes = Buffer.from(new ArrayBuffer(size));
    this.#starts = new Uint32Array(entries.length + 1);
    this.#nexts = new Float64Array(entries.length);
    const words = new Uint32Array(this.bytes.buffer);
    let at = 0;
    let count = 0;
    for (const entry of entries) {
      const { name } = entry;
      if (name === '.' || name === '..') continue;
      this.#starts[count] = at;
      this.#nexts[count++] = entry.offset;
      putDirent(words, this.bytes, at / 4, name, inoOf(entry), entry.type, entry.offset);
      at += direntSize(name);
    }
    this.#starts[count] = at;
    this.count = count;
  }

  /** How many records from `first` on fit into `roomBytes`. */
  fitting(first: number, roomBytes: number): number {
    const limit = this.#starts[first]! + roomBytes;
    let low = first;
    for (let high = this.count; low < high; ) {
      const middle = (low + high + 1) >>> 1;
      if (this.#starts[middle]! <= limit) low = middle;
      else high = middle - 1;
    }
    return low - first;
  }

  slice(first: number, count: number): Buffer {
    return this.bytes.subarray(this.#starts[first]!, this.#starts[first + count]!);
  }

  /** Where to go on behind a record. */
  next(index: number): number {
    return this.#nexts[index]!;
  }
}

export class DirentWriter {
  readonly #reply: ReplyBuffer;
  readonly #limit: number;
  readonly plus: boolean;
  used = 0;

  /** At most `sizeBytes` of records; never more than the reply buffer holds. */
  constructor(reply: ReplyBuffer, sizeBytes: number, plus: boolean) {
    this.#reply = reply;
    this.#limit = Math.min(sizeBytes, reply.bytes.length - outHeaderBytes);
    this.plus = plus;
  }

  get room(): number {
    return this.#limit - this.used;
  }

  fits(name: ByteString): boolean {
    return (this.plus ? entryOutBytes : 0) + direntSize(name) <= this.room;
  }

  /** Adds a record that fits. `entry` null in a plus listing: the kernel will look it up itself. */
  add(name: ByteString, ino: InodeNumber, type: number, next: number, entry: EntryOut | null): void {
    const { bytes, words } = this.#reply;
    let word = (outHeaderBytes + this.used) / 4;
    if (this.plus) {
      if (entry) this.#reply.putEntry(word - outHeaderBytes / 4, entry);
      else words.fill(0, word, word + entryOutBytes / 4);
      word += entryOutBytes / 4;
    }
    putDirent(words, bytes, word, name, ino, type, next);
    this.used = word * 4 - outHeaderBytes + direntSize(name);
  }

  /** Adds records that fit. */
  append(records: Uint8Array): void {
    this.#reply.bytes.set(records, outHeaderBytes + this.used);
    this.used += records.length;
  }

  /** Completes the header. */
  finish(uniqueLow: number, uniqueHigh: number): void {
    this.#reply.begin(uniqueLow, uniqueHigh, this.used);
  }
}
