/** A compound that stays on one child goes there whole; any other is taken step by step. */
import {
  type Args,
  type Call,
  type Fd,
  Fd as FdClass,
  type FopName,
  type Gfid,
  type Loc,
  type RawStep,
  type Reply,
  runSteps,
} from '@mortar/core';
import type { Distribute } from './distribute.ts';

/** What needs nothing from distribute on a file whose child is known but to be sent there. */
const plain = new Set<FopName>([
  'stat',
  'fstat',
  'open',
  'readv',
  'writev',
  'flush',
  'fsync',
  'truncate',
  'ftruncate',
  'fallocate',
  'discard',
  'zerofill',
  'seek',
  'setattr',
  'fsetattr',
  'lk',
  'inodelk',
  'finodelk',
  'xattrop',
  'fxattrop',
  'rchecksum',
]);

export async function compound(d: Distribute, call: Call, args: Args<'compound'>): Promise<Reply<'compound'>> {
  const child = commonChild(d, args.steps);
  if (child === undefined || !d.isUp(child)) return runSteps(d.ops, call, args.steps);
  return d.children[child]!.compound(call, args);
}

function commonChild(d: Distribute, steps: readonly RawStep[]): number | undefined {
  let common: number | undefined;
  for (const step of steps) {
    if (!plain.has(step.fop as FopName)) return undefined;
    const gfid = subjectOf(step.args as { fd?: Fd; loc?: Loc });
    const state = gfid ? d.stateOf(gfid) : undefined;
    if (state?.kind !== 'file' || (common !== undefined && state.child !== common)) return undefined;
    common = state.child;
  }
  return common;
}

function subjectOf({ fd, loc }: { fd?: Fd; loc?: Loc }): Gfid | null {
  if (fd instanceof FdClass) return fd.gfid;
  return loc?.gfid ?? null;
}
