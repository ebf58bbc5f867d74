/** Byte-range locks of one file, with waiting and refusal of deadlocks. */
import { Errno } from '@mortar/core';

export interface RangeLock {
  /** Who holds it: client and lock owner. */
  holder: string;
  owner: string;
  pid: number;
  type: 'read' | 'write';
  start: number;
  /** Exclusive. */
  end: number;
}

interface Waiter {
  lock: RangeLock;
  finish(errno: number): void;
}

function conflicts(a: RangeLock, b: RangeLock): boolean {
  return a.holder !== b.holder && a.start < b.end && b.start < a.end && (a.type === 'write' || b.type === 'write');
}

/** Who waits for whom, through all files. */
export class WaitGraph {
  readonly #waits = new Map<string, Set<string>>();

  /** Whether `holder` waiting for `others` would close a ring. */
  closesRing(holder: string, others: readonly string[]): boolean {
    const seen = new Set<string>();
    const next = [...others];
    for (let at = next.pop(); at !== undefined; at = next.pop()) {
      if (at === holder) return true;
      if (seen.has(at)) continue;
      seen.add(at);
      next.push(...(this.#waits.get(at) ?? []));
    }
    return false;
  }

  set(holder: string, others: readonly string[]): void {
    this.#waits.set(holder, new Set(others));
  }

  clear(holder: string): void {
    this.#waits.delete(holder);
  }
}

export class RangeLocks {
  #held: RangeLock[] = [];
  #waiters: Waiter[] = [];
  readonly #graph: WaitGraph;

  constructor(graph: WaitGraph) {
    this.#graph = graph;
  }

  get isIdle(): boolean {
    return this.#held.length === 0 && this.#waiters.length === 0;
  }

  /** A lock that stands in the way, or undefined. */
  conflict(lock: RangeLock): RangeLock | undefined {
    return this.#held.find((held) => conflicts(held, lock));
  }

  /** 0, or EAGAIN. */
  set(lock: RangeLock): number {
    if (this.conflict(lock)) return Errno.EAGAIN;
    this.#carve(lock.holder, lock.start, lock.end);
    this.#held.push(lock);
    // A write lock that became a read lock lets readers in.
    this.#wake();
    return 0;
  }

  /** 0 when granted; EDEADLK, or EINTR when `signal` ended the wait. */
  async wait(lock: RangeLock, signal: AbortSignal | undefined): Promise<number> {
    if (this.set(lock) === 0) return 0;
    if (signal?.aborted) return Errno.EINTR;
    const others = this.#held.filter((held) => conflicts(held, lock)).map(({ holder }) => holder);
    if (this.#graph.closesRing(lock.holder, others)) return Errno.EDEADLK;
    this.#graph.set(lock.holder, others);
    return new Promise((resolve) => {
      const abort = () => waiter.finish(Errno.EINTR);
      const waiter: Waiter = {
        lock,
        finish: (errno) => {
          signal?.removeEventListener('abort', abort);
          this.#waiters = this.#waiters.filter((other) => other !== waiter);
          this.#graph.clear(lock.holder);
          resolve(errno);
        },
      };
      signal?.addEventListener('abort', abort, { once: true });
      this.#waiters.push(waiter);
    });
  }

  unlock(holder: string, start = 0, end = Number.POSITIVE_INFINITY): void {
    this.#carve(holder, start, end);
    this.#wake();
  }

  #carve(holder: string, start: number, end: number): void {
    const kept: RangeLock[] = [];
    for (const lock of this.#held) {
      if (lock.holder !== holder || lock.end <= start || lock.start >= end) {
        kept.push(lock);
        continue;
      }
      if (lock.start < start) kept.push({ ...lock, end: start });
      if (lock.end > end) kept.push({ ...lock, start: end });
    }
    this.#held = kept;
  }

  #wake(): void {
    for (const waiter of [...this.#waiters]) {
      const others = this.#held.filter((held) => conflicts(held, waiter.lock)).map(({ holder }) => holder);
      if (others.length > 0) {
        this.#graph.set(waiter.lock.holder, others);
        continue;
      }
      this.#carve(waiter.lock.holder, waiter.lock.start, waiter.lock.end);
      this.#held.push(waiter.lock);
      waiter.finish(0);
    }
  }
}
