/** A token bucket: so much each second, and what was saved up to a burst. */
import type { Clock } from '@mortar/core';

export class TokenBucket {
  readonly #clock: Clock;
  readonly #perMs: number;
  readonly #burst: number;
  #level: number;
  #at: number;

  constructor(clock: Clock, perSecond: number, burst: number) {
    this.#clock = clock;
    this.#perMs = perSecond / 1000;
    this.#burst = burst;
    this.#level = burst;
    this.#at = clock.nowMs();
  }

  /** Milliseconds until `amount` may be taken; 0: now. More than a burst may be taken out of a full bucket, as a debt. */
  waitMs(amount: number): number {
    const now = this.#clock.nowMs();
    this.#level = Math.min(this.#burst, this.#level + (now - this.#at) * this.#perMs);
    this.#at = now;
    const missing = Math.min(amount, this.#burst) - this.#level;
    // Sums of fractions do not come out even; without the margin a wait could be endless.
    return missing <= 1e-6 ? 0 : missing / this.#perMs;
  }

  take(amount: number): void {
    this.#level -= amount;
  }
}
