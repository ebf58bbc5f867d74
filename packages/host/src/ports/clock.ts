import type { Clock, Timer, Timespec } from '@mortar/core';

/** The machine's clocks. */
export class SystemClock implements Clock {
  waits?: () => number;

  nowMs(): number {
    return performance.now();
  }

  wall(): Timespec {
    const ms = performance.timeOrigin + performance.now();
    // timeOrigin is taken once; a clock set since then is followed through Date.
    const drift = Date.now() - ms;
    const exact = Math.abs(drift) > 2 ? ms + drift : ms;
    const sec = Math.floor(exact / 1000);
    return { sec, nsec: Math.floor((exact - sec * 1000) * 1e6) };
  }

  after(ms: number, callback: () => void): Timer {
    const timer = setTimeout(callback, ms);
    return { cancel: () => clearTimeout(timer) };
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, ms));
  }
}
