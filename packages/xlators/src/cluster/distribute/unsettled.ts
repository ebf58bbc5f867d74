/** Files that a run of a rebalance moved, or tried to, and could not settle: somebody was out of reach. It is tried again before the run ends. */
import type { Call, Gfid } from '@mortar/core';
import type { Distribute } from './distribute.ts';
import { settle } from './settle.ts';

/** More are left to the next run, which meets them. */
const filesMax = 100_000;
const pauseMs = 1000;

export class Unsettled {
  readonly #d: Distribute;
  readonly #files = new Set<Gfid>();
  #left = 0;

  constructor(d: Distribute) {
    this.#d = d;
  }

  add(gfid: Gfid): void {
    if (this.#files.size < filesMax) this.#files.add(gfid);
    else this.#left++;
  }

  /** How many stay as they are. */
  async settle(call: () => Call, attemptsMax: number): Promise<number> {
    for (let attempt = 1; this.#files.size > 0 && attempt <= attemptsMax; attempt++) {
      if (attempt > 1) await this.#d.services.clock.sleep(pauseMs);
      for (const gfid of [...this.#files]) if ((await settle(this.#d, call(), gfid)).ok) this.#files.delete(gfid);
    }
    for (const gfid of this.#files) this.#d.warn(`rebalance: what a move of ${gfid} has left cannot be settled`);
    return this.#files.size + this.#left;
  }
}
