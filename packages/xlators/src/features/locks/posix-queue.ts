/** POSIX locks of one file with those who wait for one. */
import { type Holder, type PosixLock, PosixLocks, sameHolder } from './posix-locks.ts';
import type { Range } from './ranges.ts';

export interface PosixWaiter {
  readonly wanted: PosixLock;
  readonly queue: PosixQueue;
  /** Called once, when it is granted. */
  readonly granted: () => void;
}

export class PosixQueue {
  readonly locks = new PosixLocks();
  /** In order of arrival. */
  waiting: PosixWaiter[] = [];

  get empty(): boolean {
    return this.locks.held.length === 0 && this.waiting.length === 0;
  }

  /** Grants now or tells that it cannot. As in fcntl(2) it does not care who already waits. */
  try(wanted: PosixLock): boolean {
    if (this.locks.conflicts(wanted).length > 0) return false;
    this.locks.grant(wanted);
    // A write lock that became a read lock lets others in.
    this.wake();
    return true;
  }

  unlock(holder: Holder, range: Range): void {
    if (this.locks.release(holder, range)) this.wake();
  }

  releaseWhere(gone: (lock: PosixLock) => boolean): number {
    const count = this.locks.releaseWhere(gone);
    if (count > 0) this.wake();
    return count;
  }

  /** The owners that must let go before this request can be granted. */
  blockers(wanted: PosixLock): PosixLock[] {
    return this.locks.conflicts(wanted);
  }

  /** Grants, in order of arrival, all that nobody stands in the way of any more. */
  wake(): void {
    for (let again = true; again; ) {
      again = false;
      for (const waiter of [...this.waiting]) {
        const { wanted } = waiter;
        if (this.locks.conflicts(wanted).length > 0) continue;
        this.waiting = this.waiting.filter((other) => other !== waiter);
        this.locks.grant(wanted);
        waiter.granted();
        // Its own write lock may have become a read lock, for which an earlier one waits.
        again = true;
      }
    }
  }
}

/** Everyone on this brick who waits for a POSIX lock, by owner: the edges of the wait-for graph. */
export class WaitGraph {
  readonly #byHolder = new Map<string, Set<PosixWaiter>>();

  add(waiter: PosixWaiter): void {
    const key = keyOf(waiter.wanted);
    const waits = this.#byHolder.get(key);
    if (waits) waits.add(waiter);
    else this.#byHolder.set(key, new Set([waiter]));
  }

  remove(waiter: PosixWaiter): void {
    const key = keyOf(waiter.wanted);
    const waits = this.#byHolder.get(key);
    waits?.delete(waiter);
    if (waits?.size === 0) this.#byHolder.delete(key);
  }

  /** Whether one of those in the way waits, directly or through others, for the one who asks. */
  wouldDeadlock(wanted: PosixLock, queue: PosixQueue): boolean {
    const seen = new Set<string>();
    const next: PosixLock[] = queue.blockers(wanted);
    for (let lock = next.pop(); lock; lock = next.pop()) {
      if (sameHolder(lock, wanted)) return true;
      const key = keyOf(lock);
      if (seen.has(key)) continue;
      seen.add(key);
      for (const waiter of this.#byHolder.get(key) ?? []) next.push(...waiter.queue.blockers(waiter.wanted));
    }
    return false;
  }

  get size(): number {
    return this.#byHolder.size;
  }
}

function keyOf({ clientId, owner }: Holder): string {
  return `${owner} ${clientId}`;
}
