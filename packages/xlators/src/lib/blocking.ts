/**
 * How long a synchronous call kept the event loop waiting for the disk. Time alone does not tell: on a busy machine a
 * call that never waited takes long because other processes have the processor. A call during which the thread never
 * gave up the processor (`Clock.waits`, where the process knows) was not held up by the disk.
 */
import { type Clock, type FopName, fops } from '@mortar/core';

/** Shorter calls are taken as they are: nobody calls them slow. */
const doubtfulMs = 1;
/** After a doubtful call waits are counted for so long; before one, counting would only cost. */
const watchMs = 10_000;
const notCounted = -1;

/**
 * Whether a slow call of this kind says that the disk's caches are cold. One that changes names or attributes may have
 * waited for the file system's journal, and no reading beforehand makes that quicker.
 */
export function tellsOfCold(name: FopName): boolean {
  const { class: touches } = fops[name];
  return touches !== 'entry' && touches !== 'metadata';
}

export class BlockingMeter {
  readonly #clock: Clock;
  #watchUntilMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** To be taken before a call and given to `blockedMs`. */
  waits(nowMs: number): number {
    return nowMs < this.#watchUntilMs ? this.#clock.waits!() : notCounted;
  }

  /** Of the milliseconds from `fromMs` to `toMs` those in which the disk may have kept this thread: all, or none. */
  blockedMs(fromMs: number, waitsBefore: number, toMs: number): number {
    const ms = toMs - fromMs;
    const { waits } = this.#clock;
    if (ms < doubtfulMs || !waits) return ms;
    this.#watchUntilMs = toMs + watchMs;
    return waitsBefore === notCounted || waits() === waitsBefore ? 0 : ms;
  }
}
