/**
 * Requests of the kernel that wait for the device, and their payloads, which stay where they were received or are copied. Both are
 * bounded: over a bound the descriptor is not read, and what waits in the kernel takes no memory here.
 */
import { freshBytes, returnBytes } from '@mortar/core';

/** Payloads from here on stay where they were received. */
const keepPayloadBytes = 256 * 1024;
/** From here on as long as few buffers are out. What is smaller is copied: that costs less than receiving somewhere else each time. */
const sparePayloadBytes = 32 * 1024;

export interface WaitingLimits {
  /** The kernel has no more than `maxBackground` and one for each thread. */
  readonly requests: number;
  /** Receive buffers that payloads lie in. */
  readonly keptPayloads: number;
  /** Of all payloads. */
  readonly payloadBytes: number;
}

export const usualLimits: WaitingLimits = { requests: 4096, keptPayloads: 24, payloadBytes: 32 * 1024 * 1024 };

/** Where requests are received. */
export interface Receiver {
  /** Few of its buffers are out. */
  spare(): boolean;
  /** A buffer is not in use any more; not `reusable`: somebody may still look at it. */
  done(received: Buffer, reusable: boolean): void;
  /** Goes on receiving. */
  resume(): void;
}

export interface Waiting {
  readonly low: number;
  readonly high: number;
  /** The receive buffer that its payload lies in, until the device has done with it. */
  received: Buffer | null;
  /** The copy of its payload. */
  copy: Buffer | null;
  payloadBytes: number;
  isAnswered: boolean;
}

export class WaitingRequests {
  readonly #receiver: Receiver;
  readonly #limits: WaitingLimits;
  readonly #all = new Set<Waiting>();
  /** Receive buffers that payloads lie in; bytes of all payloads. */
  #kept = 0;
  #payloadBytes = 0;
  #isBounded = true;
  /** Whoever receives was told to stop. */
  #isStalled = false;

  constructor(receiver: Receiver, limits: WaitingLimits) {
    this.#receiver = receiver;
    this.#limits = limits;
  }

  get count(): number {
    return this.#all.size;
  }

  get all(): readonly Waiting[] {
    return [...this.#all];
  }

  /** Whether one more may come; if not, the receiver resumes once one may. */
  mayCome(): boolean {
    this.#isStalled = this.#isFull;
    return !this.#isStalled;
  }

  get #isFull(): boolean {
    if (!this.#isBounded) return false;
    const { requests, keptPayloads, payloadBytes } = this.#limits;
    return this.#all.size >= requests || this.#kept >= keptPayloads || this.#payloadBytes >= payloadBytes;
  }

  add(one: Waiting): void {
    this.#all.add(one);
  }

  /** Sees to it that the payload `data`, which came in `received`, lasts until `releasePayload`; where it lies from now on. */
  holdPayload(one: Waiting, received: Buffer, data: Buffer): Buffer {
    const bytes = data.length;
    one.payloadBytes = bytes;
    this.#payloadBytes += bytes;
    if (bytes >= keepPayloadBytes || (bytes >= sparePayloadBytes && this.#receiver.spare())) {
      one.received = received;
      this.#kept++;
      return data;
    }
    one.copy = freshBytes(bytes);
    one.copy.set(data);
    return one.copy;
  }

  /** The device has answered; not `reusable`: it may still hold the payload. */
  releasePayload(one: Waiting, reusable: boolean): void {
    const { received, copy, payloadBytes } = one;
    one.received = null;
    one.copy = null;
    one.payloadBytes = 0;
    this.#payloadBytes -= payloadBytes;
    if (received) {
      this.#kept--;
      this.#receiver.done(received, reusable);
    }
    if (copy && reusable) returnBytes(copy);
  }

  /** The kernel has its answer, though the device may still hold the payload. */
  answered(one: Waiting): void {
    one.isAnswered = true;
    this.#all.delete(one);
    this.#goOn();
  }

  /** From now on requests are answered at once and need nothing, whatever the device still holds. */
  unbind(): void {
    this.#isBounded = false;
    this.#goOn();
  }

  #goOn(): void {
    if (!this.#isStalled || this.#isFull) return;
    this.#isStalled = false;
    this.#receiver.resume();
  }
}
