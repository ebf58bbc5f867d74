/**
 * Who works on the pool, as one member knows it. A courtesy: it tells people why they have to wait, and safety depends on
 * ballots alone. It is not on disk, and expires.
 */
import type { Clock } from '@mortar/core/ports.ts';
import { compareBallots, sameBallot } from './ballot.ts';
import type { Ballot, LockInfo } from './types.ts';

interface Held {
  readonly ballot: Ballot;
  readonly operation: string;
  readonly sinceMs: number;
  readonly untilMs: number;
}

export class CourtesyLock {
  readonly #clock: Clock;
  #held: Held | null = null;
  /** Highest round that a node has given back: a request for it which arrives later must not take it again. */
  readonly #over = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Who holds it now. */
  info(): LockInfo | null {
    const now = this.#clock.nowMs();
    if (this.#held && now >= this.#held.untilMs) this.#held = null;
    if (!this.#held) return null;
    const { ballot, operation, sinceMs, untilMs } = this.#held;
    return { node: ballot.node, operation, ageMs: now - sinceMs, expiresInMs: untilMs - now };
  }

  holds(ballot: Ballot): boolean {
    return this.info() !== null && sameBallot(this.#held!.ballot, ballot);
  }

  isOver(ballot: Ballot): boolean {
    return ballot.round <= (this.#over.get(ballot.node) ?? 0);
  }

  /** Whether another's hold is in the way. A node's own later ballot takes over: it knows that its earlier work is dead. */
  isTakenFor(ballot: Ballot): boolean {
    if (this.info() === null) return false;
    return this.#held!.ballot.node !== ballot.node || compareBallots(ballot, this.#held!.ballot) < 0;
  }

  take(ballot: Ballot, operation: string, lifeMs: number): void {
    if (this.holds(ballot)) return;
    const now = this.#clock.nowMs();
    this.#held = { ballot, operation, sinceMs: now, untilMs: now + lifeMs };
  }

  giveBack(ballot: Ballot): void {
    if (this.#held && sameBallot(this.#held.ballot, ballot)) this.#held = null;
    this.#over.set(ballot.node, Math.max(ballot.round, this.#over.get(ballot.node) ?? 0));
    if (this.#over.size > 1000) this.#over.delete(this.#over.keys().next().value!);
  }

  /** Takes it from whoever has it; their proposal is refused as soon as somebody else has taken a higher ballot. */
  break(): LockInfo | null {
    const info = this.info();
    if (this.#held) this.giveBack(this.#held.ballot);
    return info;
  }
}
