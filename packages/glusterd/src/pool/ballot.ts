/** Ballots: the order in which promises bind. */
import type { Ballot } from './types.ts';

/** Rounds stay far below what a number holds exactly; one that comes from outside and is higher is refused. */
export const maxRound = 2 ** 48;

/** Negative, 0 or positive; null is below all. */
export function compareBallots(a: Ballot | null, b: Ballot | null): number {
  if (a === null || b === null) return (a === null ? 0 : 1) - (b === null ? 0 : 1);
  if (a.round !== b.round) return a.round - b.round;
  return a.node === b.node ? 0 : a.node < b.node ? -1 : 1;
}

export function sameBallot(a: Ballot | null, b: Ballot | null): boolean {
  return compareBallots(a, b) === 0;
}
