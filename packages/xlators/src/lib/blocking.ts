/**
 * How long a synchronous call kept the event loop waiting for the disk. Time alone does not tell: on a busy machine a
 * call that never waited takes long because other processes have the processor. A call during which the thread never
 * gave up the processor (`Clock.waits`, where the process knows) was not held up by the disk.
 */
import type { Clock } from '@mortar/core';

/** Shorter calls are taken as they are: nobody calls them slow. */
const doubtfulMs = 1;

export interface Begun {
  readonly ms: number;
  readonly waits: number;
}

export function begin(clock: Clock): Begun {
  return { ms: clock.nowMs(), waits: clock.waits?.() ?? 0 };
}

/** Milliseconds since `begun` in which the disk may have kept this thread; 0 if it did not. */
export function blockedMs(clock: Clock, begun: Begun, nowMs: number): number {
  const ms = nowMs - begun.ms;
  return ms >= doubtfulMs && clock.waits !== undefined && clock.waits() === begun.waits ? 0 : ms;
}
