import { freshBytes } from '@mortar/core/payload.ts';
import { ByteReader } from './byte-reader.ts';
import { type FrameLimits, Header, headerBytes } from './frame.ts';

/** Frames up to this size are parsed out of the slab; the payload of a larger one is received in place. */
export const slabBytes = 64 * 1024;
/** While nobody is trusted yet. A frame that is larger and within the limits makes it grow. */
export const firstSlabBytes = 4096;

const none = Buffer.alloc(0);

/**
 * Called for each whole frame. `header` and `meta` are used again for the next frame; `payload` belongs to the callee.
 * Returns whether the next frame is wanted.
 */
export type OnFrame = (header: Header, meta: ByteReader, payload: Buffer) => boolean;

/**
 * Cuts a byte stream into frames. The stream asks `space()` where the next bytes shall go and reports how many came:
 * small frames share one slab, large payloads arrive in their own buffer without a copy.
 */
export class FrameReader {
  #limits: FrameLimits;
  readonly #onFrame: OnFrame;
  readonly #header = new Header();
  readonly #meta: ByteReader;
  /** What the slab is to have when it is empty. */
  #capacity = firstSlabBytes;
  #slab = Buffer.allocUnsafeSlow(firstSlabBytes);
  #start = 0;
  #end = 0;
  /** A payload that is being received in place; its header is in `#header`, its meta still in the slab. */
  #payload: Buffer | null = null;
  #filled = 0;
  #stopped = false;

  constructor(limits: FrameLimits, onFrame: OnFrame) {
    this.#limits = limits;
    this.#onFrame = onFrame;
    this.#meta = new ByteReader(this.#slab);
  }

  /** The handshake is through: from the next frame on these count, and there is room for many at once. */
  set limits(limits: FrameLimits) {
    this.#limits = limits;
    this.#capacity = slabBytes;
  }

  /** Where the next bytes belong; never empty. */
  space(): Buffer {
    if (this.#payload) return this.#payload.subarray(this.#filled);
    if (this.#start === this.#end) {
      this.#start = this.#end = 0;
      if (this.#slab.length !== this.#capacity) this.#replaceSlab(this.#capacity);
    } else if (this.#slab.length - this.#end < this.#capacity / 8 && this.#start > 0) {
      this.#slab.copyWithin(0, this.#start, this.#end);
      this.#end -= this.#start;
      this.#start = 0;
    }
    if (this.#end === this.#slab.length) this.#replaceSlab(this.#slab.length * 2);
    return this.#slab.subarray(this.#end);
  }

  /** `count` bytes were put at the beginning of the last `space()`. Throws FrameError. */
  received(count: number): void {
    if (this.#stopped) return;
    if (!this.#payload) {
      this.#end += count;
      this.#parse();
      return;
    }
    this.#filled += count;
    if (this.#filled < this.#payload.length) return;
    const payload = this.#payload;
    this.#payload = null;
    this.#emit(payload, headerBytes + this.#header.metaBytes);
    this.#parse();
  }

  stop(): void {
    this.#stopped = true;
    this.#payload = null;
  }

  #parse(): void {
    const header = this.#header;
    while (!this.#stopped) {
      const available = this.#end - this.#start;
      if (available < headerBytes) return;
      header.read(this.#meta.view, this.#start);
      header.check(this.#limits);
      const prefix = headerBytes + header.metaBytes;
      if (available >= header.length) {
        const at = this.#start + prefix;
        const payload = header.payloadBytes === 0 ? none : freshBytes(header.payloadBytes);
        this.#slab.copy(payload, 0, at, this.#start + header.length);
        this.#emit(payload, header.length);
      } else if (header.length <= slabBytes) {
        this.#reserve(header.length);
        return;
      } else if (available < prefix) {
        this.#reserve(prefix);
        return;
      } else {
        this.#receiveInPlace(prefix);
        return;
      }
    }
  }

  /** The rest of the payload goes straight into its own buffer. */
  #receiveInPlace(prefix: number): void {
    this.#payload = freshBytes(this.#header.payloadBytes);
    const from = this.#start + prefix;
    this.#filled = this.#end - from;
    this.#slab.copy(this.#payload, 0, from, this.#end);
    this.#end = from;
  }

  /** Room in the slab for a whole frame, or for its header and meta part. */
  #reserve(bytes: number): void {
    if (this.#start + bytes <= this.#slab.length) return;
    this.#replaceSlab(Math.max(bytes, this.#capacity));
  }

  #replaceSlab(capacity: number): void {
    if (capacity === this.#slab.length) {
      this.#slab.copyWithin(0, this.#start, this.#end);
    } else {
      const next = Buffer.allocUnsafeSlow(capacity);
      this.#slab.copy(next, 0, this.#start, this.#end);
      this.#slab = next;
      this.#meta.reset(next);
    }
    this.#end -= this.#start;
    this.#start = 0;
  }

  #emit(payload: Buffer, consumed: number): void {
    const meta = this.#meta;
    meta.position = this.#start + headerBytes;
    meta.end = meta.position + this.#header.metaBytes;
    this.#start += consumed;
    if (!this.#onFrame(this.#header, meta, payload)) this.stop();
  }
}
