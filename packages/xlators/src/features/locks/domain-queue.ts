/**
 * Internal locks (inodelk, entrylk) of one file in one domain: who holds, who waits. What is locked is a range of
 * bytes or a name; the rules are the same. Strictly in order: nobody who conflicts with one who waits gets in before
 * it, except an owner that already holds a lock here, which could otherwise wait for itself.
 */
import type { Attachment, Errno } from '@mortar/core';
import type { FenceToken } from './fences.ts';
import { type Holder, sameHolder } from './posix-locks.ts';

export interface Resource<R> {
  overlap(a: R, b: R): boolean;
  same(a: R, b: R): boolean;
}

export interface Claim<R> extends Holder {
  readonly type: 'read' | 'write';
  readonly resource: R;
  /** All that is done under it carries its fence: it can be taken away. */
  readonly isLease?: boolean;
  /** In whose name it was asked for, where that can be revoked. */
  readonly attachment?: Attachment;
}

export interface Held<R> extends Claim<R> {
  readonly fence: FenceToken | null;
  readonly grantedAtMs: number;
  /** When its holder was last told that somebody waits; -Infinity: never. */
  notifiedAtMs: number;
  /** Given back or taken away, but operations under its fence still run: it keeps others out until they end. */
  draining: boolean;
}

export interface Waiter<R> {
  readonly claim: Claim<R>;
  /** Called once, when it is granted. */
  readonly granted: (held: Held<R>) => void;
  /** Called once, when it is refused. */
  readonly refused: (errno: Errno) => void;
}

/** Most locks and waiters of one domain on one file; a request beyond gets ENOLCK. */
export const maxDomainLocks = 65_536;

export class DomainQueue<R> {
  held: Held<R>[] = [];
  /** In order of arrival. */
  waiting: Waiter<R>[] = [];
  readonly #resource: Resource<R>;
  readonly #make: (claim: Claim<R>) => Held<R>;

  /** `make` turns a claim into a lock when it is granted. */
  constructor(resource: Resource<R>, make: (claim: Claim<R>) => Held<R>) {
    this.#resource = resource;
    this.#make = make;
  }

  get empty(): boolean {
    return this.held.length === 0 && this.waiting.length === 0;
  }

  get full(): boolean {
    return this.held.length + this.waiting.length >= maxDomainLocks;
  }

  /** The locks of others that stand in the way. A draining lock stands in its own holder's way, too. */
  blockers(claim: Claim<R>): Held<R>[] {
    return this.held.filter((lock) => this.#blocks(lock, claim));
  }

  #blocks(lock: Held<R>, claim: Claim<R>): boolean {
    return this.#conflict(lock, claim) && (lock.draining || !sameHolder(lock, claim));
  }

  #conflict(a: Claim<R>, b: Claim<R>): boolean {
    return (a.type === 'write' || b.type === 'write') && this.#resource.overlap(a.resource, b.resource);
  }

  /** Whether the claim can be granted now, given those who wait before it. */
  #free(claim: Claim<R>, before: readonly Waiter<R>[]): boolean {
    for (const lock of this.held) if (this.#blocks(lock, claim)) return false;
    if (!before.some((waiter) => this.#conflict(waiter.claim, claim))) return true;
    return this.held.some((lock) => !lock.draining && sameHolder(lock, claim));
  }

  try(claim: Claim<R>): Held<R> | undefined {
    if (!this.#free(claim, this.waiting)) return undefined;
    const lock = this.#grant(claim);
    // Who holds a lock here need not queue behind others any more.
    if (this.waiting.some((waiter) => sameHolder(waiter.claim, claim))) this.wake();
    return lock;
  }

  #grant(claim: Claim<R>): Held<R> {
    const lock = this.#make(claim);
    this.held.push(lock);
    return lock;
  }

  /** The lock that an unlock means: the latest by this holder on exactly this. */
  find(holder: Holder, resource: R): Held<R> | undefined {
    return this.held.findLast(
      (lock) => !lock.draining && sameHolder(lock, holder) && this.#resource.same(lock.resource, resource),
    );
  }

  remove(lock: Held<R>): void {
    const at = this.held.indexOf(lock);
    if (at >= 0) this.held.splice(at, 1);
  }

  withdraw(waiter: Waiter<R>): void {
    this.waiting = this.waiting.filter((other) => other !== waiter);
  }

  /** Grants in order all that can be granted. To be called after each `remove` and `withdraw`. */
  wake(): void {
    const granted: (() => void)[] = [];
    // A grant can free an earlier request of the same holder: again until nothing moves.
    while (this.#grantRound(granted));
    for (const tell of granted) tell();
  }

  /** Once through those who wait; whether any was granted. */
  #grantRound(granted: (() => void)[]): boolean {
    const still: Waiter<R>[] = [];
    for (const waiter of this.waiting) {
      if (this.#free(waiter.claim, still)) {
        const lock = this.#grant(waiter.claim);
        granted.push(() => waiter.granted(lock));
      } else still.push(waiter);
    }
    const moved = still.length < this.waiting.length;
    this.waiting = still;
    return moved && still.length > 0;
  }

  /** Whether somebody waits for what this lock covers. */
  contended(lock: Held<R>): boolean {
    return this.waiting.some((waiter) => this.#blocks(lock, waiter.claim));
  }
}
