/** Lookup: ask all replicas, see that they mean the same file, learn which of them may be read. */
import {
  type Args,
  type Call,
  Errno,
  emptyIatt,
  type Failure,
  fail,
  type Gfid,
  type Iatt,
  type Loc,
  locOf,
  newGfid,
  type Reply,
  rootGfid,
} from '@mortar/core';
import { healNameNow } from './heal/name.ts';
import type { AccessHealer } from './heal/on-access.ts';
import { isKnownMissing, learnFromMiss } from './known-names.ts';
import { isHidden } from './listing-torn.ts';
import { type Asked, answering, attemptsMax, lookupFailure, type Replica, withoutOwn } from './replica.ts';
import { type Replies, succeeded, successAt } from './replica-set.ts';
import { mergedIatt } from './told.ts';

export async function lookup(
  replica: Replica,
  call: Call,
  args: Args<'lookup'>,
  healer?: AccessHealer,
): Promise<Reply<'lookup'>> {
  const { set } = replica;
  if (set.up.length === 0) return fail(Errno.ENOTCONN);
  if (!replica.mayRead(call, set.up)) return fail(Errno.ENOTCONN);
  const { parent, name } = args.loc;
  const named = parent !== null && name !== null;
  if (named && parent === rootGfid && isHidden(name) && !call.internal) return fail(Errno.ENOENT);
  if (named && isKnownMissing(replica, parent, name, args.xdata?.layout)) return fail(Errno.ENOENT);
  for (let attempt = 1; ; attempt++) {
    const { asked } = replica;
    const reply = await lookupOnce(replica, call, args, asked, healer);
    if (!reply.ok || attempt === attemptsMax || !replica.contexts.isDoubted(reply.iatt.gfid, asked.doubts))
      return reply;
  }
}

async function lookupOnce(
  replica: Replica,
  call: Call,
  args: Args<'lookup'>,
  asked: Asked,
  healer: AccessHealer | undefined,
): Promise<Reply<'lookup'>> {
  const { parent, name } = args.loc;
  const named = parent !== null && name !== null;
  const layout = args.xdata?.layout;
  const lease = parent === null ? undefined : replica.contexts.find(parent)?.lease;
  let replies = await replica.lookupAll(args.loc, call, args.want ?? [], { layout });
  // Not there by a layout that is not the directory's any more: that says nothing, whoever else does not have it.
  if (replies.some(isUnderOther) && !replies.some((reply) => reply?.ok)) return fail(Errno.EREMCHG);
  replies = replies.map((reply) => (isUnderOther(reply) ? fail(Errno.ENOENT) : reply));
  if (agree(replies) === 'without gfid') replies = await adopt(replica, call, args, replies);
  const lacking = healer && named && isMissingOnSome(replies) ? parent : undefined;
  if (agree(replies) === 'no') {
    if (args.loc.parent === null) return mergeByGfid(replica, replies, asked);
    const settled = await settle(replica, call, args);
    if ('errno' in settled) return settled;
    replies = settled;
    // Nobody was asked for the layout then.
    if (layout !== undefined && !replies.some((reply) => reply?.ok)) return fail(Errno.EREMCHG);
  }
  const reply = mergeByGfid(replica, replies, asked);
  const isTold = reply.ok || reply.errno === Errno.ENOENT || reply.errno === Errno.ESTALE;
  if (isTold && !replica.mayRead(call, answering(replies))) return fail(Errno.ENOTCONN);
  if (named && !reply.ok && reply.errno === Errno.ENOENT) learnFromMiss(replica, parent, lease, layout);
  if (healer && reply.ok && !call.internal) await healer.saw(reply.iatt.gfid, replies, lacking);
  return reply;
}

function isMissingOnSome(replies: Replies<'lookup'>): boolean {
  const isMissing = (reply: Reply<'lookup'> | undefined) => reply?.ok === false && reply.errno === Errno.ENOENT;
  return replies.some((reply) => reply?.ok) && replies.some(isMissing);
}

function isUnderOther(reply: Reply<'lookup'> | undefined): boolean {
  return reply !== undefined && !reply.ok && reply.errno === Errno.EREMCHG;
}

/** Whether all that answered mean the same file. An absent brick has no opinion. */
function agree(replies: Replies<'lookup'>): 'yes' | 'no' | 'without gfid' {
  let identity: string | undefined;
  for (const reply of replies) {
    if (!reply) continue;
    let mine: string;
    if (reply.ok) {
      mine = `${reply.iatt.gfid} ${reply.iatt.type}`;
    } else if (reply.errno === Errno.ENODATA) return 'without gfid';
    else if (reply.errno === Errno.ENOENT || reply.errno === Errno.ESTALE) mine = 'none';
    else continue;
    if (identity !== undefined && identity !== mine) return 'no';
    identity = mine;
  }
  return 'yes';
}

/** A file that somebody put on a brick by hand gets its gfid now: the one it has elsewhere, or a new one. */
async function adopt(
  replica: Replica,
  call: Call,
  args: Args<'lookup'>,
  replies: Replies<'lookup'>,
): Promise<Replies<'lookup'>> {
  const elsewhere = replies.find((reply) => reply?.ok);
  const gfid = elsewhere?.ok ? elsewhere.iatt.gfid : (args.gfid ?? newGfid(replica.services.random));
  return replica.lookupAll(args.loc, call, args.want ?? [], { gfid });
}

function mergeByGfid(replica: Replica, replies: Replies<'lookup'>, asked: Asked): Reply<'lookup'> {
  const present = succeeded(replies);
  if (present.length === 0) return lookupFailure(replies);
  const gfid = successAt(replies, present[0]!)!.iatt.gfid;
  const context = replica.learn(gfid, replies, asked);
  const iatt = replica.mergeIatt(gfid, context, (child) => successAt(replies, child)?.iatt)!;
  const from = replica.readers(gfid, 'metadata', context).find((child) => present.includes(child)) ?? present[0]!;
  const { xattrs } = successAt(replies, from)!;
  return { ok: true, iatt, postParent: parentIn(replica, replies, present[0]!), xattrs: withoutOwn(xattrs) };
}

/** Of the directory that the name is in, from those that are right about that. */
function parentIn(replica: Replica, replies: Replies<'lookup'>, someone: number): Iatt {
  const { gfid } = successAt(replies, someone)!.postParent;
  const right = replica.rightAbout(gfid);
  const parentOf = (child: number) => successAt(replies, child)?.postParent;
  return (right && mergedIatt(right, parentOf)) ?? emptyIatt(gfid);
}

/**
 * The replicas differ about a name. Ask again under the directory's lease, when no change can be half done; what they
 * differ about still is healed at once as entry heal would, and what stands then is believed. Without a lease (no quorum)
 * those are believed that nobody accuses.
 */
async function settle(replica: Replica, call: Call, args: Args<'lookup'>): Promise<Replies<'lookup'> | Failure> {
  const { set } = replica;
  const parent = args.loc.parent!;
  const lease = await replica.leases.acquire(parent, call);
  if ('errno' in lease) {
    const context = await replica.context(parent, call);
    if ('errno' in context) return context;
    const trusted = replica.readers(parent, 'entry', context);
    const replies = await replica.lookupAll(args.loc, call, args.want ?? []);
    const believed = trusted.length > 0 ? only(replies, trusted) : replies;
    return agree(believed) === 'yes'
      ? withSameGfid(replica, call, args, believed)
      : byQuorum(replica, call, args, believed);
  }
  try {
    const again = await replica.lookupAll(args.loc, call, args.want ?? []);
    if (agree(again) === 'yes') return again;
    const trusted = lease.sources('entry', set).filter((child) => lease.holds.has(child));
    const settled = await healNameNow(replica, lease, parent, args.loc.name!);
    if (settled !== undefined) replica.warn(`${describe(args.loc)}: ${settled}`);
    const replies = await replica.lookupAll(args.loc, call, args.want ?? []);
    if (agree(replies) === 'yes') return replies;
    return byQuorum(replica, call, args, trusted.length > 0 ? only(replies, trusted) : replies);
  } finally {
    replica.leases.done(lease);
  }
}

function only(replies: Replies<'lookup'>, children: readonly number[]): Replies<'lookup'> {
  return replies.map((reply, child) => (children.includes(child) ? reply : undefined));
}

async function byQuorum(
  replica: Replica,
  call: Call,
  args: Args<'lookup'>,
  replies: Replies<'lookup'>,
): Promise<Replies<'lookup'> | Failure> {
  const { set } = replica;
  const groups = new Map<Gfid | 'none', number[]>();
  for (const [child, reply] of replies.entries()) {
    if (!reply) continue;
    const key = reply.ok ? reply.iatt.gfid : 'none';
    groups.set(key, [...(groups.get(key) ?? []), child]);
  }
  const enough = [...groups.values()].filter((children) => set.suffices(children));
  const right = set.majorityDecides ? enough[0] : undefined;
  if (right) return withSameGfid(replica, call, args, only(replies, right));
  const gfids = [...groups.keys()].filter((key) => key !== 'none');
  if (gfids.length > 1) {
    replica.warn(
      `${describe(args.loc)} is in split-brain: ${gfids.map((gfid) => `${gfid} on ${groups.get(gfid)!.join(',')}`).join('; ')}`,
    );
    return fail(Errno.EIO);
  }
  // It exists somewhere and was not deleted by a quorum: it exists (conservative merge).
  return withSameGfid(replica, call, args, only(replies, groups.get(gfids[0]!) ?? []));
}

/** The file's attributes also from the children that were not believed about the name but have this very file. */
async function withSameGfid(
  replica: Replica,
  call: Call,
  args: Args<'lookup'>,
  believed: Replies<'lookup'>,
): Promise<Replies<'lookup'>> {
  const child = succeeded(believed)[0];
  if (child === undefined) return believed;
  const { gfid } = successAt(believed, child)!.iatt;
  const all = await replica.lookupAll(locOf(gfid), call, args.want ?? []);
  return all.map((reply, i) => believed[i] ?? reply);
}

function describe(loc: Loc): string {
  return loc.parent === null ? `${loc.gfid}` : `${loc.parent}/${loc.name}`;
}
