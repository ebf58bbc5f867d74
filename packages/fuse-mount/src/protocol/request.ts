import type { ByteString } from '@mortar/core';
import { inHeaderBytes } from './constants.ts';

const two32 = 2 ** 32;

/**
 * A request as it lies in the receive buffer. One object is used for all requests of a session, hence everything that
 * outlives the turn must be copied out of it. Reads beyond the request give 0 or undefined, never another's bytes:
 * decoders check `has` first.
 */
export class RequestView {
  bytes: Buffer = Buffer.alloc(0);
  #words: Uint32Array = new Uint32Array(0);
  #hexLow = 0;
  #hexHigh = 0;
  #hex = '0000000000000000';
  /** Where the body ends: before the extensions. */
  end = 0;

  opcode = 0;
  uniqueLow = 0;
  uniqueHigh = 0;
  nodeId = 0;
  uid = 0;
  gid = 0;
  pid = 0;

  /** Takes a buffer whose memory starts on a multiple of 4. */
  attach(bytes: Buffer): void {
    if (bytes === this.bytes) return;
    this.bytes = bytes;
    this.#words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >>> 2);
  }

  /** Reads the header of `length` bytes. False: not even a header, or its length is not the one received. */
  parse(length: number): boolean {
    if (length < inHeaderBytes || length > this.bytes.length) return false;
    const words = this.#words;
    this.opcode = words[1]!;
    this.uniqueLow = words[2]!;
    this.uniqueHigh = words[3]!;
    this.nodeId = words[5]! * two32 + words[4]!;
    this.uid = words[6]!;
    this.gid = words[7]!;
    this.pid = words[8]!;
    this.end = length;
    if (words[0] !== length) return false;
    const extensionBytes = (words[9]! & 0xffff) * 8;
    this.end = length - extensionBytes;
    return this.end >= inHeaderBytes;
  }

  /** Whether the body has at least so many bytes. */
  has(bodyBytes: number): boolean {
    return this.end - inHeaderBytes >= bodyBytes;
  }

  get bodyBytes(): number {
    return this.end - inHeaderBytes;
  }

  /** A word of the body; `at` is its byte offset in the struct, a multiple of 4. */
  u32(at: number): number {
    return this.#words[(inHeaderBytes + at) >>> 2]!;
  }

  /** May exceed 2^53 and is then not exact: who uses it checks. */
  u64(at: number): number {
    const word = (inHeaderBytes + at) >>> 2;
    return this.#words[word + 1]! * two32 + this.#words[word]!;
  }

  i64(at: number): number {
    const word = (inHeaderBytes + at) >>> 2;
    return (this.#words[word + 1]! | 0) * two32 + this.#words[word]!;
  }

  /** A 64-bit number as 16 hex digits, exact. */
  hex64(at: number): string {
    const word = (inHeaderBytes + at) >>> 2;
    const low = this.#words[word]!;
    const high = this.#words[word + 1]!;
    // Lock owners: mostly the same as the last time, or none.
    if (low !== this.#hexLow || high !== this.#hexHigh) {
      this.#hexLow = low;
      this.#hexHigh = high;
      this.#hex = hexOf(high) + hexOf(low);
    }
    return this.#hex;
  }

  /** The text up to a NUL; undefined when none follows. */
  text(at: number): ByteString | undefined {
    const start = inHeaderBytes + at;
    if (start >= this.end) return undefined;
    const nul = this.bytes.indexOf(0, start);
    if (nul < 0 || nul >= this.end) return undefined;
    return this.bytes.toString('latin1', start, nul);
  }

  /** A view into the receive buffer; undefined when the request is too short for it. */
  data(at: number, size: number): Buffer | undefined {
    const start = inHeaderBytes + at;
    if (size > this.end - start) return undefined;
    return this.bytes.subarray(start, start + size);
  }
}

function hexOf(word: number): string {
  return word.toString(16).padStart(8, '0');
}
