/** The buffers that requests are received into. Those that a payload was left in come back when its request is answered. */
import { strict as assert } from 'node:assert';
import { pageAlignedBytes, poisonIfAsked } from '@mortar/core';

/** The kernel refuses to read into less than max_write and a header; a page more than that. */
const headRoomBytes = 4096;
/** Where the data of a write begins: behind fuse_in_header and fuse_write_in. */
const payloadAt = 80;
/** Smaller ones would waste most of a page of 2 MiB. */
const hugeFromBytes = 512 * 1024;
/** So many may be out for payloads that are small beside the buffer. */
const spareMax = 8;
/** So many wait to be used again. */
const freeMax = 8;

export class ReceiveBuffers {
  readonly bytesEach: number;
  /** The one that came back last is used first: it is in the processor's caches. */
  readonly #free: Buffer[] = [];
  #out = 0;
  /** The last one did not come back: nor may the next, which then had better be cheap. */
  #losing = false;

  constructor(maxWrite: number) {
    this.bytesEach = maxWrite + headRoomBytes;
  }

  /** Whether one more may be kept for a payload of any size. */
  get spare(): boolean {
    return this.#out < spareMax;
  }

  take(): Buffer {
    this.#out++;
    return this.#free.pop() ?? this.#make();
  }

  giveBack(bytes: Buffer, reusable: boolean): void {
    assert(this.#out > 0, 'more buffers came back than were taken');
    this.#out--;
    this.#losing = !reusable;
    if (!reusable) return;
    poisonIfAsked(bytes);
    if (this.#free.length < freeMax) this.#free.push(bytes);
  }

  /** The data of a write begins on a page, and the whole buffer is in one of 2 MiB if the kernel has one. */
  #make(): Buffer {
    if (this.#losing) return Buffer.allocUnsafeSlow(this.bytesEach);
    return pageAlignedBytes(this.bytesEach, payloadAt, this.bytesEach >= hugeFromBytes);
  }
}
