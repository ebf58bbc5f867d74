/** Chance from a seed: the same numbers on every machine (sfc32). */
import type { Random } from '@mortar/core';

export class SeededRandom implements Random {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: number) {
    this.#a = seed | 0;
    this.#b = Math.floor(seed / 2 ** 32) | 0;
    this.#c = 0x9e3779b9 | 0;
    for (let i = 0; i < 15; i++) this.next32();
  }

  /** Uniform 32-bit integer. */
  next32(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  integer(below: number): number {
    return Math.floor((this.next32() / 2 ** 32) * below);
  }

  bytes(count: number): Uint8Array {
    const bytes = new Uint8Array(count);
    for (let i = 0; i < count; i++) bytes[i] = this.next32() & 0xff;
    return bytes;
  }

  /** Uniform number in [low, high). */
  between(low: number, high: number): number {
    return low + (this.next32() / 2 ** 32) * (high - low);
  }

  /** True with this probability. */
  chance(probability: number): boolean {
    return this.next32() / 2 ** 32 < probability;
  }

  /** The same values in another order. */
  shuffled<T>(values: readonly T[]): T[] {
    const rest = [...values];
    return values.map(() => rest.splice(this.integer(rest.length), 1)[0]!);
  }

  pick<T>(values: readonly T[]): T {
    return values[this.integer(values.length)]!;
  }

  /** An independent stream: what it draws does not move this one. */
  fork(): SeededRandom {
    return new SeededRandom(this.next32() * 2 ** 21 + (this.next32() >>> 11));
  }
}
