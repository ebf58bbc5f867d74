/** What owners have locked of a file, as fcntl(2) has it: pure bookkeeping, by those who asked for it. */

export interface OwnedRange {
  readonly owner: string;
  readonly type: 'read' | 'write';
  readonly start: number;
  /** Exclusive; Infinity: to the end of the file. */
  readonly end: number;
}

export class LockBook<L extends OwnedRange = OwnedRange> {
  #held: L[] = [];

  get all(): readonly L[] {
    return this.#held;
  }

  get isEmpty(): boolean {
    return this.#held.length === 0;
  }

  get size(): number {
    return this.#held.length;
  }

  holds(owner: string): boolean {
    return this.#held.some((lock) => lock.owner === owner);
  }

  /** A new lock replaces what its owner had on that range. */
  set(lock: L): void {
    this.clear(lock.owner, lock.start, lock.end);
    this.#held.push(lock);
  }

  clear(owner: string, start = 0, end = Number.POSITIVE_INFINITY): void {
    if (this.#held.length === 0) return;
    const kept: L[] = [];
    for (const lock of this.#held) {
      if (lock.owner !== owner || lock.end <= start || lock.start >= end) {
        kept.push(lock);
        continue;
      }
      if (lock.start < start) kept.push({ ...lock, end: start });
      if (lock.end > end) kept.push({ ...lock, start: end });
    }
    this.#held = kept;
  }

  drop(gone: (lock: L) => boolean): void {
    this.#held = this.#held.filter((lock) => !gone(lock));
  }
}
