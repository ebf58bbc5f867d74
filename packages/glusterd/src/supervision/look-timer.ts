/** What is looked after every second, one look after the other. */
import type { Clock, Timer } from '@mortar/core/ports.ts';

const lookMs = 1000;

export class LookTimer {
  readonly #clock: () => Clock;
  readonly #look: () => Promise<void>;
  #timer: Timer | null = null;
  #isClosed = false;

  /** `look` must not reject. */
  constructor(clock: () => Clock, look: () => Promise<void>) {
    this.#clock = clock;
    this.#look = look;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** The first look is a second from now, each other one a second after the one before has ended. */
  start(): void {
    if (this.#isClosed) return;
    this.#timer?.cancel();
    this.#timer = this.#clock().after(lookMs, () => {
      void this.#look().finally(() => this.start());
    });
  }

  /** For good. A look that is under way is not waited for. */
  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
  }
}
