/**
 * Limits of a device: operations and bytes each second. All who use the device share them, fairly: of those who wait the one
 * is served next who has had least, so that a deep queue of one does not shut out another.
 */
import type { Clock, Timer } from '@mortar/core';
import type { Answer, BlockDevice, Done, ReadReply, ZeroHow } from './device.ts';
import { PassingDevice } from './passing.ts';
import { TokenBucket } from './token-bucket.ts';

export interface Limits {
  readonly bytesPerSecond?: number;
  readonly operationsPerSecond?: number;
  /** What may go at once after a pause; by default what a second allows. */
  readonly burstBytes?: number;
  readonly burstOperations?: number;
}

const isEmpty = (limits: Limits) => Object.keys(limits).length === 0;

class Rates {
  readonly #bytes: TokenBucket | undefined;
  readonly #operations: TokenBucket | undefined;

  constructor(clock: Clock, limits: Limits) {
    const { bytesPerSecond, operationsPerSecond, burstBytes, burstOperations } = limits;
    if (bytesPerSecond !== undefined)
      this.#bytes = new TokenBucket(clock, bytesPerSecond, burstBytes ?? bytesPerSecond);
    if (operationsPerSecond !== undefined)
      this.#operations = new TokenBucket(clock, operationsPerSecond, burstOperations ?? operationsPerSecond);
  }

  get isNone(): boolean {
    return this.#bytes === undefined && this.#operations === undefined;
  }

  waitMs(bytes: number): number {
    return Math.max(this.#bytes?.waitMs(bytes) ?? 0, this.#operations?.waitMs(1) ?? 0);
  }

  take(bytes: number): void {
    this.#bytes?.take(bytes);
    this.#operations?.take(1);
  }
}

interface Waiter {
  readonly bytes: number;
  readonly go: () => void;
}

/** One user of a limited device. */
class Share {
  /** Limits of his alone. */
  rates: Rates;
  /** Of which limits those are. */
  version: number;
  readonly waiting: Waiter[] = [];
  /** What it has had, in bytes and a price for each operation; comparable among those who wait. */
  had = 0;

  constructor(rates: Rates, version: number) {
    this.rates = rates;
    this.version = version;
  }
}

/** What an operation counts beside its bytes, between users. */
const operationPrice = 4096;

export class Limiter {
  readonly #clock: Clock;
  #rates: Rates;
  #own: Limits;
  /** Grows with each change of the limits. */
  #version = 0;
  /** Nobody is limited. */
  #isFree = false;
  readonly #shares = new Set<Share>();
  /** What those who are served have had: who comes anew starts there. */
  #now = 0;
  #timer: Timer | undefined;

  /** `own`: limits of each user alone. */
  constructor(clock: Clock, limits: Limits, own: Limits = {}) {
    this.#clock = clock;
    this.#rates = new Rates(clock, limits);
    this.#own = own;
    this.#isFree = this.#rates.isNone && isEmpty(own);
  }

  /** Other limits, from now on, also for who waits. */
  change(limits: Limits, own: Limits): void {
    this.#rates = new Rates(this.#clock, limits);
    this.#own = own;
    this.#version++;
    for (const share of this.#shares) this.#renew(share);
    this.#isFree = this.#rates.isNone && isEmpty(own);
    this.#pump();
  }

  #renew(share: Share): void {
    if (share.version >= this.#version) return;
    share.version = this.#version;
    share.rates = new Rates(this.#clock, this.#own);
  }

  /** The device as one user has it; `own`: limits of this one that stay as they are. */
  share(device: BlockDevice, own?: Limits): BlockDevice {
    const version = own ? Number.POSITIVE_INFINITY : this.#version;
    const share = new Share(new Rates(this.#clock, own ?? this.#own), version);
    return new LimitedDevice(device, (bytes) => (this.#isFree && !own ? undefined : this.#admit(share, bytes)));
  }

  /** Requests that wait. */
  get waiting(): number {
    let count = 0;
    for (const share of this.#shares) count += share.waiting.length;
    return count;
  }

  #admit(share: Share, bytes: number): Answer<void> {
    this.#renew(share);
    if (this.#shares.size === 0 && this.#waitMs(share, bytes) === 0) {
      this.#take(share, bytes);
      return;
    }
    return new Promise((go) => {
      share.waiting.push({ bytes, go });
      if (share.waiting.length === 1) {
        share.had = Math.max(share.had, this.#now);
        this.#shares.add(share);
      }
      this.#pump();
    });
  }

  #waitMs(share: Share, bytes: number): number {
    return Math.max(this.#rates.waitMs(bytes), share.rates.waitMs(bytes));
  }

  #take(share: Share, bytes: number): void {
    this.#rates.take(bytes);
    share.rates.take(bytes);
    this.#now = Math.max(this.#now, share.had);
    share.had = this.#now + bytes + operationPrice;
  }

  #pump(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    while (this.#shares.size > 0) {
      const { share, waitMs } = this.#next();
      if (waitMs > 0) {
        this.#timer = this.#clock.after(Math.max(1, waitMs), () => this.#pump());
        return;
      }
      const { bytes, go } = share.waiting.shift()!;
      if (share.waiting.length === 0) this.#shares.delete(share);
      this.#take(share, bytes);
      go();
    }
  }

  /** Who has had least among those whose own limits let them; else who is let first. */
  #next(): { share: Share; waitMs: number } {
    let best: Share | undefined;
    let soonest = Number.POSITIVE_INFINITY;
    let first: Share | undefined;
    for (const share of this.#shares) {
      const own = share.rates.waitMs(share.waiting[0]!.bytes);
      if (own < soonest) {
        soonest = own;
        first = share;
      }
      if (own === 0 && (!best || share.had < best.had)) best = share;
    }
    const share = best ?? first!;
    return { share, waitMs: this.#waitMs(share, share.waiting[0]!.bytes) };
  }
}

class LimitedDevice extends PassingDevice {
  readonly #admit: (bytes: number) => Answer<void>;

  constructor(below: BlockDevice, admit: (bytes: number) => Answer<void>) {
    super(below);
    this.#admit = admit;
  }

  #then<T>(bytes: number, run: () => Answer<T>): Answer<T> {
    const admitted = this.#admit(bytes);
    return admitted instanceof Promise ? admitted.then(run) : run();
  }

  override read(offset: number, length: number): Answer<ReadReply> {
    return this.#then(length, () => this.below.read(offset, length));
  }

  override write(offset: number, bytes: Uint8Array, fua: boolean): Answer<Done> {
    return this.#then(bytes.length, () => this.below.write(offset, bytes, fua));
  }

  override zero(offset: number, length: number, how: ZeroHow): Answer<Done> {
    return this.#then(0, () => this.below.zero(offset, length, how));
  }

  override trim(offset: number, length: number, fua: boolean): Answer<Done> {
    return this.#then(0, () => this.below.trim(offset, length, fua));
  }
}
