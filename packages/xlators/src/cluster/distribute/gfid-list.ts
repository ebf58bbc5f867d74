/** Many gfids in little memory. */
import type { Gfid } from '@mortar/core';

const gfidBytes = 16;

export class GfidList {
  #bytes = Buffer.alloc(1024 * gfidBytes);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(gfid: Gfid): void {
    if (this.#bytes.length === this.#length * gfidBytes)
      this.#bytes = Buffer.concat([this.#bytes, Buffer.alloc(this.#bytes.length)]);
    this.#bytes.write(gfid.replaceAll('-', ''), this.#length++ * gfidBytes, 'hex');
  }

  *[Symbol.iterator](): Generator<Gfid> {
    for (let i = 0; i < this.#length; i++) {
      const hex = this.#bytes.toString('hex', i * gfidBytes, (i + 1) * gfidBytes);
      const at = [0, 8, 12, 16, 20, 32];
      yield at
        .slice(1)
        .map((end, part) => hex.slice(at[part], end))
        .join('-') as Gfid;
    }
  }
}
