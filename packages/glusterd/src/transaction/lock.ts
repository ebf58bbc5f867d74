/**
 * The cluster lock: who changes a volume (or, with the name `all`, anything) holds it. It always shows who holds it and
 * since when, and expires, so that a holder that died cannot keep the pool from working.
 */
import type { Clock } from '@mortar/core/ports.ts';
import { OperationError } from '../errors.ts';

export interface Holder {
  /** Uuid of the node that runs the operation. */
  node: string;
  operation: string;
  sinceMs: number;
}

/** Longer than any operation may take. */
export const lockLifeMs = 180_000;
const all = 'all';

export class LockTable {
  readonly #clock: Clock;
  readonly #holders = new Map<string, Holder>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Takes the lock of a volume, or of everything. Throws OperationError naming the holder. */
  take(subject: string, node: string, operation: string): Holder {
    this.#expire();
    const inTheWay = subject === all ? [...this.#holders][0] : this.#entry(subject);
    if (inTheWay) throw new OperationError(this.#busy(subject, inTheWay[1]));
    const holder: Holder = { node, operation, sinceMs: this.#clock.nowMs() };
    this.#holders.set(subject, holder);
    return holder;
  }

  /** Gives back a lock, unless it expired and is another's now. */
  release(subject: string, holder: Holder): void {
    if (this.#holders.get(subject) === holder) this.#holders.delete(subject);
  }

  /** Whether it was neither given back nor broken nor, after its time, taken by another. */
  isHeld(subject: string, holder: Holder): boolean {
    return this.#holders.get(subject) === holder;
  }

  /** Takes all from whoever has them; they commit nothing any more (`execute`). */
  break(): { subject: string; holder: Holder; ageMs: number }[] {
    const broken = this.holders();
    this.#holders.clear();
    return broken;
  }

  /** Locks that are held, for the state dump and `get-state`. */
  holders(): { subject: string; holder: Holder; ageMs: number }[] {
    const now = this.#clock.nowMs();
    return [...this.#holders].map(([subject, holder]) => ({ subject, holder, ageMs: now - holder.sinceMs }));
  }

  #entry(subject: string): [string, Holder] | undefined {
    for (const name of [subject, all]) {
      const holder = this.#holders.get(name);
      if (holder) return [name, holder];
    }
    return undefined;
  }

  #busy(subject: string, { node, operation, sinceMs }: Holder): string {
    const age = Math.round((this.#clock.nowMs() - sinceMs) / 1000);
    const where = subject === all ? 'the cluster' : subject;
    return (
      `Another transaction is in progress for ${where}. Please try again after some time. ` +
      `(${operation} by node ${node}, for ${age} s)`
    );
  }

  #expire(): void {
    for (const { subject, ageMs } of this.holders()) if (ageMs > lockLifeMs) this.#holders.delete(subject);
  }
}
