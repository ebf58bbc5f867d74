/**
 * The time of requests: a few that follow each other share a look at the clock. No two have the same time: a file whose data is changed twice has to be seen to
 * have changed twice.
 */
import type { Clock, Timespec } from '@mortar/core';

/** Within a turn of the event loop. */
const requestsOfOneTime = 16;
/** A clock may stand for so long. */
const coarseNs = 10_000_000;

function next({ sec, nsec }: Timespec): Timespec {
  return nsec === 999_999_999 ? { sec: sec + 1, nsec: 0 } : { sec, nsec: nsec + 1 };
}

export class TurnClock {
  readonly #clock: Clock;
  #time: Timespec = { sec: 0, nsec: 0 };
  #usesLeft = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  now(): Timespec {
    this.#time = this.#usesLeft-- > 0 ? next(this.#time) : this.#look();
    return this.#time;
  }

  /** Later than the time before, unless the clock was set back. */
  #look(): Timespec {
    this.#usesLeft = requestsOfOneTime - 1;
    const now = this.#clock.wall();
    const { sec, nsec } = this.#time;
    const isBehind = now.sec === sec && now.nsec <= nsec && nsec - now.nsec < coarseNs;
    return isBehind ? next(this.#time) : now;
  }

  /** A turn of the event loop begins: time has passed. */
  turn(): void {
    this.#usesLeft = 0;
  }
}
