/** Attributes and xattrs of directories: the deciding copy first, then the others at once (docs/distribute.md). */
import {
  type Args,
  type Call,
  Errno,
  type Failure,
  type Fop,
  fail,
  type Gfid,
  locOf,
  type Reply,
  rootGfid,
  type Subvolume,
  type Success,
} from '@mortar/core';
import { blockEpochXattr } from '../../lib/block-device.ts';
import { type Distribute, isFailure } from './distribute.ts';
import { withLayout } from './locks.ts';
import { encodeCounter } from './mds.ts';
import { mergeDirectoryIatts } from './merge.ts';
import { isInternalXattr } from './names.ts';
import { isLacking, type OnDirectory } from './on-file.ts';
import { noteAhead } from './root-ahead.ts';
import type { DirectoryState } from './state.ts';

type AttrFop = 'setattr' | 'fsetattr';
type XattrFop = 'setxattr' | 'removexattr' | 'fsetxattr' | 'fremovexattr';

/** The child whose copy decides; for the root and for unmarked directories the lock child stands in. */
async function deciding(d: Distribute, call: Call, state: DirectoryState, gfid: Gfid): Promise<number | Failure> {
  if (state.mds !== undefined) return d.isUp(state.mds) ? state.mds : fail(Errno.ENOTCONN);
  const inode = d.services.inodes.find(gfid);
  if (gfid !== rootGfid && inode?.parent && inode.name !== null) return d.hashedOf(call, inode.parent, inode.name);
  // Which copy decides is not known: it may be the one that is away.
  if (gfid !== rootGfid && d.someDown) return fail(Errno.ENOTCONN);
  const up = d.indices.find((i) => d.isUp(i));
  return up ?? fail(Errno.ENOTCONN);
}

export function setDirectoryAttr<N extends AttrFop>(fop: N): OnDirectory<N> {
  return async (d, call, args, state, gfid) => {
    const first = await deciding(d, call, state, gfid);
    if (isFailure(first)) return first;
    if (gfid !== rootGfid) return onCopies(d, call, fop, args, first, gfid);
    // Heal of the root has the same lock, and does not bring back what was there before.
    return (await withLayout(d, call, [first], gfid, () => onCopies(d, call, fop, args, first, gfid))) as Reply<N>;
  };
}

async function onCopies<N extends AttrFop>(
  d: Distribute,
  call: Call,
  fop: N,
  args: Args<N>,
  first: number,
  gfid: Gfid,
): Promise<Reply<N>> {
  const ask = (child: Subvolume) => (child[fop] as Fop<N>)(call, args);
  const decided = await ask(d.children[first]!);
  if (!decided.ok) return decided;
  const others = d.indices.filter((i) => i !== first);
  const rest = await d.ask(others, ask);
  // What a child missed is found by comparing with the deciding copy at the next lookup.
  if (gfid === rootGfid && rest.some((reply) => !reply.ok)) {
    const failed = await noteAhead(d, call, [first, ...others.filter((_, i) => rest[i]!.ok)]);
    if (failed) return failed;
  }
  const good = [decided, ...rest.filter((reply) => reply.ok)] as Success<AttrFop>[];
  return {
    ...decided,
    pre: mergeDirectoryIatts(good.map((reply) => reply.pre)),
    post: mergeDirectoryIatts(good.map((reply) => reply.post)),
  } as Reply<N>;
}

export function changeDirectoryXattr<N extends XattrFop>(fop: N): OnDirectory<N> {
  return async (d, call, args, state, gfid) => {
    if (!call.internal && namesOf(args).some(isInternalXattr)) return fail(Errno.EPERM);
    const first = await deciding(d, call, state, gfid);
    if (isFailure(first)) return first;
    if (gfid === rootGfid) return onRoot(d, call, fop, args, first);
    const done = await withLayout(d, call, [first], gfid, () => counted(d, call, fop, args, first, gfid));
    return done as Reply<N>;
  };
}

export function namesOf(args: Args<'setxattr'> | Args<'removexattr'> | object): string[] {
  const { xattrs, name } = args as { xattrs?: object; name?: string };
  return xattrs ? Object.keys(xattrs) : name === undefined ? [] : [name];
}

/** The counter goes below zero with the change and back when all have it: a lookup in between, or after, heals. */
async function counted<N extends XattrFop>(
  d: Distribute,
  call: Call,
  fop: N,
  args: Args<N>,
  first: number,
  gfid: Gfid,
): Promise<Reply<N>> {
  const own = d.ownCall(call);
  const count = (by: number): Args<'xattrop'> => ({
    loc: locOf(gfid),
    operation: 'add32',
    values: { [d.names.mds]: encodeCounter(by) },
  });
  const begun = await d.children[first]!.xattrop(own, count(-1));
  if (!begun.ok) return begun;
  const reply = await onEveryCopy(d, call, fop, args, first, d.indices, async () => {
    await d.children[first]!.xattrop(own, count(1));
  });
  return reply;
}

/** Heal of the root has the same lock, and does not bring back what was there before. */
async function onRoot<N extends XattrFop>(
  d: Distribute,
  call: Call,
  fop: N,
  args: Args<N>,
  first: number,
): Promise<Reply<N>> {
  const done = await withLayout(d, call, [first], rootGfid, () => {
    const missed = (having: readonly number[]) => noteAhead(d, call, having);
    return onEveryCopy(d, call, fop, args, first, d.indices, undefined, missed);
  });
  return done as Reply<N>;
}

/** `settled` runs when every copy has it, or when none has; `unsettled` when some have. */
async function onEveryCopy<N extends XattrFop>(
  d: Distribute,
  call: Call,
  fop: N,
  args: Args<N>,
  first: number,
  among: readonly number[],
  settled: () => Promise<void> = async () => {},
  unsettled: (having: readonly number[]) => Promise<Failure | undefined> = async () => undefined,
): Promise<Reply<N>> {
  const ask = (child: Subvolume) => (child[fop] as Fop<N>)(call, args);
  const decided = await ask(d.children[first]!);
  if (!decided.ok) {
    await settled();
    return decided;
  }
  const others = among.filter((i) => i !== first);
  const rest = await d.ask(others, ask);
  const hasMissed = (reply: Reply<N>) => !reply.ok && !(isRemoval(fop) && reply.errno === Errno.ENODATA);
  const missed = rest.filter(hasMissed);
  if (missed.length === 0) await settled();
  else {
    const failed = await unsettled([first, ...others.filter((_, i) => !hasMissed(rest[i]!))]);
    if (failed) return failed;
  }
  // The epoch of a block device keeps its former holder out only where it is.
  const isNeeded = namesOf(args).includes(blockEpochXattr);
  const refused = missed.find((reply) => isNeeded || !isLacking(reply));
  return refused && !refused.ok ? refused : decided;
}

function isRemoval(fop: XattrFop): boolean {
  return fop === 'removexattr' || fop === 'fremovexattr';
}
