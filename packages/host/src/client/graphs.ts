import { type Clock, Errno, type Fd, type Subvolume, type Xlator } from '@mortar/core';

/** A graph in use: it may be ended when no request is under way in it and nothing is open on it. */
export class ServedGraph {
  readonly top: Subvolume;
  /** Whether nobody in it goes on using the data of a read, or of a write, that was answered (docs/payloads.md). */
  readonly returnsReads: boolean;
  readonly returnsWrites: boolean;
  /** Whether lent data of a write may be given back then: who still uses it has said so. */
  readonly returnsLent: boolean;
  #inFlight = 0;
  #idle: (() => void)[] = [];
  /** Fds that moved to a newer graph; requests under way may still use them. Null: nothing is under way any more. */
  #retired: Fd[] | null = [];
  /** Ends lock waits, so that they can begin again on the newer graph. */
  readonly left = new AbortController();

  constructor(top: Subvolume) {
    this.top = top;
    const keeps = top.xlator?.keeps ?? 'all';
    this.returnsReads = keeps !== 'all';
    this.returnsWrites = keeps === 'nothing';
    this.returnsLent = keeps === 'nothing' || keeps === 'retained';
  }

  begin(): void {
    this.#inFlight++;
  }

  end(): void {
    if (--this.#inFlight === 0 && this.#idle.length > 0) for (const wake of this.#idle.splice(0)) wake();
  }

  /** A request failed. If that was for want of a child it is tried again now: the next request finds it, if it is there. */
  failed(errno: number): void {
    if (errno === Errno.ENOTCONN) this.top.xlator?.notify({ type: 'child-wanted' }, null);
  }

  /** Has nothing answered ahead any more, but in what `next` goes on with; what must be waited for until all that was is done. */
  settle(next: Subvolume): Promise<void>[] {
    const staying = xlatorsOf(next);
    return [...xlatorsOf(this.top)].flatMap((xlator) => (staying.has(xlator) ? [] : (xlator.settle() ?? [])));
  }

  /** The errno of what was answered ahead for an open file, has failed, and was not told yet. */
  untold(fd: Fd): Errno | null {
    for (const xlator of xlatorsOf(this.top)) {
      const errno = xlator.untold(fd);
      if (errno !== null) return errno;
    }
    return null;
  }

  /** Resolves when the last request has ended. */
  async idle(): Promise<void> {
    if (this.#inFlight > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  /** An fd that has moved to a newer graph: requests under way may still use it. */
  retire(fd: Fd): void {
    if (this.#retired) this.#retired.push(fd);
    else fd.release();
  }

  /** Nothing is under way any more, nor will be. */
  release(): void {
    const retired = this.#retired ?? [];
    this.#retired = null;
    for (const fd of retired) fd.release();
  }
}

/** All below and including the top, parents first. */
function xlatorsOf({ xlator: top }: Subvolume): Set<Xlator> {
  const all = new Set<Xlator>();
  const add = (xlator: Xlator) => {
    if (all.has(xlator)) return;
    all.add(xlator);
    for (const child of xlator.children) add(child.xlator);
  };
  if (top) add(top);
  return all;
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
