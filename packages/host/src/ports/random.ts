import { randomFillSync, randomInt } from 'node:crypto';
import type { Random } from '@mortar/core';

/** The kernel's randomness, fetched in blocks: a gfid a file must not cost a system call each. */
export class SystemRandom implements Random {
  readonly #block = Buffer.alloc(4096);
  #used = 4096;

  bytes(count: number): Uint8Array {
    const result = new Uint8Array(count);
    if (count > this.#block.length) return randomFillSync(result);
    if (this.#used + count > this.#block.length) {
      randomFillSync(this.#block);
      this.#used = 0;
    }
    result.set(this.#block.subarray(this.#used, this.#used + count));
    this.#used += count;
    return result;
  }

  integer(below: number): number {
    return below <= 1 ? 0 : randomInt(below);
  }
}
