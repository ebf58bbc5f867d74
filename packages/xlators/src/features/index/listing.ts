import type { ByteString, Gfid } from '@mortar/core';
import type { IndexKind, IndexStore } from './index-store.ts';

/** Names read from the disk at once; pages are cut from them. */
const windowNames = 65_536;

export interface Page {
  names: ByteString[];
  /** Whether there are names behind the last one. */
  more: boolean;
}

/**
 * Pages through a directory in the order of names. `after` alone says where a page starts, so that a listing can go on
 * after a restart; a window of names is remembered, so that going on rarely reads the directory again. A listing from
 * the start always reads it.
 */
export class Listing {
  readonly #store: IndexStore;
  #window: { kind: IndexKind; parent: Gfid | undefined; from: ByteString; names: ByteString[] } | null = null;

  constructor(store: IndexStore) {
    this.#store = store;
  }

  /** A page, or a negative errno. */
  page(kind: IndexKind, parent: Gfid | undefined, after: ByteString, limit: number): Page | number {
    let rest = after === '' ? [] : this.#remembered(kind, parent, after);
    if (rest.length <= limit) {
      const names = this.#store.names(kind, parent, after, Math.max(windowNames, limit + 1));
      if (typeof names === 'number') return names;
      this.#window = names.length > limit ? { kind, parent, from: after, names } : null;
      rest = names;
    }
    return { names: rest.slice(0, limit), more: rest.length > limit };
  }

  #remembered(kind: IndexKind, parent: Gfid | undefined, after: ByteString): ByteString[] {
    const window = this.#window;
    if (!window || window.kind !== kind || window.parent !== parent || after < window.from) return [];
    let low = 0;
    let high = window.names.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (window.names[middle]! <= after) low = middle + 1;
      else high = middle;
    }
    return window.names.slice(low);
  }
}
