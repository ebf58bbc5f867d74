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
import { asFile, isShutDown, movedAway } from './on-file.ts';

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
  const steps = args.steps.map(({ fop, args: given }) => ({ fop, args: asFile(d, fop as FopName, given) }));
  const reply = await d.children[child]!.compound(call, { ...args, steps });
  if (!reply.ok) return isShutDown(d, child, reply) ? runSteps(d.ops, call, args.steps) : reply;
  const at = reply.replies.findIndex((one) => isElsewhere(d, child, one as Reply<FopName>));
  if (at < 0) return reply;
  // The file was moved: from there on step by step, where it is now.
  const rest = await runSteps(d.ops, call, args.steps.slice(at));
  return rest.ok ? { ...rest, replies: [...reply.replies.slice(0, at), ...rest.replies] } : rest;
}

function isElsewhere(d: Distribute, child: number, reply: Reply<FopName>): boolean {
  return movedAway(reply) || isShutDown(d, child, reply);
}

function commonChild(d: Distribute, steps: readonly RawStep[]): number | undefined {
  let common: number | undefined;
  for (const step of steps) {
    if (!plain.has(step.fop as FopName)) return undefined;
    const { fd } = step.args as { fd?: Fd };
    const opened = fd instanceof FdClass ? d.fdState(fd) : undefined;
    const gfid = subjectOf(step.args as { fd?: Fd; loc?: Loc });
    const state = gfid ? d.stateOf(gfid) : undefined;
    if (opened && (opened.again || (state?.kind === 'file' && opened.child !== state.child))) return undefined;
    if (state?.kind !== 'file' || (common !== undefined && state.child !== common)) return undefined;
    common = state.child;
  }
  return common;
}

function subjectOf({ fd, loc }: { fd?: Fd; loc?: Loc }): Gfid | null {
  if (fd instanceof FdClass) return fd.gfid;
  return loc?.gfid ?? null;
}
