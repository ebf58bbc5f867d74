/** The time of requests: a few that follow each other share a look at the clock, and each has a time of its own. */
import { type Clock, RisingTime, type Timespec } from '@mortar/core';

/** Within a turn of the event loop. */
const requestsOfOneLook = 16;

export class TurnClock {
  readonly #clock: Clock;
  readonly #time = new RisingTime();
  #usesLeft = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  now(): Timespec {
    if (this.#usesLeft-- > 0) return this.#time.next();
    this.#usesLeft = requestsOfOneLook - 1;
    return this.#time.at(this.#clock.wall());
  }

  /** A turn of the event loop begins: time has passed. */
  turn(): void {
    this.#usesLeft = 0;
  }
}
