/** POSIX byte-range locks of one file (fcntl(2)): pure bookkeeping, no waiting. */
import type { Fd } from '@mortar/core';
import { overlap, type Range, subtract } from './ranges.ts';

/** Who holds a lock: an owner (a process) within a client session. */
export interface Holder {
  readonly clientId: string;
  readonly owner: string;
}

export interface PosixLock extends Range, Holder {
  readonly type: 'read' | 'write';
  readonly pid: number;
  /** Locks of flock(2) and of fcntl(2) do not meet. */
  readonly family: 'flock' | 'fcntl';
  /** The open file it was last asked through; the lock goes when that is closed. */
  readonly fd: Fd | null;
}

export function sameHolder(a: Holder, b: Holder): boolean {
  return a.owner === b.owner && a.clientId === b.clientId;
}

/** Most locks on one file; a request that would need more gets ENOLCK. */
export const maxPosixLocks = 65_536;

export class PosixLocks {
  /** Sorted by start. One holder's locks never overlap and touch only where their types differ. */
  held: PosixLock[] = [];

  /** The locks of others that stand in the way. */
  conflicts(wanted: PosixLock): PosixLock[] {
    return this.held.filter(
      (lock) =>
        lock.family === wanted.family &&
        overlap(lock, wanted) &&
        (lock.type === 'write' || wanted.type === 'write') &&
        !sameHolder(lock, wanted),
    );
  }

  /** Whether one more lock (which may split another) would be too many. */
  get full(): boolean {
    return this.held.length + 2 > maxPosixLocks;
  }

  /** Gives the lock, which must have no conflicts: replaces what its holder has there, merges with neighbours. */
  grant(wanted: PosixLock): void {
    this.release(wanted, wanted);
    let { start, end } = wanted;
    this.held = this.held.filter((lock) => {
      const joins = sameHolder(lock, wanted) && lock.type === wanted.type && lock.start <= end && start <= lock.end;
      if (joins) {
        start = Math.min(start, lock.start);
        end = Math.max(end, lock.end);
      }
      return !joins;
    });
    this.#insert({ ...wanted, start, end });
  }

  /** Takes a range from a holder. True if it had any of it. */
  release(holder: Holder, range: Range): boolean {
    let any = false;
    const pieces: PosixLock[] = [];
    this.held = this.held.filter((lock) => {
      if (!sameHolder(lock, holder) || !overlap(lock, range)) return true;
      any = true;
      for (const piece of subtract(lock, range)) pieces.push({ ...lock, ...piece });
      return false;
    });
    for (const piece of pieces) this.#insert(piece);
    return any;
  }

  /** Takes all locks away for which `gone` holds; how many. */
  releaseWhere(gone: (lock: PosixLock) => boolean): number {
    const before = this.held.length;
    this.held = this.held.filter((lock) => !gone(lock));
    return before - this.held.length;
  }

  #insert(lock: PosixLock): void {
    let low = 0;
    let high = this.held.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.held[middle]!.start <= lock.start) low = middle + 1;
      else high = middle;
    }
    this.held.splice(low, 0, lock);
  }
}
