/** Operations that only read: from one clean replica. */
import {
  type Args,
  type Call,
  Errno,
  emptyIatt,
  type Fops,
  fail,
  type Gfid,
  type Iatt,
  type Reply,
  type Success,
} from '@mortar/core';
import { listMerged } from './listing.ts';
import { isHidden, isTorn, listAll } from './listing-torn.ts';
import { isOwnXattr, type Replica, withoutOwn } from './replica.ts';
import { failureOf, isFault, succeeded, successAt } from './replica-set.ts';
import { virtualXattr } from './virtual-xattrs.ts';

export type ReadFops = Pick<
  Fops,
  | 'stat'
  | 'fstat'
  | 'access'
  | 'readlink'
  | 'readv'
  | 'seek'
  | 'rchecksum'
  | 'getxattr'
  | 'fgetxattr'
  | 'statfs'
  | 'readdir'
  | 'readdirp'
>;

export function readFops(replica: Replica): ReadFops {
  const { set } = replica;
  const gfidOf = (args: { loc: { gfid: Gfid | null } }) => args.loc.gfid!;
  return {
    stat: (call, args) => replica.undoubted(gfidOf(args), () => attributes(replica, gfidOf(args), call, 'stat', args)),
    fstat: (call, args) =>
      replica.undoubted(args.fd.gfid, () => attributes(replica, args.fd.gfid, call, 'fstat', args)),
    access: (call, args) => replica.read(gfidOf(args), 'metadata', 'access', call, args),
    readlink: (call, args) => replica.read(gfidOf(args), 'metadata', 'readlink', call, args),
    readv: (call, args) =>
      replica.read(args.fd.gfid, 'data', 'readv', call, args, (child, reply) =>
        ofRight(replica, call, args, child, reply),
      ),
    seek: (call, args) => replica.read(args.fd.gfid, 'data', 'seek', call, args),
    rchecksum: (call, args) => replica.read(args.fd.gfid, 'data', 'rchecksum', call, args),
    async getxattr(call, args) {
      if (args.name !== undefined) {
        const own = await virtualXattr(replica, gfidOf(args), args.name, call, args);
        if (own) return own;
        if (isOwnXattr(args.name)) return fail(Errno.ENODATA);
      }
      const reply = await replica.read(gfidOf(args), 'metadata', 'getxattr', call, args);
      return reply.ok ? { ...reply, xattrs: withoutOwn(reply.xattrs) } : reply;
    },
    async fgetxattr(call, args) {
      if (args.name !== undefined && isOwnXattr(args.name)) return fail(Errno.ENODATA);
      const reply = await replica.read(args.fd.gfid, 'metadata', 'fgetxattr', call, args);
      return reply.ok ? { ...reply, xattrs: withoutOwn(reply.xattrs) } : reply;
    },
    async statfs(call, args) {
      const data = set.up.filter((child) => set.holdsData(child));
      const replies = await set.wind(data, 'statfs', call, () => args);
      const done = succeeded(replies).map((child) => successAt(replies, child)!);
      if (done.length === 0) return fail(Errno.ENOTCONN);
      // What fits on the fullest replica is what fits.
      return done.reduce((least, reply) =>
        reply.statfs.blocksAvailable * reply.statfs.fragmentSize <
        least.statfs.blocksAvailable * least.statfs.fragmentSize
          ? reply
          : least,
      );
    },
    async readdir(call, args) {
      const { gfid } = args.fd;
      const reply = await replica.read(gfid, 'entry', 'readdir', call, args);
      if (!reply.ok && isTorn(replica, gfid, reply)) return listAll(replica, 'readdir', call, args);
      return reply.ok ? { ...reply, entries: reply.entries.filter((entry) => !isHidden(entry.name)) } : reply;
    },
    readdirp: (call, args) => listMerged(replica, call, args),
  };
}

/** Attributes beside the contents, where the child that gave these is not right about them, from one that is. */
async function ofRight(
  replica: Replica,
  call: Call,
  { fd }: Args<'readv'>,
  child: number,
  reply: Success<'readv'>,
): Promise<Reply<'readv'>> {
  const context = replica.contexts.find(fd.gfid);
  if (!context || context.readable.metadata.includes(child) || context.choice !== undefined) return reply;
  const seen = await attributes(replica, fd.gfid, call, 'fstat', { fd });
  return { ...reply, iatt: seen.ok ? seen.iatt : emptyIatt(fd.gfid) };
}

/** stat: from one child if it is clean of metadata and data; else put together. */
async function attributes<N extends 'stat' | 'fstat'>(
  replica: Replica,
  gfid: Gfid,
  call: Call,
  fop: N,
  args: Args<N>,
): Promise<Reply<N>> {
  // Attributes that another replica is known to have otherwise are nobody's.
  const clean = await replica.cleanChildren(gfid, 'metadata', call);
  if ('errno' in clean) return clean;
  const context = await replica.context(gfid, call);
  if ('errno' in context) return context;
  const data = replica.readers(gfid, replica.contentsOf(gfid), context);
  const metadata = replica.readers(gfid, 'metadata', context);
  const both = metadata.filter((child) => data.includes(child));
  for (const child of both) {
    const reply = await replica.set.ask(child, fop, call, args);
    if (reply.ok || !isFault(reply.errno)) return reply;
  }
  const replies = await replica.set.wind(replica.set.up, fop, call, () => args);
  const iattOf = (child: number): Iatt | undefined => {
    const reply = replies[child] as { ok: boolean; iatt?: Iatt } | undefined;
    return reply?.ok ? reply.iatt : undefined;
  };
  // Not from one that is accused, because those who are right cannot say.
  const unheard = [metadata, data].find((some) => some.length > 0 && !some.some(iattOf));
  const iatt = unheard ? undefined : replica.mergeIatt(gfid, context, iattOf);
  if (iatt) return { ok: true, iatt } as Reply<N>;
  return failureOf((unheard ?? replica.set.up).map((child) => replies[child])) as Reply<N>;
}
