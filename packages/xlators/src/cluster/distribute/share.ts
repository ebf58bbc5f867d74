/**
 * Which files one of several rebalance processes looks after: those that are where its node has bricks. A child whose bricks are on several
 * nodes is shared by their processes; the gfid says whose a file is, as in GlusterFS. Whoever starts the processes deals all children out.
 */
import type { Gfid } from '@mortar/core';
import type { Distribute } from './distribute.ts';
import { hash32 } from './hash.ts';

/** The own turn among so many. */
export interface Part {
  readonly turn: number;
  readonly of: number;
}

export interface Share {
  /** Whether anything on this child is the own process's. */
  has(child: number): boolean;
  isMine(child: number, gfid: Gfid): boolean;
}

/** Of the only process. */
export const everything: Share = { has: () => true, isMine: () => true };

/** Whether other processes move files of this volume, too. */
export function isShared({ options }: Distribute): boolean {
  return options['rebalance-share'] !== '';
}

/** Pure: whether a file is of this part of its child. */
export function isOfPart(gfid: Gfid, { turn, of }: Part): boolean {
  return of === 1 || hash32(gfid) % of === turn;
}

const partForm = /^(\d{1,5}):(\d{1,5})\/(\d{1,5})$/;

/**
 * `CHILD:TURN/OF,...` (option rebalance-share), children by their numbers from 0 on; those that are not in it are others'. Empty: everything.
 * Throws Error for what is no share of so many children.
 */
export function shareOf(text: string, children: number): Share {
  if (text === '') return everything;
  const parts = new Map<number, Part>();
  for (const one of text.split(',')) {
    const [child, turn, of] = partForm.exec(one)?.slice(1).map(Number) ?? [];
    if (child === undefined || turn === undefined || of === undefined || turn >= of)
      throw new Error(`rebalance-share: '${one}' is not CHILD:TURN/OF with a turn below the number of turns`);
    if (child >= children) throw new Error(`rebalance-share: there is no child ${child}`);
    if (parts.has(child)) throw new Error(`rebalance-share: child ${child} is there twice`);
    parts.set(child, { turn, of });
  }
  return {
    has: (child) => parts.has(child),
    isMine: (child, gfid) => {
      const part = parts.get(child);
      return part !== undefined && isOfPart(gfid, part);
    },
  };
}
