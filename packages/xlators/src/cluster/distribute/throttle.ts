/**
 * How hard a rebalance works: so many files at once, and how long it rests when its own small requests get slow, as then
 * those of others do, too. The setting is read each time: a change takes effect with the next file.
 */
import type { Clock } from '@mortar/core';

interface Pace {
  readonly files: number;
  /** Of the time that a request took too long; 0: no rest. */
  readonly restFactor: number;
}

const paces: Readonly<Record<string, Pace>> = {
  lazy: { files: 1, restFactor: 8 },
  normal: { files: 4, restFactor: 2 },
  aggressive: { files: 16, restFactor: 0 },
};
const filesMax = 64;
/** So many small files, which cost requests and hardly any data, count as one. */
const smallAsOne = 16;
/** Slow: so much longer than the quickest lately, and no less than this. */
const slowFactor = 4;
const slowMs = 20;
const restMaxMs = 2000;

/** What `rebal-throttle` says; anything else than its words is a number of files. */
export function paceOf(setting: string): Pace {
  const named = paces[setting];
  if (named) return named;
  const files = Number(setting);
  return Number.isInteger(files) && files > 0 ? { files: Math.min(files, filesMax), restFactor: 2 } : paces.normal!;
}

export class Throttle {
  readonly #clock: Clock;
  readonly #setting: () => string;
  #quickMs = Number.POSITIVE_INFINITY;
  #recentMs = 0;
  readonly #running = new Set<Promise<void>>();
  /** Of those that run, in parts of a file. */
  #parts = 0;
  /** Begun since the last rest. */
  #unrested = 0;
  #waiting: (() => void)[] = [];
  #error: unknown;

  constructor(clock: Clock, setting: () => string) {
    this.#clock = clock;
    this.#setting = setting;
  }

  /** A small request of the rebalance itself took so long. */
  took(ms: number): void {
    // What was quick long ago says less and less.
    this.#quickMs = Math.min(ms, this.#quickMs * 1.01 + 0.01);
    this.#recentMs = this.#recentMs * 0.8 + ms * 0.2;
  }

  /** So many things at once. */
  get files(): number {
    return paceOf(this.#setting()).files;
  }

  get restMs(): number {
    const { restFactor } = paceOf(this.#setting());
    const isSlow = this.#recentMs > slowMs && this.#recentMs > slowFactor * this.#quickMs;
    return isSlow ? Math.min(restMaxMs, restFactor * this.#recentMs) : 0;
  }

  /**
   * Begins with all of them, never more at once than the setting of the moment allows; `idle` waits for their end. Small ones
   * count as a part of one.
   */
  async each<T>(
    items: readonly T[],
    work: (item: T) => Promise<void> | undefined,
    isSmall: (item: T) => boolean = () => false,
  ): Promise<void> {
    for (const item of items) {
      const parts = isSmall(item) ? 1 : smallAsOne;
      while (this.#parts > 0 && this.#parts + parts > this.files * smallAsOne) await this.#oneEnds();
      await this.#rest(parts);
      const one = work(item);
      if (!one) continue;
      this.#running.add(one);
      this.#parts += parts;
      const ended = () => {
        this.#running.delete(one);
        this.#parts -= parts;
        for (const wake of this.#waiting.splice(0)) wake();
      };
      one.then(ended, (error: unknown) => {
        this.#error ??= error;
        ended();
      });
    }
  }

  /** Before each file, or before as many small ones as count as one. */
  async #rest(parts: number): Promise<void> {
    this.#unrested += parts;
    if (this.#unrested < smallAsOne) return;
    this.#unrested = 0;
    const { restMs } = this;
    if (restMs > 0) await this.#clock.sleep(restMs);
  }

  /** All that was begun has ended. Throws what one of them threw. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await this.#oneEnds();
    const error = this.#error;
    this.#error = undefined;
    if (error !== undefined) throw error;
  }

  #oneEnds(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}
