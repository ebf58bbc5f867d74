/** What owners have locked of a file, as fcntl(2) has it: pure bookkeeping, by those who asked for it. */

export interface OwnedRange {
  readonly owner: string;
  readonly type: 'read' | 'write';
  readonly start: number;
  /** Exclusive; Infinity: to the end of the file. */
  readonly end: number;
}

type Range = Pick<OwnedRange, 'start' | 'end'>;

export class LockBook<L extends OwnedRange = OwnedRange> {
  #held: L[] = [];
  readonly #part: (lock: L, range: Range) => L;

  /** `part`: what is left of a lock of which its owner gives up some. */
  constructor(part: (lock: L, range: Range) => L = (lock, range) => ({ ...lock, ...range })) {
    this.#part = part;
  }

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
      if (lock.start < start) kept.push(this.#part(lock, { start: lock.start, end: start }));
      if (lock.end > end) kept.push(this.#part(lock, { start: end, end: lock.end }));
    }
    this.#held = kept;
  }

  drop(gone: (lock: L) => boolean): void {
    this.#held = this.#held.filter((lock) => !gone(lock));
  }
}
