/**
 * Whether a file answers from memory. Calls that do are made on the event loop, where they cost a microsecond; once some have
 * taken long (a disk that is busy, dirty pages over the limit) they go to the pool for a while, so that nobody else waits.
 */
import type { Clock } from '@mortar/core';

const slowMs = 4;
const awayMs = 500;

export class Patience {
  readonly #clock: Clock;
  #awayUntil = 0;
  /** How often the disk was found slow. */
  slowCalls = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get isFast(): boolean {
    return this.#awayUntil === 0 || this.#clock.nowMs() >= this.#awayUntil;
  }

  /** Runs a call on the event loop. */
  timed(call: () => number): number {
    const started = this.#clock.nowMs();
    const result = call();
    const ended = this.#clock.nowMs();
    if (ended - started > slowMs) {
      this.slowCalls++;
      this.#awayUntil = ended + awayMs;
    }
    return result;
  }
}
