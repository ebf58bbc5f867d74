import type { Random } from '@mortar/core/ports.ts';

const firstMs = 100;
const maxMs = 3000;

/** Waits between attempts: 0.1 s doubling to 3 s, each shortened by chance so that clients do not come in waves. */
export class Backoff {
  readonly #random: Random;
  #nextMs = firstMs;

  constructor(random: Random) {
    this.#random = random;
  }

  /** How long to wait before the next attempt: between half of the step and the whole. */
  next(): number {
    const stepMs = this.#nextMs;
    this.#nextMs = Math.min(maxMs, stepMs * 2);
    const halfMs = stepMs / 2;
    return halfMs + this.#random.integer(halfMs + 1);
  }

  reset(): void {
    this.#nextMs = firstMs;
  }
}
