/**
 * Objects that somebody put on bricks by hand have no gfid, and get the one that comes with the first lookup (docs/replicate.md,
 * Reading). Two lookups of a name at once would give a directory one on some children and another on the others: they share the first's.
 */
import type { ByteString, Gfid } from '@mortar/core';

interface Offer {
  readonly gfid: Gfid;
  users: number;
}

export class Offers {
  readonly #offers = new Map<string, Offer>();

  /** Runs a lookup of the name with the gfid that all of them give now. */
  async share<R>(parent: Gfid, name: ByteString, gfid: Gfid, run: (gfid: Gfid) => Promise<R>): Promise<R> {
    const key = `${parent}/${name}`;
    let offer = this.#offers.get(key);
    if (!offer) {
      offer = { gfid, users: 0 };
      this.#offers.set(key, offer);
    }
    offer.users++;
    try {
      return await run(offer.gfid);
    } finally {
      if (--offer.users === 0) this.#offers.delete(key);
    }
  }

  get size(): number {
    return this.#offers.size;
  }
}
