/**
 * Directory listings in the order of the names' hashes (docs/directory-listing.md). A listing is sorted once and kept
 * while it is being read. A directory of more names than may be kept is read anew for every reply; the reply then
 * comes from the smallest hashes behind the offset, of which a bounded number is held.
 */
import type { ByteString } from '@mortar/core';
import { nameOffset } from '../../lib/name-offset.ts';
import type { Sys } from './brick.ts';
import { Lru } from './lru.ts';
import type { OpenFile } from './open-files.ts';

export interface ListedName {
  name: ByteString;
  offset: number;
  /** DT_ value. */
  type: number;
}

/** Names kept of one directory. */
export const listingMax = 200_000;
/** Names of a larger directory that one pass finds. */
const passMax = 4096;
/** How far behind its hash a name may have been pushed by names of the same hash. */
const collisionsMax = 64;
const listingsMax = 32;

/** By hash, then by name. */
function inOrder(a: ListedName, b: ListedName): number {
  return a.offset - b.offset || (a.name < b.name ? -1 : 1);
}

/** Gives every name an offset of its own: names of one hash follow each other. */
export function settle(names: ListedName[]): ListedName[] {
  names.sort(inOrder);
  for (let i = 1; i < names.length; i++) {
    const before = names[i - 1]!.offset;
    if (names[i]!.offset <= before) names[i]!.offset = before + 1;
  }
  return names;
}

/** Position of the first name behind `offset`. */
function behind(names: readonly ListedName[], offset: number): number {
  let low = 0;
  let high = names.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (names[middle]!.offset <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

export interface Page {
  names: readonly ListedName[];
  /** Index in `names` of the first one behind the offset. */
  start: number;
  /** Nothing follows the last one of `names`. */
  complete: boolean;
}

export interface ListingLimits {
  listing: number;
  pass: number;
}

export class ListingCache {
  readonly #sys: Sys;
  readonly #limits: ListingLimits;
  readonly #kept = new Lru<OpenFile, readonly ListedName[]>(listingsMax);

  constructor(sys: Sys, limits: ListingLimits = { listing: listingMax, pass: passMax }) {
    this.#sys = sys;
    this.#limits = limits;
  }

  /** Names behind `offset`, at least one unless there is none. Offset 0 reads the directory anew. */
  page(file: OpenFile, offset: number, hidden: ByteString | null): Page | number {
    const kept = offset === 0 ? undefined : this.#kept.get(file);
    if (kept) return { names: kept, start: behind(kept, offset), complete: true };
    const all: ListedName[] = [];
    const result = this.#sys.forEachDirent(file.osFd, (name, _ino, type) => {
      if (name === hidden) return true;
      all.push({ name, offset: nameOffset(name), type });
      return all.length <= this.#limits.listing;
    });
    if (result < 0) return result;
    if (all.length > this.#limits.listing) return this.#pass(file, offset, hidden);
    this.#kept.set(file, settle(all));
    return { names: all, start: behind(all, offset), complete: true };
  }

  /** Whether a page behind `offset` comes without reading the directory. */
  has(file: OpenFile, offset: number): boolean {
    return offset !== 0 && this.#kept.get(file) !== undefined;
  }

  drop(file: OpenFile): void {
    this.#kept.delete(file);
  }

  clear(): void {
    this.#kept.clear();
  }

  /** Keeps twice as many as a pass gives, and halves whenever full: linear on the whole. */
  #pass(file: OpenFile, offset: number, hidden: ByteString | null): Page | number {
    // Names up to the offset that are looked at for their collisions take up room as well.
    const pass = this.#limits.pass + collisionsMax;
    let found: ListedName[] = [];
    let cut = false;
    let bound = Number.POSITIVE_INFINITY;
    const result = this.#sys.forEachDirent(file.osFd, (name, _ino, type) => {
      const hash = nameOffset(name);
      if (name === hidden || hash < offset - collisionsMax || hash > bound) return;
      found.push({ name, offset: hash, type });
      if (found.length < 2 * pass) return;
      found.sort(inOrder);
      found = found.slice(0, pass);
      bound = found[pass - 1]!.offset;
      cut = true;
    });
    if (result < 0) return result;
    found.sort(inOrder);
    if (found.length > pass) cut = true;
    found = found.slice(0, pass);
    settle(found);
    return { names: found, start: behind(found, offset), complete: !cut };
  }
}
