/** The locks that this mount holds on a file: what close must give back and a new graph must take again. */

export interface HeldLock {
  owner: string;
  type: 'read' | 'write';
  start: number;
  /** Exclusive; Infinity: to the end of the file. */
  end: number;
  pid: number;
  family?: 'flock';
  /** The handle through which it was taken. */
  fh: number;
}

export class LockBook {
  #held: HeldLock[] = [];

  get isEmpty(): boolean {
    return this.#held.length === 0;
  }

  get size(): number {
    return this.#held.length;
  }

  holds(owner: string): boolean {
    return this.#held.some((lock) => lock.owner === owner);
  }

  of(fh: number): readonly HeldLock[] {
    return this.#held.filter((lock) => lock.fh === fh);
  }

  /** POSIX: a new lock replaces what its owner had on that range. */
  set(lock: HeldLock): void {
    this.clear(lock.owner, lock.start, lock.end);
    this.#held.push(lock);
  }

  clear(owner: string, start = 0, end = Number.POSITIVE_INFINITY): void {
    if (this.#held.length === 0) return;
    const kept: HeldLock[] = [];
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
}
