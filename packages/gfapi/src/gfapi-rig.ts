/** For tests: volumes over a graph in this process, and a clock that knows which timers there are. */
import type { Clock, Timer } from '@mortar/core';
import { SystemClock } from '@mortar/host';
import { type ConnectOptions, connect } from './connect.ts';
import type { Volume } from './volume.ts';

export const memoryVolfile = `volume files
    type storage/memory
    option size 4GB
end-volume

volume locks
    type features/locks
    subvolumes files
end-volume
`;

/** As a volume has it: permissions are checked. */
export const checkedVolfile = `${memoryVolfile}
volume access
    type features/access-control
    subvolumes locks
end-volume
`;

export class CountingClock implements Clock {
  readonly #clock = new SystemClock();
  readonly running = new Set<Timer>();

  nowMs(): number {
    return this.#clock.nowMs();
  }

  wall() {
    return this.#clock.wall();
  }

  after(ms: number, callback: () => void): Timer {
    const inner = this.#clock.after(ms, () => {
      this.running.delete(timer);
      callback();
    });
    const timer = {
      cancel: () => {
        this.running.delete(timer);
        inner.cancel();
      },
    };
    this.running.add(timer);
    return timer;
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.after(ms, resolve));
  }
}

export function inMemory(options: ConnectOptions = {}): Promise<Volume> {
  return connect({ volfile: { text: memoryVolfile }, uid: 0, gid: 0, ...options });
}

/** The code of the error that a call ends with; `ok` if it does not. */
export function codeOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'ok',
    (error: NodeJS.ErrnoException) => error.code ?? error.name,
  );
}
