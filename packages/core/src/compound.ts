/** Compounds: several operations of one request, done in order on one brick until one fails. */

import type { Call } from './call.ts';
import { Errno } from './errno.ts';
import type { RawReply, RawStep, Xdata } from './fields.ts';
import { type Args, type Fop, type FopName, type Fops, fail, type Reply } from './fops.ts';
import { withXdata } from './xdata.ts';

/** One step of a compound. */
export function compoundStep<N extends FopName>(fop: N, args: Args<N>): RawStep {
  return { fop, args };
}

/** The reply to step `index` of a compound whose step there was a `fop`; undefined if an earlier step ended it. */
export function replyOfStep<N extends FopName>(
  _fop: N,
  replies: readonly RawReply[],
  index: number,
): Reply<N> | undefined {
  return replies[index] as Reply<N> | undefined;
}

/**
 * Runs the steps in order on `ops` until one fails, or finds marks or neighbours where it wants none (`ifQuiet`): what compound means to
 * a subvolume that has no better way. EINVAL for a step `underGrant` without a lock before it.
 */
export async function runSteps(ops: Fops, call: Call, steps: readonly RawStep[]): Promise<Reply<'compound'>> {
  const replies: RawReply[] = [];
  let lock: Extract<Reply<'inodelk'>, { ok: true }> | undefined;
  for (const { fop, args: given } of steps) {
    const name = fop as FopName;
    const args = given as Args<FopName>;
    const { xdata } = args;
    const reply = await (xdata?.underGrant
      ? runUnder(lock?.fence, ops, name, call, args, xdata)
      : run(ops, name, call, args));
    replies.push(reply);
    if (!reply.ok) break;
    if (name === 'inodelk') lock = reply as typeof lock;
    else if (xdata?.ifQuiet && (lock?.xdata?.shared || isMarked(given as Args<'lookup'>, reply as Reply<'lookup'>)))
      break;
  }
  return { ok: true, replies };
}

function run(ops: Fops, name: FopName, call: Call, args: Args<FopName>): Promise<Reply<FopName>> {
  return (ops[name] as Fop<FopName>)(call, args);
}

function runUnder(
  fence: number | undefined,
  ops: Fops,
  name: FopName,
  call: Call,
  args: Args<FopName>,
  { underGrant: _, ...others }: Xdata,
): Promise<Reply<FopName>> {
  // Without its fence it would be done whoever has the lock.
  if (fence === undefined) return Promise.resolve(fail(Errno.EINVAL));
  return run(ops, name, call, withXdata({ ...args, xdata: others }, { fence }));
}

function isMarked({ want }: Args<'lookup'>, reply: Reply<'lookup'>): boolean {
  if (!reply.ok) return true;
  return (want ?? []).some((name) => reply.xattrs[name]?.some((byte) => byte !== 0));
}
