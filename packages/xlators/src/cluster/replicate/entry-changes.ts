/** Operations that change names: transactions on the directory. */
import {
  type Args,
  type Call,
  Errno,
  type Failure,
  FileType,
  type FopName,
  type Fops,
  fail,
  type Gfid,
  type Iatt,
  isKnownIatt,
  type Loc,
  locOf,
  type Reply,
  typeOfMode,
} from '@mortar/core';
import type { Change, Outcome } from './change.ts';
import type { Lease } from './lease.ts';
import { lookup } from './lookup.ts';
import { newObjectBlame } from './new-object.ts';
import type { Replica } from './replica.ts';
import { type Replies, successAt } from './replica-set.ts';

const O_EXCL = 0o200;
const createAttempts = 5;

export type EntryFops = Pick<
  Fops,
  'create' | 'mknod' | 'mkdir' | 'symlink' | 'put' | 'unlink' | 'rmdir' | 'rename' | 'link'
>;
type Making = 'create' | 'mknod' | 'mkdir' | 'symlink' | 'put';

export function entryFops(replica: Replica): EntryFops {
  return {
    create: (call, args) => create(replica, call, args),
    mknod: (call, args) => make(replica, 'mknod', call, args, typeOfMode(args.mode)),
    mkdir: (call, args) => make(replica, 'mkdir', call, args, FileType.directory),
    symlink: (call, args) => make(replica, 'symlink', call, args, FileType.symlink),
    put: (call, args) => make(replica, 'put', call, args, FileType.regular),
    unlink: (call, args) => remove(replica, 'unlink', call, args),
    rmdir: (call, args) => remove(replica, 'rmdir', call, args),
    rename: (call, args) => rename(replica, call, args),
    link: (call, args) => link(replica, call, args),
  };
}

function nameOf(loc: Loc): { parent: Gfid; name: string } | undefined {
  return loc.parent !== null && loc.name !== null ? { parent: loc.parent, name: loc.name } : undefined;
}

/**
 * Without O_EXCL a brick would open whatever it has under the name, be it a stale file of another gfid that the others lost
 * long ago. So all make the new file or none; a name that is taken is looked up, and the caller opens what it is.
 */
async function create(replica: Replica, call: Call, args: Args<'create'>): Promise<Reply<'create'>> {
  for (let attempt = 1; ; attempt++) {
    const reply = await make(replica, 'create', call, { ...args, flags: args.flags | O_EXCL }, FileType.regular);
    if (reply.ok || reply.errno !== Errno.EEXIST || args.flags & O_EXCL) return reply;
    const found = await lookup(replica, call, { loc: { ...args.loc, gfid: null } });
    // Removed meanwhile: it is to be made after all.
    if (!found.ok && found.errno === Errno.ENOENT && attempt < createAttempts) continue;
    if (!found.ok) return found;
    if (found.iatt.type === FileType.directory) return fail(Errno.EISDIR);
    if (found.iatt.type === FileType.symlink) return fail(Errno.ELOOP);
    return { ok: true, iatt: found.iatt, preParent: found.postParent, postParent: found.postParent };
  }
}

async function make<N extends Making>(
  replica: Replica,
  fop: N,
  call: Call,
  args: Args<N>,
  type: FileType,
): Promise<Reply<N>> {
  const given = args as Args<Making>;
  const where = nameOf(given.loc);
  if (!where) return fail(Errno.EINVAL);
  // The lock on the new file comes with its creation: nobody else can know it yet.
  const owner = replica.nextOwner();
  const lockable = type === FileType.regular || type === FileType.directory;
  let wasReached = false;
  const { generation } = replica.set;
  const change: Change<N> = {
    fop,
    reached: () => {
      wasReached = true;
    },
    call: { ...call, lockOwner: lockable ? owner : call.lockOwner },
    kind: 'entry',
    under: [where.parent],
    claims: [[{ name: where.name }]],
    names: [[where.name]],
    args: (_child, absent) => ({ ...args, initial: { ...given.initial, ...newObjectBlame(replica, type, absent) } }),
    // Its brick may do another request first, so an unlock that went there meanwhile may have found no lock yet.
    late: (child) => {
      if (lockable && replica.live.eagerLock) void replica.leases.giveBack(given.gfid, owner, [child]);
    },
    after: () => (lockable && replica.live.eagerLock ? [replica.leases.claimStep(given.gfid)] : []),
    undo: async (children, undoCall, _replies, lease) => {
      // Tried again, it gets a lock again.
      if (lockable && replica.live.eagerLock) await replica.leases.giveBack(given.gfid, owner);
      return unmake(replica, children, undoCall, given.loc, type, lease);
    },
  };
  const outcome = await replica.transactions.run(change);
  if ('errno' in outcome) {
    // Some may have made it all the same, and hold the lock that came with it.
    if (wasReached && lockable && replica.live.eagerLock) void replica.leases.giveBack(given.gfid, owner);
    return outcome;
  }
  await blameNew(replica, given.gfid, type, outcome);
  replica.learnNew(given.gfid, type, outcome.done);
  if (lockable) await takeLease(replica, given.gfid, owner, outcome, generation);
  return outcome.reply;
}

/** Children that failed while it was made know nothing of it: the ones that have it say so on it. */
async function blameNew<N extends FopName>(
  replica: Replica,
  gfid: Gfid,
  type: FileType,
  { replies, done }: Outcome<N>,
): Promise<void> {
  const failed = replies.flatMap((reply, child) => (reply && !reply.ok ? [child] : []));
  const values = newObjectBlame(replica, type, failed);
  if (Object.keys(values).length === 0) return;
  await replica.set.wind(done, 'xattrop', replica.rootCall(), () => ({
    loc: locOf(gfid),
    operation: 'add32' as const,
    values,
  }));
}

async function takeLease<N extends FopName>(
  replica: Replica,
  gfid: Gfid,
  owner: string,
  { done, extra }: Outcome<N>,
  generation: number,
): Promise<void> {
  const fences = new Map<number, number>();
  for (const child of done) {
    const lock = extra[child]?.[0] as Reply<'inodelk'> | undefined;
    if (lock?.ok) fences.set(child, lock.fence ?? 0);
  }
  // A child that went meanwhile would count as holding what it misses; one that is back has a session without our lock.
  const isWhole = fences.size === replica.set.count && replica.set.generation === generation;
  if (isWhole && replica.contexts.of(gfid).lease === undefined) {
    replica.leases.adopt(gfid, owner, fences);
    return;
  }
  // Part of a lock is none. A child whose answer was lost may hold it as well.
  if (replica.live.eagerLock) await replica.leases.giveBack(gfid, owner);
}

async function unmake(
  replica: Replica,
  children: readonly number[],
  call: Call,
  loc: Loc,
  type: FileType,
  lease: Lease,
): Promise<boolean> {
  const { set } = replica;
  // Whoever has the lease by now has come to terms with what we did.
  const xdata = (child: number) => ({ fence: lease.fenceOf(child) });
  if (type === FileType.directory)
    await set.wind(children, 'rmdir', call, (child) => ({ loc, recursive: false, xdata: xdata(child) }));
  else await set.wind(children, 'unlink', call, (child) => ({ loc, xdata: xdata(child) }));
  // Where it stays it is found again: a name that exists is no harm to one who makes it.
  return true;
}

async function remove<N extends 'unlink' | 'rmdir'>(
  replica: Replica,
  fop: N,
  call: Call,
  args: Args<N>,
): Promise<Reply<N>> {
  const { loc }: { loc: Loc } = args as Args<'unlink' | 'rmdir'>;
  const where = nameOf(loc);
  if (!where) return fail(Errno.EINVAL);
  const outcome = await replica.transactions.run({
    fop,
    call,
    kind: 'entry',
    under: [where.parent],
    claims: [[{ name: where.name }]],
    names: [[where.name]],
    args: () => args,
    prepare: async (_lease, leases) => (await refusedBelowQuorum(replica, loc, leases)) ?? args,
  });
  if ('errno' in outcome) return outcome;
  lostName(replica, loc.gfid);
  return outcome.reply;
}

/**
 * What takes a name away cannot be taken back. Where fewer than a quorum of those that are there are believed, some may lack
 * the name that others have: then nobody is to lose it, who may have the last good copy.
 */
async function refusedBelowQuorum(replica: Replica, loc: Loc, leases: readonly Lease[]): Promise<Failure | undefined> {
  const { set } = replica;
  const isBelieved = (child: number) => leases.every((lease) => lease.sources('entry', set).includes(child));
  const present = set.up.filter((child) => leases.every((lease) => lease.holds.has(child)));
  if (set.suffices(present.filter(isBelieved))) return undefined;
  const replies = await set.wind(present, 'lookup', replica.rootCall(), () => ({ loc: { ...loc, gfid: null } }));
  const having = present.filter((child) => {
    const reply = successAt(replies, child);
    return reply !== undefined && (loc.gfid === null || reply.iatt.gfid === loc.gfid);
  });
  if (having.length === 0 || set.suffices(having)) return undefined;
  replica.warn(
    `${loc.parent}/${loc.name}: only children ${having.join(', ')} have it; nobody takes it away until it is healed`,
  );
  return fail(Errno.ENOTCONN);
}

/** A file that has lost a name may be gone: our lease on it ends, and what is gone needs no sync and no marks. */
function lostName(replica: Replica, gfid: Gfid | null): void {
  if (gfid !== null) replica.leases.lostName(gfid);
}

async function rename(replica: Replica, call: Call, args: Args<'rename'>): Promise<Reply<'rename'>> {
  const from = nameOf(args.from);
  const to = nameOf(args.to);
  if (!from || !to) return fail(Errno.EINVAL);
  const same = from.parent === to.parent;
  const outcome = await replica.transactions.run({
    fop: 'rename',
    call,
    kind: 'entry',
    under: same ? [from.parent] : [from.parent, to.parent],
    claims: same ? [[{ name: from.name }, { name: to.name }]] : [[{ name: from.name }], [{ name: to.name }]],
    names: same ? [[from.name, to.name]] : [[from.name], [to.name]],
    args: () => args,
    agreed: (replies) => ofOneFile(replies, args.from.gfid),
    prepare: async (_lease, leases) => (await refusedBelowQuorum(replica, args.from, leases)) ?? args,
  });
  if ('errno' in outcome) return outcome;
  lostName(replica, args.to.gfid);
  return withFile(replica, call, outcome.reply);
}

/**
 * A stale replica has another file under the name, and renames that. It does not have the one that was meant under the new
 * name then, which it may not be accused of yet.
 */
function ofOneFile(replies: Replies<'rename'>, meant: Gfid | null): Replies<'rename'> {
  const renamed = replies.flatMap((reply) => (reply?.ok ? [reply.iatt.gfid] : []));
  if (new Set(renamed).size < 2) return replies;
  const often = (gfid: Gfid) => renamed.filter((one) => one === gfid).length;
  const right = meant && renamed.includes(meant) ? meant : renamed.reduce((a, b) => (often(b) > often(a) ? b : a));
  return replies.map((reply) => (reply?.ok && reply.iatt.gfid !== right ? fail(Errno.ENOENT) : reply));
}

async function link(replica: Replica, call: Call, args: Args<'link'>): Promise<Reply<'link'>> {
  const to = nameOf(args.to);
  if (!to || args.from.gfid === null) return fail(Errno.EINVAL);
  const outcome = await replica.transactions.run({
    fop: 'link',
    call,
    kind: 'entry',
    under: [to.parent],
    claims: [[{ name: to.name }]],
    names: [[to.name]],
    args: () => args,
    undo: (children, undoCall, _replies, lease) =>
      unmake(replica, children, undoCall, args.to, FileType.regular, lease),
  });
  return 'errno' in outcome ? outcome : withFile(replica, call, outcome.reply);
}

/** The file itself is under no lease: where those who did it are not known to be right about it, the replicas are asked. */
async function withFile<R extends { readonly ok: true; readonly iatt: Iatt }>(
  replica: Replica,
  call: Call,
  reply: R,
): Promise<R> {
  if (isKnownIatt(reply.iatt)) return reply;
  const found = await lookup(replica, call, { loc: locOf(reply.iatt.gfid) });
  return found.ok ? { ...reply, iatt: found.iatt } : reply;
}
