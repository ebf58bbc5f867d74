import type { Clock, Fd, Subvolume } from '@mortar/core';

/** A graph in use: it may be ended when no request is under way in it and nothing is open on it. */
export class ServedGraph {
  readonly top: Subvolume;
  /** Whether nobody in it goes on using the data of a read, or of a write, that was answered (docs/payloads.md). */
  readonly returnsReads: boolean;
  readonly returnsWrites: boolean;
  #inFlight = 0;
  #idle: (() => void) | null = null;
  /** Fds that moved to a newer graph; requests under way may still use them. */
  readonly retired: Fd[] = [];
  /** Ends lock waits, so that they can begin again on the newer graph. */
  readonly left = new AbortController();

  constructor(top: Subvolume) {
    this.top = top;
    const keeps = top.xlator?.keeps ?? 'all';
    this.returnsReads = keeps !== 'all';
    this.returnsWrites = keeps === 'nothing';
  }

  begin(): void {
    this.#inFlight++;
  }

  end(): void {
    if (--this.#inFlight === 0) this.#idle?.();
  }

  /** Resolves when the last request has ended; then the retired fds are released. */
  async drained(): Promise<void> {
    if (this.#inFlight > 0) await new Promise<void>((resolve) => (this.#idle = resolve));
    for (const fd of this.retired.splice(0)) fd.release();
  }
}

/** Which graph serves. Requests that come before the first one wait for it, a bounded time. */
export class Graphs {
  readonly #clock: Clock;
  readonly #waitMs: number;
  current: ServedGraph | null = null;
  #waiting: ((graph: ServedGraph | null) => void)[] = [];
  #ended = false;

  constructor(clock: Clock, waitMs: number) {
    this.#clock = clock;
    this.#waitMs = waitMs;
  }

  /** The graph, or null if none came in time. */
  wait(): Promise<ServedGraph | null> {
    if (this.current || this.#ended) return Promise.resolve(this.current);
    return new Promise((resolve) => {
      const timer = this.#clock.after(this.#waitMs, () => done(null));
      const done = (graph: ServedGraph | null) => {
        timer.cancel();
        this.#waiting = this.#waiting.filter((other) => other !== done);
        resolve(graph);
      };
      this.#waiting.push(done);
    });
  }

  /** Makes `top` the one that serves; the one before, or null. */
  set(top: Subvolume): ServedGraph | null {
    const before = this.current;
    this.current = new ServedGraph(top);
    for (const wake of [...this.#waiting]) wake(this.current);
    return before;
  }

  /** No graph will come any more. */
  end(): void {
    this.#ended = true;
    for (const wake of [...this.#waiting]) wake(null);
  }
}
