/**
 * How long a lease is kept when nobody uses it (docs/replicate.md, Leases). The marks of its changes stay as long, and who dies meanwhile is blamed for
 * them: so it is no longer than the pauses between its uses give reason for. Pure.
 */

/** Kept this long for a use that nothing yet tells of. */
const leastMs = 100;
/** Pauses are not all alike. */
const spare = 4;

/** `pauseMs`: between the last two uses of leases on the file; infinite if there was but one. Never more than `mostMs`. */
export function idleTime(pauseMs: number, mostMs: number): number {
  const expectedMs = pauseMs <= mostMs ? spare * pauseMs : 0;
  return Math.min(mostMs, Math.max(leastMs, expectedMs));
}
