/** The root has no copy that decides. Those that have a change of its owner, mode or xattrs which another copy missed say so, and heal goes by them. */
import { type Call, type Failure, locOf, rootGfid } from '@mortar/core';
import type { Distribute } from './distribute.ts';
import type { Found } from './lookup.ts';
import { decodeCounter, encodeCounter } from './mds.ts';

export function aheadBy(d: Distribute, { xattrs }: Found): number {
  return decodeCounter(xattrs[d.names.ahead]);
}

/** Those of `present` that missed least of what others missed; none, if nobody missed anything. */
export function aheadOf(d: Distribute, present: readonly number[], at: (i: number) => Found): readonly number[] {
  const most = Math.max(...present.map((i) => aheadBy(d, at(i))));
  return most > 0 ? present.filter((i) => aheadBy(d, at(i)) === most) : [];
}

/** Before the caller hears of the change that these children have, and others not. */
export async function noteAhead(d: Distribute, call: Call, children: readonly number[]): Promise<Failure | undefined> {
  const values = { [d.names.ahead]: encodeCounter(1) };
  const args = { loc: locOf(rootGfid), operation: 'add32', values } as const;
  const noted = await d.ask(children, (child) => child.xattrop(d.ownCall(call), args));
  const failed = noted.find((reply) => !reply.ok);
  return failed && !failed.ok ? failed : undefined;
}
