import type { Clock, Timer } from '@mortar/core/ports.ts';

export interface Pending {
  /** On the monotonic clock; Infinity: none. */
  readonly deadlineMs: number;
  expired(): void;
}

/** Requests that wait for their reply, by sequence number, with one timer for the earliest deadline of all. */
export class PendingTable<P extends Pending> {
  readonly #clock: Clock;
  readonly #entries = new Map<number, P>();
  #next = 1;
  #lowest = 1;
  #timer: Timer | null = null;
  #timerAtMs = Number.POSITIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The number of the one that is added next. */
  get next(): number {
    return this.#next;
  }

  /** Everything below was answered: the other side may forget it. */
  get lowest(): number {
    while (this.#lowest < this.#next && !this.#entries.has(this.#lowest)) this.#lowest++;
    return this.#lowest;
  }

  add(pending: P): number {
    const sequence = this.#next++;
    this.#entries.set(sequence, pending);
    if (pending.deadlineMs < this.#timerAtMs) this.#arm(pending.deadlineMs);
    return sequence;
  }

  /** Takes an entry out; undefined for one that was answered, expired or never was. */
  take(sequence: number): P | undefined {
    const found = this.#entries.get(sequence);
    if (found !== undefined) this.#entries.delete(sequence);
    return found;
  }

  has(sequence: number): boolean {
    return this.#entries.has(sequence);
  }

  entries(): [number, P][] {
    return [...this.#entries];
  }

  /** Takes all out, oldest first. */
  clear(): P[] {
    const all = [...this.#entries.values()];
    this.#entries.clear();
    this.#timer?.cancel();
    this.#timer = null;
    this.#timerAtMs = Number.POSITIVE_INFINITY;
    return all;
  }

  #arm(atMs: number): void {
    this.#timer?.cancel();
    this.#timerAtMs = atMs;
    this.#timer = this.#clock.after(Math.max(0, atMs - this.#clock.nowMs()), () => this.#expire());
  }

  #expire(): void {
    this.#timer = null;
    this.#timerAtMs = Number.POSITIVE_INFINITY;
    const nowMs = this.#clock.nowMs();
    let nextMs = Number.POSITIVE_INFINITY;
    for (const [sequence, pending] of this.#entries) {
      if (pending.deadlineMs <= nowMs) {
        this.#entries.delete(sequence);
        pending.expired();
      } else if (pending.deadlineMs < nextMs) nextMs = pending.deadlineMs;
    }
    if (nextMs < this.#timerAtMs) this.#arm(nextMs);
  }
}
