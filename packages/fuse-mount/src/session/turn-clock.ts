/** The time of requests: a few that follow each other share a look at the clock, as the kernel's own file systems look less often. */
import type { Clock, Timespec } from '@mortar/core';

/** Within a turn of the event loop. */
const requestsOfOneTime = 16;

export class TurnClock {
  readonly #clock: Clock;
  #time: Timespec = { sec: 0, nsec: 0 };
  #usesLeft = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  now(): Timespec {
    if (this.#usesLeft-- > 0) return this.#time;
    this.#usesLeft = requestsOfOneTime - 1;
    this.#time = this.#clock.wall();
    return this.#time;
  }

  /** A turn of the event loop begins: time has passed. */
  turn(): void {
    this.#usesLeft = 0;
  }
}
