const highest = 16;
/** How often it is tried all the same when it has become unlikely. */
const probeEvery = 16;

/** Whether something is worth trying, learnt from how it went. */
export class Expectation {
  readonly #gain: number;
  #level = highest;
  #skipped = 0;

  /** `gain`: how many misses a hit makes up for. */
  constructor(gain: number) {
    this.#gain = gain;
  }

  likely(): boolean {
    if (this.#level > 0) return true;
    if (++this.#skipped < probeEvery) return false;
    this.#skipped = 0;
    return true;
  }

  met(hit: boolean): void {
    this.#level = hit ? Math.min(highest, this.#level + this.#gain) : Math.max(0, this.#level - 1);
  }
}
