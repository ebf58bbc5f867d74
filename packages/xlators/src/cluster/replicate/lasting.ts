/**
 * A quorum may be made up with replicas that are to be healed. They have the change, but nobody would take it from them: it rests on those
 * that are believed. Where these are no quorum, what their machines lose with their power must not be it (docs/replicate.md).
 */
import { type Kind, kinds, type Matrix, shakenCount } from './changelog.ts';
import { judge, type Rules } from './judgement.ts';

/** Of `done`, which hold what is changed, those that are to have it on their disks before the caller hears of success. */
export function bearers(
  done: readonly number[],
  believed: readonly number[],
  suffice: (children: readonly number[]) => boolean,
): readonly number[] {
  const bearing = done.filter((child) => believed.includes(child));
  // Where all are believed nobody made up for others.
  return bearing.length === done.length || suffice(bearing) ? [] : bearing;
}

/** Of `children`, those that are known to have all that was acknowledged: nobody accuses them, and their machines lost nothing. */
export function wholeAmong(children: readonly number[], matrix: Matrix, kind: Kind, rules: Rules): number[] {
  const { sources, isDisputed } = judge(matrix, kind, rules);
  if (isDisputed) return [];
  const at = kinds.indexOf(kind) as 0 | 1 | 2;
  return children.filter((child) => sources.includes(child) && matrix[child]!.dirty[at] < shakenCount);
}
