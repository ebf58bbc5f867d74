/**
 * Times of requests. No two of a client's are the same, and a clock that is set back by no more than a second is waited for: a file whose data is
 * changed twice has to be seen to have changed twice. A clock that is set back further is followed, by bricks as well: a change that is so much older
 * than what its file has counts as one by a clock that is behind, not as one that was overtaken (`storage/posix`, last-writers).
 */
import type { Timespec } from './iatt.ts';

/** How late a client's request may be for one that was overtaken by another of its own. */
export const overtakenNs = 1_000_000_000;

/** Nanoseconds; exact where the two are within a month of each other. */
export function nsBetween(from: Timespec, to: Timespec): number {
  return (to.sec - from.sec) * 1e9 + (to.nsec - from.nsec);
}

export class RisingTime {
  #last: Timespec = { sec: 0, nsec: 0 };

  /** The least there is after the time before. */
  next(): Timespec {
    const { sec, nsec } = this.#last;
    this.#last = nsec === 999_999_999 ? { sec: sec + 1, nsec: 0 } : { sec, nsec: nsec + 1 };
    return this.#last;
  }

  /** What the clock says, or the least after the time before. */
  at(wall: Timespec): Timespec {
    const aheadNs = nsBetween(wall, this.#last);
    if (aheadNs >= 0 && aheadNs <= overtakenNs) return this.next();
    this.#last = wall;
    return wall;
  }
}
