/** What one disk does at the moment. */
import { Errno, type FopName } from '@mortar/core';
import type { SeededRandom } from './random.ts';
import { type DiskFaults, mayFail } from './storage.ts';

const growing = new Set<FopName>(['writev', 'create', 'mknod', 'mkdir', 'symlink', 'link', 'put', 'fallocate']);

export class DiskMood implements DiskFaults {
  slowMs = 0;
  errorChance = 0;
  isFull = false;
  readonly #random: SeededRandom;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  delayMs(): number {
    return this.slowMs > 0 ? this.#random.between(0, this.slowMs) : 0;
  }

  error(fop: FopName): { errno: Errno; late: boolean } | undefined {
    if (!mayFail(fop)) return undefined;
    if (this.isFull && growing.has(fop)) return { errno: Errno.ENOSPC, late: false };
    if (this.errorChance > 0 && this.#random.chance(this.errorChance))
      return { errno: Errno.EIO, late: this.#random.chance(0.2) };
    return undefined;
  }
}
