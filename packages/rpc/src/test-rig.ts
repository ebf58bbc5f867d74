/** For the tests of this package: time that stands until moved, chance that repeats, counters that can be read. */
import type { Call } from '@mortar/core/call.ts';
import type { Clock, Log, Metrics, Random } from '@mortar/core/ports.ts';

export class ManualClock implements Clock {
  #nowMs = 0;
  #timers: { atMs: number; callback: () => void }[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  wall() {
    return { sec: 1_800_000_000 + Math.floor(this.#nowMs / 1000), nsec: (this.#nowMs % 1000) * 1e6 };
  }

  after(ms: number, callback: () => void) {
    const timer = { atMs: this.#nowMs + ms, callback };
    this.#timers.push(timer);
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((other) => other !== timer);
      },
    };
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.after(ms, resolve));
  }

  /** The process was stopped: time is later, and no timer has run. */
  jump(ms: number): void {
    this.#nowMs += ms;
  }

  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    for (;;) {
      const due = this.#timers.filter((t) => t.atMs <= untilMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (!due) break;
      this.#timers = this.#timers.filter((t) => t !== due);
      this.#nowMs = Math.max(this.#nowMs, due.atMs);
      due.callback();
      await settle();
    }
    this.#nowMs = untilMs;
    await settle();
  }
}

/** Lets everything run that waits for no time and no socket. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
}

export function seededRandom(seed = 1): Random {
  let state = seed;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state;
  };
  return {
    bytes: (count) => Uint8Array.from({ length: count }, () => next() >>> 24),
    integer: (below) => Math.floor((next() / 2 ** 32) * below),
  };
}

export class CountingMetrics implements Metrics {
  readonly counts = new Map<string, number>();

  counter(name: string, labels: Record<string, string> = {}) {
    const key = [name, ...Object.values(labels)].join(':');
    return { add: (amount = 1) => void this.counts.set(key, (this.counts.get(key) ?? 0) + amount) };
  }

  histogram() {
    return { record: () => undefined };
  }

  /** Sum of all counters whose name starts so. */
  sum(prefix: string): number {
    return [...this.counts].reduce((sum, [name, count]) => (name.startsWith(prefix) ? sum + count : sum), 0);
  }
}

export class LinesLog implements Log {
  readonly level = 'TRACE';
  readonly lines: string[] = [];

  setLevel(): void {}

  write(level: string, origin: string, text: string): void {
    this.lines.push(`${level} ${origin}: ${text}`);
  }
}

export const someCall: Call = {
  uid: 1000,
  gid: 100,
  groups: [4, 5],
  pid: 77,
  lockOwner: '00ff',
  clientId: 'not sent',
  time: { sec: 1_700_000_000, nsec: 5 },
};
