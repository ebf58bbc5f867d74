/** What happened in a run, as lines and as one hash: two runs of a seed must have the same. */
import { createHash, type Hash } from 'node:crypto';
import type { Scheduler } from './scheduler.ts';

export class Trace {
  readonly #hash: Hash = createHash('sha256');
  readonly #scheduler: Scheduler;
  /** The lines, if they are kept: for looking at one seed. */
  readonly lines: string[] | null;

  constructor(scheduler: Scheduler, keep: boolean) {
    this.#scheduler = scheduler;
    this.lines = keep ? [] : null;
  }

  add(who: string, what: string): void {
    const line = `${this.#scheduler.nowMs.toFixed(3)} ${who} ${what}`;
    this.#hash.update(line).update('\n');
    this.lines?.push(line);
  }

  digest(): string {
    return this.#hash.copy().digest('hex');
  }
}
