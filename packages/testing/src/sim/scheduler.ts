/**
 * Virtual time. Everything that happens is an event with an instant; events of one instant come in an order drawn from
 * the seed. Between two events all promises that can settle do, so a run depends on nothing but its seed.
 */
import type { Clock, Timer } from '@mortar/core';
import type { SeededRandom } from './random.ts';

interface Event {
  readonly atMs: number;
  readonly tie: number;
  readonly serial: number;
  run: (() => void) | null;
}

/** Wall-clock seconds at the begin of a run. */
const epochSec = 1_700_000_000;

export class Scheduler {
  readonly #random: SeededRandom;
  readonly #heap: Event[] = [];
  #serial = 0;
  nowMs = 0;
  /** Events run so far. */
  count = 0;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  after(ms: number, run: () => void): Timer {
    return this.at(this.nowMs + Math.max(0, ms), run);
  }

  at(atMs: number, run: () => void): Timer {
    const event: Event = { atMs, tie: this.#random.next32(), serial: this.#serial++, run };
    this.#push(event);
    return {
      cancel: () => {
        event.run = null;
      },
    };
  }

  /** Runs events until `done`; false if virtual time reached `limitMs` or nothing is left to happen. */
  async runUntil(done: () => boolean, limitMs: number): Promise<boolean> {
    await settle();
    while (!done()) {
      const event = this.#pop();
      if (!event) return false;
      if (!event.run) continue;
      if (event.atMs > limitMs) {
        this.#push(event);
        this.nowMs = limitMs;
        return false;
      }
      this.nowMs = event.atMs;
      this.count++;
      event.run();
      await settle();
    }
    return true;
  }

  /** `aheadMs`: by how much a clock is fast. */
  wall(aheadMs = 0) {
    const ms = this.nowMs + aheadMs;
    const sec = Math.floor(ms / 1000);
    return { sec: epochSec + sec, nsec: Math.floor((ms - sec * 1000) * 1e6) };
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(event, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): Event | undefined {
    const heap = this.#heap;
    const top = heap[0];
    const last = heap.pop();
    if (!top || !last || heap.length === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return top;
  }
}

function before(a: Event, b: Event): boolean {
  return a.atMs !== b.atMs ? a.atMs < b.atMs : a.tie !== b.tie ? a.tie < b.tie : a.serial < b.serial;
}

/** A macrotask of Node comes only when no microtask is left: all promises that could settle have. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** A process: its timers and messages stop with it, and wait while it is paused. */
export class SimNode {
  readonly name: string;
  readonly scheduler: Scheduler;
  isAlive = true;
  #pausedUntilMs = 0;
  readonly clock: Clock;

  /** `aheadMs`: by how much its clock is fast. */
  constructor(name: string, scheduler: Scheduler, aheadMs = 0) {
    this.name = name;
    this.scheduler = scheduler;
    this.clock = {
      nowMs: () => scheduler.nowMs,
      wall: () => scheduler.wall(aheadMs),
      after: (ms, callback) => this.after(ms, callback),
      sleep: (ms) => new Promise((resolve) => void this.after(ms, resolve)),
    };
  }

  after(ms: number, run: () => void): Timer {
    let cancelled = false;
    const fire = () => {
      if (cancelled || !this.isAlive) return;
      // What came while it was paused comes in the same order afterwards: equal instants would be shuffled.
      if (this.scheduler.nowMs < this.#pausedUntilMs) this.#backlog.push(fire);
      else run();
    };
    this.scheduler.after(ms, fire);
    return {
      cancel: () => {
        cancelled = true;
      },
    };
  }

  #backlog: (() => void)[] = [];

  get isPaused(): boolean {
    return this.scheduler.nowMs < this.#pausedUntilMs;
  }

  pause(ms: number): void {
    if (this.isPaused) return;
    this.#pausedUntilMs = this.scheduler.nowMs + ms;
    this.scheduler.at(this.#pausedUntilMs, () => this.#resume());
  }

  #resume(): void {
    const backlog = this.#backlog;
    this.#backlog = [];
    let delay = 0;
    for (const fire of backlog) this.scheduler.after(delay++ * 1e-6, fire);
  }
}
