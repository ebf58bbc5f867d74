/**
 * Entry operations say under which layout of its directory they place a name. A brick where it has changed refuses
 * (EREMCHG); then the directory is looked up anew and the operation tried once more (docs/distribute.md).
 */
import { type Call, Errno, type Failure, type Gfid, locOf, type Xdata } from '@mortar/core';
import { withClaim } from '../../lib/layout-claim.ts';
import { type Distribute, isFailure } from './distribute.ts';
import { encodeRange, type Layout } from './layout.ts';

/** Layouts change seldom: who is refused so often and read it anew each time meets a brick that is not as it is read. */
const refusalsMax = 3;

/** The arguments of an operation for the child that a name hashes to, with the layout that says so. */
export type Believe = <A extends { xdata?: Xdata }>(args: A) => A;

export interface Hashed {
  readonly child: number;
  readonly believe: Believe;
}

export const believesNothing: Believe = (args) => args;

/** The child that a name of this directory hashes to; `says` whether the operation there shall carry the layout. */
export async function hashedPlace(
  d: Distribute,
  call: Call,
  { parent, name }: { parent: Gfid | null; name: string | null },
  says: boolean,
): Promise<Hashed | Failure> {
  const child = await d.hashedOf(call, parent, name);
  if (isFailure(child)) return child;
  return { child, believe: says ? beliefIn(d, parent!)(child) : believesNothing };
}

/** What is believed now of the range that each child has in a directory. */
export function beliefIn(d: Distribute, directory: Gfid): (child: number) => Believe {
  const state = d.stateOf(directory);
  return state?.kind === 'directory' ? (child) => believing(d, state.layout, child) : () => believesNothing;
}

/** Says that the child has the range of the directory that the layout gives it. */
export function believing(d: Distribute, layout: Layout, child: number): Believe {
  const part = layout.parts[child]!;
  if (part.state !== 'range') return believesNothing;
  return (args) => withClaim(args, d.names.layout, encodeRange(part.range));
}

/** Runs until no brick refuses the layout of `parent`; the last time without saying what it is. */
export async function underLayout<R extends { ok: true }>(
  d: Distribute,
  call: Call,
  parent: Gfid | null,
  run: (says: boolean) => Promise<R | Failure>,
): Promise<R | Failure> {
  for (let refusals = 0; ; refusals++) {
    const reply = await run(refusals < refusalsMax);
    if (reply.ok || reply.errno !== Errno.EREMCHG || refusals === refusalsMax) return reply;
    const found = await d.ops.lookup(call, { loc: locOf(parent!) });
    if (!found.ok) return found;
  }
}
