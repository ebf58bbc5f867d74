/** The buffers that requests are received into. Those that a payload was left in come back when its request is answered. */
import { strict as assert } from 'node:assert';
import { pageAlignedBytes, poisonIfAsked } from '@mortar/core';

const pageBytes = 4096;
/** The kernel refuses to read into less than max_write and a header; a page more than that. */
const headRoomBytes = 4096;
/** Where the data of a write begins: behind fuse_in_header and fuse_write_in. */
const payloadAt = 80;
/** Smaller ones would waste most of a page of 2 MiB. */
const hugeFromBytes = 512 * 1024;
/** So many may be out for payloads that are small beside the buffer. */
const spareMax = 8;
/** So many wait to be used again. */
const keptMin = 8;
/** More of them, as long as they were out at a time within so many requests. */
const windowTakes = 1024;

export interface ReceiveBufferOptions {
  /**
   * Every page is in memory before the kernel writes to it. In a process that is being killed a page that has to be had first is
   * refused, and the request that was just being copied ends with EIO instead of going to the next process.
   */
  readonly present?: boolean;
  /** So many wait at most to be used again. */
  readonly keptMax?: number;
}

export class ReceiveBuffers {
  readonly bytesEach: number;
  readonly #present: boolean;
  readonly #keptMax: number;
  /** The one that came back last is used first: it is in the processor's caches. */
  readonly #free: Buffer[] = [];
  #out = 0;
  /** How many were out at a time, in this window and in the one before it. */
  #peak = 0;
  #peakBefore = 0;
  #takes = 0;
  /** The last one did not come back: nor may the next, which then had better be cheap. */
  #losing = false;

  constructor(maxWrite: number, { present = false, keptMax = keptMin }: ReceiveBufferOptions = {}) {
    this.#present = present;
    this.#keptMax = Math.max(keptMin, keptMax);
    this.bytesEach = maxWrite + headRoomBytes;
  }

  /** Whether one more may be kept for a payload of any size. */
  get spare(): boolean {
    return this.#out < spareMax;
  }

  take(): Buffer {
    this.#out++;
    this.#count();
    const used = this.#free.pop();
    if (used) return used;
    const bytes = this.#make();
    if (this.#present) touch(bytes);
    return bytes;
  }

  giveBack(bytes: Buffer, reusable: boolean): void {
    assert(this.#out > 0, 'more buffers came back than were taken');
    this.#out--;
    this.#losing = !reusable;
    if (!reusable) return;
    poisonIfAsked(bytes);
    if (this.#free.length < this.#keptMax) this.#free.push(bytes);
  }

  /** Memory that was needed for a burst is let go after a while. */
  #count(): void {
    this.#peak = Math.max(this.#peak, this.#out);
    if (++this.#takes < windowTakes) return;
    this.#takes = 0;
    this.#peakBefore = this.#peak;
    this.#peak = this.#out;
    // The one that has not been used for longest. One at a time: making one takes as long as some requests.
    if (this.#free.length > Math.max(keptMin, this.#peak, this.#peakBefore)) this.#free.shift();
  }

  /** The data of a write begins on a page, and the whole buffer is in one of 2 MiB if the kernel has one. */
  #make(): Buffer {
    if (this.#losing) return Buffer.allocUnsafeSlow(this.bytesEach);
    return pageAlignedBytes(this.bytesEach, payloadAt, this.bytesEach >= hugeFromBytes);
  }
}

function touch(bytes: Buffer): void {
  for (let at = 0; at < bytes.length; at += pageBytes) bytes[at] = 0;
  bytes[bytes.length - 1] = 0;
}
