/** The body of replies to READDIR and READDIRPLUS: records of 8-byte aligned length. */
import type { ByteString } from '@mortar/core';
import { outHeaderBytes } from './constants.ts';
import { type EntryOut, entryOutBytes, type ReplyBuffer } from './reply.ts';

const direntBytes = 24;

export interface DirentOut {
  name: ByteString;
  ino: { high: number; low: number };
  type: number;
  /** Where to go on behind it: high and low word. */
  next: { high: number; low: number };
}

/** The same in two words. */
export function splitOffset(offset: number): { high: number; low: number } {
  const high = Math.floor(offset / 2 ** 32);
  return { high, low: offset - high * 2 ** 32 };
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

  fits(name: ByteString): boolean {
    return this.used + this.#recordBytes(name) <= this.#limit;
  }

  /** Adds a record that fits. `entry` null in a plus listing: the kernel will look it up itself. */
  add(out: DirentOut, entry: EntryOut | null): void {
    const { bytes, words } = this.#reply;
    const recordBytes = this.#recordBytes(out.name);
    let word = this.used / 4;
    words.fill(0, 4 + word, 4 + word + recordBytes / 4);
    if (this.plus) {
      if (entry) this.#reply.putEntry(word, entry);
      word += entryOutBytes / 4;
    }
    words[4 + word] = out.ino.low;
    words[5 + word] = out.ino.high;
    words[6 + word] = out.next.low;
    words[7 + word] = out.next.high;
    words[8 + word] = out.name.length;
    words[9 + word] = out.type;
    bytes.write(out.name, outHeaderBytes + word * 4 + direntBytes, 'latin1');
    this.used += recordBytes;
  }

  /** Completes the header. */
  finish(uniqueLow: number, uniqueHigh: number): void {
    this.#reply.begin(uniqueLow, uniqueHigh, this.used);
  }

  #recordBytes(name: ByteString): number {
    return (this.plus ? entryOutBytes : 0) + ((direntBytes + name.length + 7) & ~7);
  }
}
