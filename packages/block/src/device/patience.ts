/**
 * Whether a file answers from memory. Calls that do are made on the event loop, where they cost a microsecond; once some have
 * waited for long (a disk that is busy, dirty pages over the limit) they go to the pool for a while, so that nobody else waits.
 * A call that took long because the processor was busy with others has not waited: it would take as long anywhere.
 */
import type { Clock } from '@mortar/core';

const slowMs = 4;
const awayMs = 500;
/** After a slow call so many are looked at closely, which costs a little. */
const suspectCalls = 256;

export class Patience {
  readonly #clock: Clock;
  #awayUntil = 0;
  #suspect = 0;
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
    const { waits } = this.#clock;
    const before = this.#suspect > 0 && waits ? waits() : 0;
    const started = this.#clock.nowMs();
    const result = call();
    const ended = this.#clock.nowMs();
    const isSlow = ended - started > slowMs;
    if (isSlow && (!waits || (this.#suspect > 0 && waits() > before))) {
      this.slowCalls++;
      this.#awayUntil = ended + awayMs;
    }
    if (isSlow) this.#suspect = suspectCalls;
    else if (this.#suspect > 0) this.#suspect--;
    return result;
  }
}
