/**
 * Ends what has idled for a time, and all that is due within one notch together: their last requests then go out in the
 * same turn, so that a brick gets them with one read.
 */
import type { Clock, Timer } from '@mortar/core';

/** Something may idle longer than asked by up to this. */
const notchMs = 50;

export class IdleWheel<T> {
  readonly #clock: Pick<Clock, 'nowMs' | 'after'>;
  readonly #expire: (items: readonly T[]) => void;
  /** By the number of the notch at which they are due. */
  readonly #notches = new Map<number, Set<T>>();
  readonly #notchOf = new Map<T, number>();
  #timer: Timer | undefined;
  #next = Number.POSITIVE_INFINITY;

  constructor(clock: Pick<Clock, 'nowMs' | 'after'>, expire: (items: readonly T[]) => void) {
    this.#clock = clock;
    this.#expire = expire;
  }

  /** From now on it idles; it expires after `ms` unless it is stopped before. */
  start(item: T, ms: number): void {
    this.stop(item);
    const notch = Math.ceil((this.#clock.nowMs() + ms) / notchMs);
    const due = this.#notches.get(notch);
    if (due) due.add(item);
    else this.#notches.set(notch, new Set([item]));
    this.#notchOf.set(item, notch);
    if (notch < this.#next) this.#arm(notch);
  }

  stop(item: T): void {
    const notch = this.#notchOf.get(item);
    if (notch === undefined) return;
    this.#notchOf.delete(item);
    const due = this.#notches.get(notch)!;
    due.delete(item);
    if (due.size > 0) return;
    this.#notches.delete(notch);
    if (this.#notches.size === 0) this.#disarm();
  }

  #arm(notch: number): void {
    this.#timer?.cancel();
    this.#next = notch;
    this.#timer = this.#clock.after(Math.max(0, notch * notchMs - this.#clock.nowMs()), () => this.#turn());
  }

  #disarm(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#next = Number.POSITIVE_INFINITY;
  }

  #turn(): void {
    // A timer may come a little early.
    const now = Math.max(this.#next, Math.floor(this.#clock.nowMs() / notchMs));
    this.#disarm();
    const due = [...this.#notches].filter(([notch]) => notch <= now).flatMap(([, items]) => [...items]);
    for (const item of due) this.stop(item);
    if (this.#notches.size > 0) this.#arm(Math.min(...this.#notches.keys()));
    if (due.length > 0) this.#expire(due);
  }
}
