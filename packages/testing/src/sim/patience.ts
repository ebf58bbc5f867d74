/** Waiting in virtual time: what must come to pass does, or the run is stuck. */
import type { Scheduler } from './scheduler.ts';

/** Something that must happen did not. */
export class Stuck extends Error {}

/** Of one run, more tell nothing new. */
const exceptionsMost = 3;

export class Patience {
  readonly #scheduler: Scheduler;
  readonly #ms: number;

  /** `ms`: virtual time that things may take which must end once nothing is wrong any more. */
  constructor(scheduler: Scheduler, ms: number) {
    this.#scheduler = scheduler;
    this.#ms = ms;
  }

  async until(what: string, done: () => boolean): Promise<void> {
    if (!(await this.#scheduler.runUntil(done, this.#scheduler.nowMs + this.#ms)))
      throw new Stuck(`in ${this.#ms / 1000} s it never came to pass that ${what}`);
  }

  async complete<T>(what: string, promise: Promise<T>): Promise<T> {
    let result: { value: T } | { error: unknown } | undefined;
    promise.then(
      (value) => {
        result = { value };
      },
      (error: unknown) => {
        result = { error };
      },
    );
    await this.until(what, () => result !== undefined);
    if ('error' in result!) throw result.error;
    return result!.value;
  }
}

/** Runs; tells what never came to pass, and exceptions, also those that nobody waits for: each is a bug. */
export async function watched(
  problem: (what: string) => void,
  run: (thrown: (error: unknown) => void) => Promise<void>,
): Promise<void> {
  let exceptions = 0;
  const thrown = (error: unknown) => {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    if (exceptions++ < exceptionsMost) problem(`an exception: ${text}`);
  };
  process.on('unhandledRejection', thrown);
  try {
    await run(thrown);
  } catch (error) {
    if (error instanceof Stuck) problem(error.message);
    else thrown(error);
  } finally {
    process.off('unhandledRejection', thrown);
  }
}
