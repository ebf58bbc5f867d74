/**
 * The volfile for a process that has one already. Who makes it tells of a change once: where it could not be had then (the management
 * was busy, or answered with an error), it is asked for again, ever less often, until it is.
 */
import type { Clock, Timer } from '@mortar/core';
import type { VolfileSource, VolfileText } from '../volfile/source.ts';

export interface FetchingOptions {
  readonly source: VolfileSource;
  readonly clock: Clock;
  /** Before it is asked for again the first time. */
  readonly pauseMs: number;
  /** It is to be fetched again. */
  readonly again: () => void;
  /** Not told again while it fails for the same reason by itself. */
  readonly failed: (message: string) => void;
}

const lastPauseMs = 60_000;

export class Fetching {
  readonly #options: FetchingOptions;
  #timer: Timer | undefined;
  #pauseMs: number;
  #told = '';
  /** By itself, and nobody else has asked since. */
  #isAgain = false;
  #isStopped = false;

  constructor(options: FetchingOptions) {
    this.#options = options;
    this.#pauseMs = options.pauseMs;
  }

  /** Undefined: it cannot be had now. */
  async fetch(): Promise<VolfileText | undefined> {
    this.#timer?.cancel();
    if (!this.#isAgain) this.#begin();
    this.#isAgain = false;
    try {
      return await this.#options.source.fetch();
    } catch (error) {
      this.#failed((error as Error).message);
      return undefined;
    }
  }

  #begin(): void {
    this.#pauseMs = this.#options.pauseMs;
    this.#told = '';
  }

  #failed(message: string): void {
    const { clock, again, failed } = this.#options;
    if (message !== this.#told) failed(message);
    this.#told = message;
    if (this.#isStopped) return;
    this.#timer = clock.after(this.#pauseMs, () => {
      this.#isAgain = true;
      again();
    });
    this.#pauseMs = Math.min(2 * this.#pauseMs, lastPauseMs);
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }
}
