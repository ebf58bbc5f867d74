import { type Call, type Clock, Errno, type Failure, fail, type Timer } from '@mortar/core';

/** An answer that comes later, or not: the caller may give up (EINTR) or its deadline pass (ETIMEDOUT). */
export class Pending<T> {
  readonly answer: Promise<T | Failure>;
  #resolve!: (value: T | Failure) => void;
  #timer: Timer | null = null;
  readonly #signal: AbortSignal | undefined;
  readonly #giveUp: () => void;
  readonly #onAbort = () => this.#abandon(Errno.EINTR);

  /** `giveUp` takes the request out of its queue; it is not called once `settle` was. */
  constructor(call: Call, clock: Clock, giveUp: () => void) {
    this.#giveUp = giveUp;
    this.#signal = call.signal;
    this.answer = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    this.#signal?.addEventListener('abort', this.#onAbort);
    if (call.deadlineMs !== undefined)
      this.#timer = clock.after(Math.max(0, call.deadlineMs - clock.nowMs()), () => this.#abandon(Errno.ETIMEDOUT));
  }

  settle(value: T | Failure): void {
    this.#signal?.removeEventListener('abort', this.#onAbort);
    this.#timer?.cancel();
    this.#resolve(value);
  }

  #abandon(errno: Errno): void {
    this.settle(fail(errno));
    this.#giveUp();
  }
}
