import { ByteWriter } from './byte-writer.ts';
import { type FrameLimits, headerBytes } from './frame.ts';
import { slabBytes } from './frame-reader.ts';

/** Payloads from this size on travel as buffers of their own; smaller ones are cheaper to copy. */
const ownBufferBytes = 8 * 1024;

export class FrameTooLarge extends Error {
  readonly code = 'EMSGSIZE';
}

/**
 * What a connection is about to send. Frames are encoded straight into a slab; `take` hands everything gathered since
 * the last time to the stream. Payloads handed in are not copied when large: they must not change until sent.
 */
export class Output extends ByteWriter {
  /** Writes that the stream has not finished: while there are any, the slab behind `position` only is ours. */
  inFlight = 0;
  #segmentStart = 0;
  #frameStart = 0;
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  /** Of chunks that are payloads: who wants to hear that they have been sent. */
  #afterwards: (() => void)[] = [];

  constructor() {
    super(slabBytes);
  }

  /** Bytes gathered and not yet taken. */
  get pendingBytes(): number {
    return this.#bytes + this.position - this.#segmentStart;
  }

  /** Leaves room for the header; the caller writes the meta part, then calls `endFrame` or `abandonFrame`. */
  beginFrame(): void {
    if (this.inFlight === 0 && this.#chunks.length === 0 && this.position === this.#segmentStart)
      this.position = this.#segmentStart = 0;
    this.#frameStart = this.position;
    this.ensure(headerBytes);
    this.position += headerBytes;
  }

  endFrame(
    limits: FrameLimits,
    flags: number,
    op: number,
    id: number,
    status: number,
    cookieLow: number,
    cookieHigh: number,
    payloads: readonly Uint8Array[] | null,
    done?: (payload: Uint8Array) => void,
  ): void {
    const at = this.#frameStart;
    const metaBytes = this.position - at - headerBytes;
    let payloadBytes = 0;
    if (payloads) for (const payload of payloads) payloadBytes += payload.length;
    if (metaBytes > limits.metaBytes || payloadBytes > limits.payloadBytes) {
      this.abandonFrame();
      throw new FrameTooLarge(`a message of ${metaBytes} + ${payloadBytes} bytes is too large to send`);
    }
    const view = this.view;
    view.setUint32(at, headerBytes + metaBytes + payloadBytes, true);
    view.setUint32(at + 4, id, true);
    view.setUint16(at + 8, op, true);
    view.setUint16(at + 10, flags, true);
    view.setInt32(at + 12, status, true);
    view.setUint32(at + 16, metaBytes, true);
    view.setUint32(at + 20, payloadBytes, true);
    view.setUint32(at + 24, cookieLow, true);
    view.setUint32(at + 28, cookieHigh, true);
    this.#frameStart = this.position;
    if (payloads) for (const payload of payloads) this.#append(payload, done);
  }

  abandonFrame(): void {
    this.position = this.#frameStart;
  }

  /** All chunks since the last call, in order. */
  take(): Uint8Array[] {
    this.#seal();
    const chunks = this.#chunks;
    this.#chunks = [];
    this.#bytes = 0;
    return chunks;
  }

  /** Those whose payloads are in what `take` gave last. */
  takeAfterwards(): readonly (() => void)[] {
    const afterwards = this.#afterwards;
    if (afterwards.length > 0) this.#afterwards = [];
    return afterwards;
  }

  #append(payload: Uint8Array, done?: (payload: Uint8Array) => void): void {
    if (payload.length >= ownBufferBytes) {
      this.#seal();
      this.#chunks.push(payload);
      this.#bytes += payload.length;
      if (done) this.#afterwards.push(() => done(payload));
    } else {
      this.raw(payload);
      done?.(payload);
    }
    this.#frameStart = this.position;
  }

  #seal(): void {
    if (this.position === this.#segmentStart) return;
    this.#chunks.push(this.buffer.subarray(this.#segmentStart, this.position));
    this.#bytes += this.position - this.#segmentStart;
    this.#segmentStart = this.position;
  }

  /** Whole frames stay in the full slab, the one begun moves to a new one. */
  protected override grow(count: number): void {
    const begun = this.#frameStart;
    if (begun > this.#segmentStart) {
      this.#chunks.push(this.buffer.subarray(this.#segmentStart, begun));
      this.#bytes += begun - this.#segmentStart;
    }
    this.move(begun, Math.max(slabBytes, 2 * (this.position - begun + count)));
    this.#segmentStart = this.#frameStart = 0;
  }
}
