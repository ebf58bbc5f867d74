/** What the steps of a heal share: their surroundings and their results. */
import { Errno, type Failure, type Gfid } from '@mortar/core';
import { type Kind, kinds, type Matrix } from '../changelog.ts';
import type { Patience } from '../leases.ts';
import type { Replica } from '../replica.ts';
import { type Replies, successAt } from '../replica-set.ts';
import type { HealIndex } from './index-access.ts';

/** `healed`: nothing is pending any more. `again`: something was done, or is in use; worth another visit soon. */
export type HealResult =
  | { state: 'clean' | 'healed' | 'again' | 'gone' }
  | { state: 'split-brain'; kind: Kind | 'gfid' | 'type'; reason: string }
  | { state: 'waiting'; reason: string };

export interface HealContext {
  readonly replica: Replica;
  readonly index: HealIndex;
  readonly windowBytes: number;
  readonly algorithm: 'full' | 'diff' | 'auto';
  /** Compare and copy even where no mark is (full heal). */
  readonly full: boolean;
  /** Whether a file that a client is working on is waited for, before it is known that there is something to heal. */
  readonly patience: Patience;
  /** What the replicas said before this heal changed any of them. */
  readonly before?: Replies<'lookup'>;
  /** New objects made by entry heal, to be healed next. */
  readonly found: (gfid: Gfid) => void;
}

/** The lease could not be had. */
export function notLocked(failure: Failure, what: string): HealResult {
  if (failure.errno === Errno.EAGAIN) return { state: 'again' };
  return { state: 'waiting', reason: `${what}: errno ${failure.errno}` };
}

/** Nobody who is up may say what is right: see `Verdict.isAlone`. */
export const waitsForTheOther: HealResult = {
  state: 'waiting',
  reason: 'those that are there are all accused or were interrupted in a change, and one that may know better is away',
};

/** Whether the marks of one kind, and who blames whom, are as they were: nothing was missed meanwhile. */
export function sameMarks(a: Matrix, b: Matrix, kind: Kind): boolean {
  const at = kinds.indexOf(kind) as 0 | 1 | 2;
  return a.every((log, i) => {
    const other = b[i];
    if (!log || !other) return log === other;
    return log.dirty[at] === other.dirty[at] && log.blames.every((vector, j) => vector[at] === other.blames[j]![at]);
  });
}

/** Where all sources are in doubt each should have what was acknowledged: the newest, then the largest. */
export function newest(sources: readonly number[], replies: Replies<'lookup'>): number {
  const iatt = (child: number) => successAt(replies, child)!.iatt;
  const better = (a: number, b: number) =>
    iatt(a).ctime - iatt(b).ctime || iatt(a).ctimeNsec - iatt(b).ctimeNsec || iatt(a).size - iatt(b).size;
  return sources.reduce((best, child) => (better(child, best) > 0 ? child : best), sources[0]!);
}
