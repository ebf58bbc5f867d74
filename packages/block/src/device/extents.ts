/** Collects the extents of a range: equal neighbours become one, and no more are taken than were asked for. */
import type { Extent } from './device.ts';

export class ExtentList {
  readonly extents: Extent[] = [];
  readonly #max: number;
  #isFull = false;

  constructor(extentsMax: number) {
    this.#max = extentsMax;
  }

  /** False when there is no room: what was collected so far is the answer. */
  add(length: number, hole: boolean, zero: boolean): boolean {
    if (this.#isFull) return false;
    if (length === 0) return true;
    const last = this.extents.at(-1);
    if (last && last.hole === hole && last.zero === zero) {
      this.extents[this.extents.length - 1] = { length: last.length + length, hole, zero };
      return true;
    }
    if (this.extents.length >= this.#max) {
      this.#isFull = true;
      return false;
    }
    this.extents.push({ length, hole, zero });
    return true;
  }
}
