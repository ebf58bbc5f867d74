/** Operations on one inode: a file's go to the child that has it; where that turns out wrong, it is looked for anew. */
import {
  type Args,
  type Call,
  Errno,
  type Failure,
  Fd,
  type FopName,
  type Fops,
  fail,
  type Gfid,
  type Iatt,
  type Loc,
  locksGivenBack,
  locOf,
  type Reply,
  type Subvolume,
  type Xdata,
} from '@mortar/core';
import { iattFieldsOf } from '../../lib/subjects.ts';
import { type Distribute, isFailure } from './distribute.ts';
import { isMigrating, looksLikeLinkto, meaningFile } from './linkto.ts';
import { discover } from './lookup.ts';
import type { DirectoryState, State } from './state.ts';

type LocFop = { [N in FopName]: Args<N> extends { loc: Loc } ? N : never }[FopName];
type FdFop = { [N in FopName]: Args<N> extends { fd: Fd } ? N : never }[FopName];
export type OnDirectory<N extends FopName> = (
  d: Distribute,
  call: Call,
  args: Args<N>,
  state: DirectoryState,
  gfid: Gfid,
) => Promise<Reply<N>>;
export type Handler<N extends FopName> = (d: Distribute, call: Call, args: Args<N>) => Promise<Reply<N>>;

/** A fop by loc: files on their child, directories as `directory` says. */
export function byLoc<N extends LocFop>(fop: N, directory: OnDirectory<N>): Handler<N> {
  return async (d, call, args) => {
    const { loc } = args as unknown as { loc: Loc };
    const state = await d.locateLoc(call, loc);
    if (isFailure(state)) return state;
    if (state.kind === 'directory') return directory(d, call, args, state, state.gfid);
    return onFile(d, call, fop, args, state.gfid, state);
  };
}

/** A fop by fd. */
export function byFd<N extends FdFop>(fop: N, directory: OnDirectory<N>): Handler<N> {
  return async (d, call, args) => {
    const { fd } = args as unknown as { fd: Fd };
    const state = await d.locateFd(call, fd);
    if (isFailure(state)) return state;
    if (state.kind === 'directory') return directory(d, call, args, state, fd.gfid);
    return onFile(d, call, fop, args, fd.gfid, state);
  };
}

function run<N extends FopName>(child: Subvolume, fop: N, call: Call, args: Args<N>): Promise<Reply<N>> {
  return (child[fop] as Fops[N])(call, args);
}

/** A file can be moved again while it is looked for. */
const movesMax = 4;

export async function onFile<N extends FopName>(
  d: Distribute,
  call: Call,
  fop: N,
  args: Args<N>,
  gfid: Gfid,
  state: State & { kind: 'file' },
): Promise<Reply<N>> {
  let { child } = state;
  for (let moves = 0; ; moves++) {
    const reply = await runOn(d, fop, call, args, child);
    if (!(movedAway(reply) || isShutDown(d, child, reply)) || moves === movesMax) return reply;
    // The file isn't there (any more): a rebalance took it elsewhere, or it is gone for good.
    d.forgetState(gfid);
    const found = await discover(d, call, gfid);
    const now = d.stateOf(gfid);
    if (isUnsure(found)) return found;
    if (!found.ok || now?.kind !== 'file') return reply;
    // It may have come back since it was opened here.
    if (now.child === child && !(await reopened(d, call, args, reply, child)))
      return withModeOf(fop, reply, found.iatt);
    child = now.child;
  }
}

/** A move has left its mark on the file, and it is here still: its mode is the one that a lookup tells. */
function withModeOf<N extends FopName>(fop: N, reply: Reply<N>, { mode }: Iatt): Reply<N> {
  if (!reply.ok) return reply;
  const told = reply as unknown as Record<string, Iatt | undefined>;
  const marked = iattFieldsOf(fop).filter((field) => told[field] && isMigrating(told[field]));
  return { ...reply, ...Object.fromEntries(marked.map((field) => [field, { ...told[field], mode }])) };
}

async function runOn<N extends FopName>(
  d: Distribute,
  fop: N,
  call: Call,
  args: Args<N>,
  child: number,
): Promise<Reply<N>> {
  if (!mayAsk(d, child, fop, args)) return fail(Errno.ENOTCONN);
  const given = asFile(d, fop, args);
  const reply = await run(d.children[child]!, fop, call, await openedAt(d, call, given, child));
  return fop === 'open' && reply.ok ? openOfFile(d, child, args, reply) : reply;
}

/** A lock that is given back on a child that is away: who leads there keeps that until it is back, which may have the lock still. */
function mayAsk<N extends FopName>(d: Distribute, child: number, fop: N, args: Args<N>): boolean {
  return d.isUp(child) || locksGivenBack(fop, args).length > 0;
}

/** Replies of which do not show whether it was a linkto; who changes the mode of one makes something of it that looks like the file. */
const doesNotShow: ReadonlySet<FopName> = new Set([
  'setxattr',
  'fsetxattr',
  'removexattr',
  'fremovexattr',
  'getxattr',
  'fgetxattr',
  'access',
  'setattr',
  'fsetattr',
  'lk',
  'seek',
]);

/** The arguments of what must not be done to a linkto in the file's place. */
export function asFile<A extends { xdata?: Xdata }>(d: Distribute, fop: FopName, args: A): A {
  return doesNotShow.has(fop) ? meaningFile(args, d.names.linkto) : args;
}

/** Of replicas whose copies differ for the moment it does not show either what was opened. */
async function openOfFile<N extends FopName>(
  d: Distribute,
  child: number,
  args: Args<N>,
  reply: Reply<N>,
): Promise<Reply<N>> {
  if ((reply as { iatt?: Iatt }).iatt) return reply;
  const { gfid } = (args as unknown as { fd: Fd }).fd;
  const now = await d.children[child]!.stat(d.ownCall(), { loc: locOf(gfid) });
  return now.ok && movedAway(now) ? fail(Errno.ESTALE) : reply;
}

/** A child that leaves the volume is shut down when its files are elsewhere. */
export function isShutDown(d: Distribute, child: number, reply: Reply<FopName>): boolean {
  return !reply.ok && reply.errno === Errno.ENOTCONN && d.leaves(child);
}

/** O_CREAT, O_EXCL, O_TRUNC: done when it was opened first. */
const onlyAtFirst = 0o1300;
const opening = new WeakMap<Fd, Promise<Fd>>();

/** The arguments with an fd that is open on this child, if it was opened on another. */
export async function openedAt<A>(d: Distribute, call: Call, args: A, child: number): Promise<A> {
  const { fd } = args as { fd?: Fd };
  if (!fd) return args;
  const now = await fdOn(d, call, fd, child);
  return now === fd ? args : { ...args, fd: now };
}

export async function fdOn(d: Distribute, call: Call, fd: Fd, child: number): Promise<Fd> {
  const state = d.fdState(fd);
  if (state?.kind !== 'file') return fd;
  if (state.child === child) return state.again ?? fd;
  return openAgain(d, call, fd, child);
}

/** Of several requests one opens it. On a failure the fd stays what it is: what is done through it tells why. */
async function openAgain(d: Distribute, call: Call, fd: Fd, child: number): Promise<Fd> {
  const under = opening.get(fd);
  if (under) {
    await under;
    return fdOn(d, call, fd, child);
  }
  const again = new Fd(fd.gfid, fd.flags & ~onlyAtFirst);
  const work = (async () => {
    const reply = await d.children[child]!.open(d.ownCall(call), {
      loc: locOf(fd.gfid),
      flags: again.flags,
      fd: again,
    });
    const before = d.fdState(fd);
    if (!reply.ok) {
      again.release();
      return before?.again ?? fd;
    }
    d.rememberFd(fd, { kind: 'file', child, again });
    if (before?.again) before.again.release();
    fd.onRelease(() => again.release());
    return again;
  })();
  opening.set(fd, work);
  try {
    return await work;
  } finally {
    opening.delete(fd);
  }
}

async function reopened<A>(d: Distribute, call: Call, args: A, reply: Reply<FopName>, child: number): Promise<boolean> {
  const { fd } = args as { fd?: Fd };
  if (reply.ok || reply.errno !== Errno.ESTALE || !fd || !d.fdState(fd)) return false;
  return (await openAgain(d, call, fd, child)) !== fd;
}

/**
 * Runs what is done to the name of a file (its gfid, where known) where it is believed to be. If it is not there, which
 * a rebalance may have brought about, it is looked for, and all is done once more.
 */
export async function orElsewhere<R extends { ok: true }>(
  d: Distribute,
  call: Call,
  gfid: Gfid | null,
  run: () => Promise<R | Failure>,
): Promise<R | Failure> {
  for (let moves = 0; ; moves++) {
    const before = gfid === null ? undefined : d.stateOf(gfid);
    const reply = await run();
    const believedAt = before?.kind === 'file' ? before.child : undefined;
    const isGone = !reply.ok && (reply.errno === Errno.ENOENT || reply.errno === Errno.ESTALE);
    const wasShutDown = believedAt !== undefined && isShutDown(d, believedAt, reply);
    if (!(isGone || wasShutDown) || gfid === null || moves === movesMax) return reply;
    // Found out on the way, by this or another request, or settled.
    const believed = [before, d.stateOf(gfid)].filter((state) => state?.kind === 'file');
    if (believed.length === 0) return reply;
    d.forgetState(gfid);
    const found = await discover(d, call, gfid);
    const now = d.stateOf(gfid);
    if (isUnsure(found)) return found;
    if (!found.ok || now?.kind !== 'file') return reply;
    // Names of a file that a killed move has marked are left alone until that is settled.
    if (!believed.some((one) => now.child !== one.child || (now.isUnsettled && !one.isUnsettled))) return reply;
  }
}

/** It may be where nobody can be asked: that it is gone is not known. */
function isUnsure(found: Reply<'lookup'>): found is Failure {
  return !found.ok && found.errno === Errno.ENOTCONN;
}

/** Errors, and attributes of a linkto or of a file that is being moved, which a file has that was moved away. */
export function movedAway(reply: Reply<FopName>): boolean {
  if (!reply.ok) return reply.errno === Errno.ENOENT || reply.errno === Errno.ESTALE;
  const { iatt, post } = reply as { iatt?: Iatt; post?: Iatt };
  const after = iatt ?? post;
  return after !== undefined && (looksLikeLinkto(after) || isMigrating(after));
}

// --- what directories do with it ---

/** A directory has none of this. */
export function isDirectoryError<N extends FopName>(): OnDirectory<N> {
  const refused = fail(Errno.EISDIR) as Failure;
  return async () => refused;
}

/** On the one child where locks of a directory are kept. */
export function onLockChild<N extends FopName>(fop: N): OnDirectory<N> {
  return async (d, call, args, state, gfid) => {
    const child = d.lockChild(gfid, state);
    return mayAsk(d, child, fop, args) ? run(d.children[child]!, fop, call, args) : fail(Errno.ENOTCONN);
  };
}

/** On the child that decides, else on the first that is up and has it. */
export function onOne<N extends FopName>(fop: N): OnDirectory<N> {
  return async (d, call, args, state) => {
    const order = state.mds === undefined ? d.indices : [state.mds, ...d.indices.filter((i) => i !== state.mds)];
    let last: Reply<N> = fail(Errno.ENOTCONN);
    for (const i of order) {
      if (!d.isUp(i)) continue;
      last = await run(d.children[i]!, fop, call, args);
      if (last.ok || !isLacking(last)) return last;
    }
    return last;
  };
}

/** The child could not be asked, or does not have this directory (yet). */
export function isLacking(reply: Reply<FopName>): boolean {
  return !reply.ok && [Errno.ENOTCONN, Errno.ENOENT, Errno.ESTALE].includes(reply.errno as 107);
}

/** On all children at once; `merge` makes one reply of the successes. Errors count only if no child succeeds, or if they are more than absence. */
export function onAll<N extends FopName>(
  fop: N,
  merge: (replies: Extract<Reply<N>, { ok: true }>[], state: DirectoryState) => Reply<N>,
): OnDirectory<N> {
  return async (d, call, args, state) => {
    const order = state.mds === undefined ? d.indices : [state.mds, ...d.indices.filter((i) => i !== state.mds)];
    const replies = await d.ask(order, (child) => run(child, fop, call, args));
    const failed = replies.find((reply) => !reply.ok && !isLacking(reply));
    if (failed) return failed;
    const good = replies.filter((reply) => reply.ok) as Extract<Reply<N>, { ok: true }>[];
    if (good.length > 0) return merge(good, state);
    return replies.find((reply) => !reply.ok && reply.errno !== Errno.ENOTCONN) ?? replies[0]!;
  };
}
