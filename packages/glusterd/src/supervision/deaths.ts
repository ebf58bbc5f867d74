/** How long what died is left dead: longer the more often it dies. Pure. */

const longestPauseMs = 60_000;
const withinMs = 600_000;
/** More make no difference to the pause. */
const rememberedMax = 16;

/** It died now: when it did lately. */
export function diedAt(nowMs: number, before: readonly number[]): number[] {
  return [...before.filter((at) => nowMs - at < withinMs), nowMs].slice(-rememberedMax);
}

/** After so many times in ten minutes: `firstMs`, and twice as long each time. */
export function pauseAfter(times: number, firstMs = 1000): number {
  return Math.min(firstMs * 2 ** (times - 1), longestPauseMs);
}
