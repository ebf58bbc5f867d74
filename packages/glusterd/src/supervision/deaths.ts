/** How long what died is left dead: longer the more often it dies. Pure. */

const firstPauseMs = 1000;
const longestPauseMs = 60_000;
const withinMs = 600_000;
/** More make no difference to the pause. */
const rememberedMax = 16;

/** It died now: when it did lately. */
export function diedAt(nowMs: number, before: readonly number[]): number[] {
  return [...before.filter((at) => nowMs - at < withinMs), nowMs].slice(-rememberedMax);
}

/** After so many times in ten minutes. */
export function pauseAfter(times: number): number {
  return Math.min(firstPauseMs * 2 ** (times - 1), longestPauseMs);
}
