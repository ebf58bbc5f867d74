/** The requests of a client session that are on the way, and those that wait for room. Locks are not counted: they may wait for ever. */
import type { Call } from '@mortar/core/call.ts';
import type { Args, FopName, Reply } from '@mortar/core/fops.ts';
import type { Pending } from '../pending.ts';
import type { ClientSessionLimits } from './limits.ts';

export interface PendingFop extends Pending {
  sequence: number;
  readonly fop: FopName;
  readonly call: Call;
  readonly args: Args<FopName>;
  readonly bytes: number;
  readonly isLock: boolean;
  /** Went out over some connection. */
  isSent: boolean;
  isRetry: boolean;
  settle(reply: Reply<FopName>): void;
  reject(error: unknown): void;
  stopListening: (() => void) | null;
}

/** What requests go out by. */
export interface Outlet {
  isOpen(): boolean;
  send(pending: PendingFop): void;
}

export class RequestWindow {
  readonly #limits: ClientSessionLimits;
  readonly #outlet: Outlet;
  #queue = new Set<PendingFop>();
  #outstanding = 0;
  #outstandingBytes = 0;

  /** What waited is sent when there is room for it. */
  constructor(limits: ClientSessionLimits, outlet: Outlet) {
    this.#limits = limits;
    this.#outlet = outlet;
  }

  get queued(): number {
    return this.#queue.size;
  }

  /** Whether a request of so many bytes has to wait. */
  isFull(bytes: number): boolean {
    return this.#queue.size > 0 || !this.#hasRoom(bytes);
  }

  get isQueueFull(): boolean {
    return this.#queue.size >= this.#limits.queued;
  }

  isWaiting(pending: PendingFop): boolean {
    return this.#queue.has(pending);
  }

  wait(pending: PendingFop): void {
    this.#queue.add(pending);
  }

  /** The request goes out, for the first time or again. */
  sent(pending: PendingFop): void {
    if (pending.isSent) return;
    pending.isSent = true;
    this.#count(pending, 1);
  }

  settled(pending: PendingFop): void {
    if (pending.isSent) this.#count(pending, -1);
    else this.#queue.delete(pending);
    if (this.#queue.size > 0) this.goOn();
  }

  goOn(): void {
    for (const pending of this.#queue) {
      if (!this.#hasRoom(pending.bytes) || !this.#outlet.isOpen()) return;
      this.#queue.delete(pending);
      this.#outlet.send(pending);
    }
  }

  forgetQueue(): void {
    this.#queue = new Set();
  }

  #hasRoom(bytes: number): boolean {
    if (this.#outstanding >= this.#limits.outstanding) return false;
    return this.#outstanding === 0 || this.#outstandingBytes + bytes <= this.#limits.outstandingBytes;
  }

  #count(pending: PendingFop, by: 1 | -1): void {
    if (pending.isLock) return;
    this.#outstanding += by;
    this.#outstandingBytes += by * pending.bytes;
  }
}
