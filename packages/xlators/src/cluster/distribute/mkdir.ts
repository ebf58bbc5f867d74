/** mkdir: on the child that the name hashes to first (it decides), then on the rest at once, each with its range. */
import {
  type Args,
  type Call,
  Errno,
  type Failure,
  type Fop,
  fail,
  locAt,
  locOf,
  type Reply,
  type Success,
  type Xattrs,
} from '@mortar/core';
import { type Distribute, isFailure } from './distribute.ts';
import { healNow } from './heal.ts';
import { encodeRange, layoutOf, ownsNames, type Part, type Range } from './layout.ts';
import { withLayout } from './locks.ts';
import { askArgs, type Found, isDirectory } from './lookup.ts';
import { encodeCounter } from './mds.ts';
import { mergeDirectoryIatts } from './merge.ts';
import { childPath, newRanges } from './new-layout.ts';
import { hashedPlace, underLayout } from './under-layout.ts';

type MkdirReply = Reply<'mkdir'>;

export async function mkdir(d: Distribute, call: Call, args: Args<'mkdir'>): Promise<MkdirReply> {
  return underLayout(d, call, args.loc.parent, (says) => mkdirUnder(d, call, args, says));
}

async function mkdirUnder(d: Distribute, call: Call, args: Args<'mkdir'>, says: boolean): Promise<MkdirReply> {
  const { loc, gfid } = args;
  const place = await hashedPlace(d, call, loc, says);
  if (isFailure(place)) return place;
  const { child: hashed, believe } = place;
  const path = childPath(d, loc.parent!, loc.name!);
  const ranges = await newRanges(d, gfid, path, d.newCommit);
  const argsFor = (i: number): Args<'mkdir'> => ({
    ...args,
    initial: initialOf(d, args.initial, ranges[i]!, i === hashed),
  });
  const first = await makeFirst(d, call, hashed, believe(argsFor(hashed)));
  if (!first.ok) return first;
  const others = d.indices.filter((i) => i !== hashed);
  const rest = await d.ask(others, (child, i) => makeOther(d, call, child.mkdir, i, argsFor(i)));
  const replies: MkdirReply[] = [...rest];
  replies.splice(hashed, 0, first);
  const made = (i: number) => replies[i]!.ok;
  const isWhole = d.indices.every((i) => made(i) || !ranges[i]!.stop);
  const written = isWhole ? ranges : await rewrite(d, call, args, ranges, made);
  if (written) learn(d, args, hashed, written, made);
  // Somebody else lays it out, or has done so, or nobody has wholly: a lookup tells, and heals it.
  else await d.ops.lookup(d.ownCall(call), { loc: locAt(loc.parent!, loc.name!) });
  const order = [hashed, ...others.filter(made)].map((i) => replies[i] as Success<'mkdir'>);
  return {
    ...first,
    iatt: mergeDirectoryIatts(order.map((reply) => reply.iatt)),
    preParent: mergeDirectoryIatts(order.map((reply) => reply.preParent)),
    postParent: mergeDirectoryIatts(order.map((reply) => reply.postParent)),
  };
}

function initialOf(d: Distribute, initial: Xattrs | undefined, range: Range, decides: boolean): Xattrs {
  const marks: Xattrs = { ...initial, [d.names.layout]: encodeRange(range) };
  if (decides) marks[d.names.mds] = encodeCounter(0);
  return marks;
}

/** The name may be taken by a linkto that leads nowhere; a lookup removes it. */
async function makeFirst(d: Distribute, call: Call, hashed: number, args: Args<'mkdir'>): Promise<MkdirReply> {
  const reply = await d.children[hashed]!.mkdir(call, args);
  if (reply.ok || (reply.errno !== Errno.EEXIST && reply.errno !== Errno.ENOENT && reply.errno !== Errno.ESTALE))
    return reply;
  if (reply.errno === Errno.EEXIST) {
    const found = await d.ops.lookup(call, { loc: locAt(args.loc.parent!, args.loc.name!) });
    if (found.ok || found.errno !== Errno.ENOENT) return reply;
  } else {
    // The parent may be missing on this child only; a lookup of it heals that.
    if (!(await healNow(d, call, args.loc.parent!))) return reply;
  }
  return d.children[hashed]!.mkdir(call, args);
}

/** On another child the name may be taken by what an interrupted rmdir left; an empty leftover gives way. */
async function makeOther(
  d: Distribute,
  call: Call,
  make: Fop<'mkdir'>,
  child: number,
  args: Args<'mkdir'>,
): Promise<MkdirReply | Failure> {
  const reply = await make(call, args);
  if (reply.ok || reply.errno !== Errno.EEXIST) return reply;
  const own = d.ownCall(call);
  const at = locAt(args.loc.parent!, args.loc.name!);
  const there = await d.children[child]!.lookup(own, askArgs(d, { loc: at }));
  if (!isDirectory(there)) return reply;
  if (there.iatt.gfid === args.gfid) {
    const set = await d.children[child]!.setxattr(own, { loc: locOf(args.gfid), xattrs: args.initial ?? {}, flags: 0 });
    const { iatt, postParent } = there;
    return set.ok ? { ok: true, iatt, preParent: postParent, postParent } : set;
  }
  const removed = await d.children[child]!.rmdir(own, { loc: { ...at, gfid: there.iatt.gfid }, recursive: false });
  if (removed.ok) return make(call, args);
  d.warn(`mkdir ${args.loc.parent}/${args.loc.name}: another directory of that name is on ${d.childName(child)}`);
  return fail(Errno.EEXIST);
}

/**
 * A child failed that was to have a range: its neighbour gets the names. Who looked the directory up meanwhile may have made that copy, and laid out
 * all: then that counts. Undefined: it is not written.
 */
async function rewrite(
  d: Distribute,
  call: Call,
  args: Args<'mkdir'>,
  before: readonly Range[],
  made: (i: number) => boolean,
): Promise<Range[] | undefined> {
  const own = d.ownCall(call);
  const loc = locOf(args.gfid);
  const having = d.indices.filter(made);
  const path = childPath(d, args.loc.parent!, args.loc.name!);
  const isLeft = before.some((range, i) => made(i) && ownsNames(range));
  const ranges = isLeft ? widened(before, made) : await newRanges(d, args.gfid, path, d.newCommit, made);
  const done = await withLayout(d, call, having, args.gfid, async () => {
    const replies = await d.ask(d.indices, (child) => child.lookup(own, askArgs(d, { loc })));
    const isAsMade = replies.every((reply, i) =>
      made(i) ? isDirectory(reply) && hasRange(d, reply, before[i]!) : !isDirectory(reply),
    );
    if (!isAsMade) return false;
    const written = await d.ask(having, (child, i) =>
      child.setxattr(own, { loc, xattrs: { [d.names.layout]: encodeRange(ranges[i]!) }, flags: 0 }),
    );
    return written.every((reply) => reply.ok);
  });
  return done === true ? ranges : undefined;
}

/** None gives a name away: somebody may have placed one there already. Pure. */
export function widened(before: readonly Range[], made: (i: number) => boolean): Range[] {
  const inOrder = before
    .flatMap((range, i) => (ownsNames(range) ? [i] : []))
    .sort((a, b) => before[a]!.start - before[b]!.start);
  const ranges = before.map((range, i) => (made(i) ? range : { ...range, start: 0, stop: 0 }));
  let first: number | undefined;
  let last: number | undefined;
  for (const i of inOrder) {
    if (made(i)) {
      if (first !== undefined) ranges[i] = { ...ranges[i]!, start: first };
      [first, last] = [undefined, i];
    } else if (last === undefined) first ??= before[i]!.start;
    else ranges[last] = { ...ranges[last]!, stop: before[i]!.stop };
  }
  return ranges;
}

function hasRange(d: Distribute, { xattrs }: Found, range: Range): boolean {
  const value = xattrs[d.names.layout];
  return value !== undefined && Buffer.compare(value, encodeRange(range)) === 0;
}

function learn(
  d: Distribute,
  args: Args<'mkdir'>,
  mds: number,
  ranges: readonly Range[],
  made: (i: number) => boolean,
): void {
  const parts = ranges.map((range, i): Part => (made(i) ? { state: 'range', range } : { state: 'down' }));
  const state = { kind: 'directory', layout: layoutOf(parts), mds, generation: d.generation } as const;
  d.services.inodes.link(args.loc.parent!, args.loc.name!, d.remember(args.gfid, state));
}
