/** Operations that change a file's data or metadata: transactions on the file. */
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
  locOf,
  type Reply,
} from '@mortar/core';
import { isZero } from './changelog.ts';
import type { Lease } from './lease.ts';
import type { Claim } from './ordering.ts';
import { isOwnXattr, type Replica } from './replica.ts';
import { failureOf, type Replies, succeeded, successAt } from './replica-set.ts';
import { rightUnder, told } from './told.ts';

export type FileFops = Pick<
  Fops,
  | 'writev'
  | 'truncate'
  | 'ftruncate'
  | 'fallocate'
  | 'discard'
  | 'zerofill'
  | 'copy_file_range'
  | 'fsync'
  | 'fsyncdir'
  | 'setattr'
  | 'fsetattr'
  | 'setxattr'
  | 'fsetxattr'
  | 'removexattr'
  | 'fremovexattr'
  | 'xattrop'
  | 'fxattrop'
>;

const everything: Claim = { start: 0, end: Number.POSITIVE_INFINITY };
const metadataClaim: Claim = { name: 'metadata' };

export function fileFops(replica: Replica): FileFops {
  const data = <N extends FopName>(fop: N, gfid: Gfid, call: Call, args: Args<N>, claim: Claim) =>
    run(replica, fop, 'data', gfid, call, args, claim);
  const metadata = <N extends FopName>(fop: N, gfid: Gfid | null, call: Call, args: Args<N>, rides = false) =>
    gfid === null
      ? Promise.resolve(fail(Errno.EINVAL))
      : run(replica, fop, 'metadata', gfid, call, args, metadataClaim, rides);
  const ownKey = (names: readonly string[]) => names.some(isOwnXattr);
  const refused = () => Promise.resolve(fail(Errno.EPERM));
  return {
    writev: (call, args) => {
      if (args.append) return append(replica, call, args);
      return data('writev', args.fd.gfid, call, args, { start: args.offset, end: args.offset + args.data.length });
    },
    truncate: (call, args) =>
      args.loc.gfid === null
        ? Promise.resolve(fail(Errno.EINVAL))
        : data('truncate', args.loc.gfid, call, args, { ...everything, start: args.size }),
    ftruncate: (call, args) => data('ftruncate', args.fd.gfid, call, args, everything),
    fallocate: (call, args) => data('fallocate', args.fd.gfid, call, args, everything),
    discard: (call, args) =>
      data('discard', args.fd.gfid, call, args, { start: args.offset, end: args.offset + args.size }),
    zerofill: (call, args) => data('zerofill', args.fd.gfid, call, args, everything),
    copy_file_range: (call, args) => copy(replica, call, args),
    fsync: (call, args) => sync(replica, 'fsync', call, args),
    fsyncdir: (call, args) => sync(replica, 'fsyncdir', call, args),
    setattr: (call, args) => metadata('setattr', args.loc.gfid, call, args, true),
    fsetattr: (call, args) => metadata('fsetattr', args.fd.gfid, call, args, true),
    setxattr: (call, args) =>
      ownKey(Object.keys(args.xattrs)) ? refused() : metadata('setxattr', args.loc.gfid, call, args, args.flags === 0),
    fsetxattr: (call, args) =>
      ownKey(Object.keys(args.xattrs)) ? refused() : metadata('fsetxattr', args.fd.gfid, call, args, args.flags === 0),
    removexattr: (call, args) => (ownKey([args.name]) ? refused() : metadata('removexattr', args.loc.gfid, call, args)),
    fremovexattr: (call, args) =>
      ownKey([args.name]) ? refused() : metadata('fremovexattr', args.fd.gfid, call, args),
    xattrop: (call, args) => metadata('xattrop', args.loc.gfid, call, args),
    fxattrop: (call, args) => metadata('fxattrop', args.fd.gfid, call, args),
  };
}

async function run<N extends FopName>(
  replica: Replica,
  fop: N,
  kind: 'data' | 'metadata',
  gfid: Gfid,
  call: Call,
  args: Args<N>,
  claim: Claim,
  rides = false,
): Promise<Reply<N>> {
  const outcome = await replica.transactions.run({
    fop,
    call,
    kind,
    under: [gfid],
    claims: [[claim]],
    args: () => args,
    rides,
    ...openFile(args),
  });
  return 'errno' in outcome ? outcome : outcome.reply;
}

/** The fd that an operation changes the file through, if it does. */
function openFile(args: object): { fd?: Fd } {
  const { fd, to } = args as { fd?: unknown; to?: unknown };
  if (fd instanceof Fd) return { fd };
  return to instanceof Fd ? { fd: to } : {};
}

/** At the end of the file: where no mark says that replicas may differ they agree on it; else the end is a source's. */
async function append(replica: Replica, call: Call, args: Args<'writev'>): Promise<Reply<'writev'>> {
  const { gfid } = args.fd;
  const outcome = await replica.transactions.run({
    fop: 'writev',
    call,
    kind: 'data',
    under: [gfid],
    fd: args.fd,
    claims: [[everything]],
    args: () => args,
    async prepare(lease) {
      if (lease.matrix.every((log) => !log || (isZero(log.dirty) && log.blames.every(isZero)))) return args;
      const end = await sizeUnder(replica, lease, call);
      return typeof end === 'number' ? { ...args, append: false, offset: end } : end;
    },
    undo: (children, undoCall, replies, lease) => cutBack(replica, args.fd, children, undoCall, replies, lease),
  });
  return 'errno' in outcome ? outcome : outcome.reply;
}

/** What was appended to some is cut off again, or another try would append it twice. */
async function cutBack(
  replica: Replica,
  fd: Fd,
  children: readonly number[],
  call: Call,
  appended: Replies<'writev'>,
  lease: Lease,
): Promise<boolean> {
  const replies = await replica.set.wind(children, 'ftruncate', call, (child) => ({
    fd,
    size: successAt(appended, child)!.pre.size,
    xdata: { fence: lease.fenceOf(child) },
  }));
  return children.every((child) => replies[child]!.ok);
}

async function sizeUnder(replica: Replica, lease: Lease, call: Call): Promise<number | Failure> {
  const sources = lease.sources('data', replica.set);
  const source = sources.find((child) => lease.holds.has(child) && replica.set.holdsData(child));
  if (source === undefined) return fail(Errno.EIO);
  const reply = await replica.set.windOne(source, 'stat', call, { loc: locOf(lease.gfid) });
  return reply.ok ? reply.iatt.size : reply;
}

/** On the bricks, if the source file is whole on each of them; else the caller copies through its own buffers. */
async function copy(replica: Replica, call: Call, args: Args<'copy_file_range'>): Promise<Reply<'copy_file_range'>> {
  await replica.leases.settle(args.from.gfid === args.to.gfid ? args.to.gfid : args.from.gfid);
  const source = await replica.context(args.from.gfid, call);
  if ('errno' in source) return source;
  if (
    source.readable.data.length !== replica.set.count ||
    replica.set.up.length !== replica.set.count ||
    replica.set.arbiter !== undefined
  )
    return fail(Errno.EXDEV);
  return run(replica, 'copy_file_range', 'data', args.to.gfid, call, args, everything);
}

/** Durable on a quorum, one of them a source; a child that could not sync is blamed for the data. */
async function sync<N extends 'fsync' | 'fsyncdir'>(
  replica: Replica,
  fop: N,
  call: Call,
  args: Args<N>,
): Promise<Reply<N>> {
  const { set } = replica;
  const gfid = (args as Args<'fsync'>).fd.gfid;
  const lease = replica.contexts.find(gfid)?.lease;
  const children = lease ? lease.participants.filter((child) => set.isUp(child)) : set.up;
  const replies = await set.wind(children, fop, call, () => args);
  const done = succeeded(replies);
  if (done.length === 0 || !set.suffices(done)) return failureOf(replies);
  const failed = children.filter((child) => !done.includes(child));
  // What a brick could not make durable it may lose: it leaves the lease, so that later changes blame it.
  if (lease && fop === 'fsync') {
    for (const child of failed) lease.suspect.add(child);
    if (failed.length > 0) lease.recalled = true;
    else if (done.length === lease.holds.size) lease.unsynced = false;
  }
  // Who is right about the attributes beside the answer.
  if (!lease && fop === 'fsync') await replica.context(gfid, call);
  return told(fop, replies, done.find((child) => set.holdsData(child)) ?? done[0]!, (_, type) =>
    lease ? rightUnder(lease, set, type, done) : replica.rightAbout(gfid),
  );
}
