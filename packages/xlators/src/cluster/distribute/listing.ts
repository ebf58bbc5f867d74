/**
 * What one reading of a directory has shown. Files are moved while it goes from child to child: one that was shown is not
 * shown again where it is now, and one whose linkto was seen must have been shown when all children have been read.
 */
import type { Fd } from '@mortar/core';

/** Of larger directories the rest is listed as it is found. */
const namesMax = 262_144;
const listings = new WeakMap<Fd, Listing>();

export class Listing {
  /** Names of files with the offset where they were shown. */
  readonly #shown = new Map<string, number>();
  /** Names whose linkto was seen. */
  readonly #hidden = new Set<string>();

  /** From its beginning a reading is a new one. */
  static of(fd: Fd, offset: number): Listing {
    const known = offset === 0 ? undefined : listings.get(fd);
    const listing = known ?? new Listing();
    if (!known) listings.set(fd, listing);
    return listing;
  }

  hide(name: string): void {
    if (this.#hidden.size < namesMax) this.#hidden.add(name);
  }

  /** Whether a file is to be shown; `base`: offsets of its child begin there. */
  show(name: string, offset: number, base: number): boolean {
    const before = this.#shown.get(name);
    // Who goes back in a directory sees the same again.
    if (before !== undefined && before < base) return false;
    if (before !== undefined || this.#shown.size < namesMax) this.#shown.set(name, offset);
    return true;
  }

  /** Names that were not shown though there was a linkto; each is told once. */
  takePassed(): string[] {
    if (this.#shown.size >= namesMax) return [];
    const passed = [...this.#hidden].filter((name) => !this.#shown.has(name));
    this.#hidden.clear();
    return passed;
  }
}
