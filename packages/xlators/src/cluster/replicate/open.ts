/**
 * Opening files. To be read a file is opened on so many replicas that each acknowledged write is on one of them: what these
 * agree on is as good as what all would. For anything else it is opened on all that are up.
 */
import type { Args, Call, Fd, Gfid, Iatt, Loc, Reply, Xdata } from '@mortar/core';
import { openFlag } from './open-flags.ts';
import type { Replica } from './replica.ts';
import { failureOf, type Replies, succeeded, successAt } from './replica-set.ts';

/** What an fd carries that is open on some replicas only. */
interface OpenToRead {
  readonly on: readonly number[];
  readonly loc: Loc;
  readonly opener: Pick<Call, 'uid' | 'gid' | 'groups'>;
  /** Opening it on the others is under way. */
  completing?: Promise<void>;
}

export async function open(replica: Replica, call: Call, args: Args<'open'>): Promise<Reply<'open'>> {
  const { contents: _wanted, ...plain } = args;
  if (isKnownUnreadable(replica, call, args.fd.gfid)) {
    const clean = await replica.cleanChildren(args.fd.gfid, 'data', call);
    if ('errno' in clean) return clean;
  }
  if ((args.flags & openFlag.O_TRUNC) !== 0) return openTruncating(replica, call, plain);
  const { set } = replica;
  const few = fewToRead(replica, call, args);
  const { asked } = replica;
  const first = few ? await openOn(replica, few, call, args) : [];
  if (few?.every((child) => first[child]?.ok)) {
    const { uid, gid, groups } = call;
    args.fd.slots[replica.slot] = { on: few, loc: args.loc, opener: { uid, gid, groups } } satisfies OpenToRead;
    const reply = agreed(replica, args.fd, first);
    if (!reply.iatt || replica.contexts.isDoubted(args.fd.gfid, asked.doubts)) return reply;
    const data = successAt(first, few[0]!)?.data;
    return { ...(data && { data }), ...reply, ...delegation(few, first) };
  }
  const rest = set.up.filter((child) => !first[child]);
  const others = await set.wind(rest, 'open', call, () => plain);
  const replies = set.children.map((_, child) => first[child] ?? others[child]);
  return succeeded(replies).length > 0 ? agreed(replica, args.fd, replies) : failureOf(replies);
}

/** Each acknowledged change is made by one of those that it was opened on: if all of them ask before, nobody goes unasked. */
function delegation(few: readonly number[], replies: Replies<'open'>): { xdata?: Xdata } {
  const promised = few.map((child) => successAt(replies, child)?.xdata?.delegatedMs ?? 0);
  const delegatedMs = Math.min(...promised);
  return delegatedMs > 0 ? { xdata: { delegatedMs } } : {};
}

/** A file that is known to be in split-brain is not opened, as in GlusterFS: an empty one would pass for one that can be read. */
function isKnownUnreadable(replica: Replica, call: Call, gfid: Gfid): boolean {
  const context = call.internal ? undefined : replica.contexts.find(gfid);
  if (!context || context.generation !== replica.set.generation) return false;
  return replica.servers(gfid, 'data', context).length === 0;
}

/** For what is not read through it: locks end with an fd only where it is open. */
export async function openEverywhere(replica: Replica, call: Call, fd: Fd): Promise<void> {
  const state = fd.slots[replica.slot] as OpenToRead | undefined;
  if (!state) return;
  state.completing ??= complete(replica, { ...call, ...state.opener }, fd, state);
  await state.completing;
}

/** Where it cannot be opened it is served by gfid, as on a replica that was away. */
async function complete(replica: Replica, call: Call, fd: Fd, { loc, on }: OpenToRead): Promise<void> {
  const rest = replica.set.up.filter((child) => !on.includes(child));
  await replica.set.wind(rest, 'open', call, () => ({ loc, flags: fd.flags, fd }));
  fd.slots[replica.slot] = undefined;
}

/** O_TRUNC changes data, so it is a transaction of its own after the open. */
async function openTruncating(replica: Replica, call: Call, args: Args<'open'>): Promise<Reply<'open'>> {
  const flags = args.flags & ~openFlag.O_TRUNC;
  const replies = await replica.set.wind(replica.set.up, 'open', call, () => ({ ...args, flags }));
  if (succeeded(replies).length === 0) return failureOf(replies);
  const cut = await replica.transactions.run({
    fop: 'ftruncate',
    call,
    kind: 'data',
    under: [args.fd.gfid],
    fd: args.fd,
    claims: [[{ start: 0, end: Number.POSITIVE_INFINITY }]],
    args: () => ({ fd: args.fd, size: 0 }),
  });
  return 'errno' in cut ? cut : { ok: true };
}

/**
 * The fewest replicas without which there is no quorum, the one to read from first. Undefined: all are needed, or it is not
 * known who may be read.
 */
function fewToRead(replica: Replica, call: Call, { fd, flags }: Args<'open'>): readonly number[] | undefined {
  const { set, contexts } = replica;
  if (call.internal || (flags & openFlag.O_ACCMODE) !== openFlag.O_RDONLY) return undefined;
  const context = contexts.find(fd.gfid);
  if (!context || context.generation !== set.generation) return undefined;
  const readers = replica.servers(fd.gfid, 'data', context);
  if (readers.length === 0) return undefined;
  const order = [...readers, ...set.up.filter((child) => !readers.includes(child))];
  for (let count = 1; count < order.length; count++) {
    const few = order.slice(0, count);
    if (!set.suffices(set.children.flatMap((_, child) => (few.includes(child) ? [] : [child])))) return few;
  }
  return undefined;
}

/** Who hangs is found out as for reads: a quorum's answer is not waited for, which all of these are needed for. */
async function openOn(
  replica: Replica,
  few: readonly number[],
  call: Call,
  args: Args<'open'>,
): Promise<Replies<'open'>> {
  const { contents: _wanted, ...plain } = args;
  const replies: Replies<'open'> = [];
  await Promise.all(
    few.map(async (child, i) => {
      replies[child] = await replica.set.ask(child, 'open', call, i === 0 ? args : plain);
    }),
  );
  return replies;
}

/**
 * With the file's attributes where all that have opened it agree on its contents. Where they do not, one of them may have missed
 * something that nobody has told of yet: who may be read is asked anew.
 */
function agreed(replica: Replica, fd: Fd, replies: Replies<'open'>): { ok: true; iatt?: Iatt } {
  const holders = succeeded(replies).filter((child) => replica.set.holdsData(child));
  const [first, ...rest] = holders.map((child) => successAt(replies, child)!.iatt);
  if (first && rest.every((other) => other && isAlike(other, first))) {
    // Contents may be alike where owner and mode are not.
    const about = replica.rightAbout(fd.gfid);
    const right = holders.find((child) => about?.metadata.includes(child));
    return right === undefined ? { ok: true } : { ok: true, iatt: successAt(replies, right)!.iatt! };
  }
  const context = replica.contexts.find(fd.gfid);
  if (context && rest.some((other) => !other || !first || differs(other, first))) context.generation = 0;
  return { ok: true };
}

/** More than bricks do that take the time of a write from their own clocks. */
function differs(one: Iatt, other: Iatt): boolean {
  return one.size !== other.size || one.mtime !== other.mtime;
}

function isAlike(one: Iatt, other: Iatt): boolean {
  return one.size === other.size && one.mtime === other.mtime && one.mtimeNsec === other.mtimeNsec;
}
