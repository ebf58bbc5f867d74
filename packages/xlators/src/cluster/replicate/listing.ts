/**
 * readdirp over all replicas at once. Every replica lists in the same order with the same offsets
 * (docs/directory-listing.md), so one page of each is compared name by name: what a lookup of each name would
 * learn is learned for the page in one round trip.
 */
import { type Args, type Call, type Dirent, Errno, fail, type Gfid, type Reply, type Success } from '@mortar/core';
import { changelogOf, isZero, kinds } from './changelog.ts';
import { isHidden, isTorn, listAll } from './listing-torn.ts';
import { type Asked, type Replica, withoutOwn } from './replica.ts';
import { successAt } from './replica-set.ts';

export async function listMerged(replica: Replica, call: Call, args: Args<'readdirp'>): Promise<Reply<'readdirp'>> {
  const { set } = replica;
  const gfid = args.fd.gfid;
  const readers = await replica.cleanChildren(gfid, 'entry', call);
  if ('errno' in readers) return isTorn(replica, gfid, readers) ? listAll(replica, 'readdirp', call, args) : readers;
  const want = [...(args.want ?? []), ...replica.changelogKeys];
  const { asked } = replica;
  const replies = await set.wind(set.up, 'readdirp', call, () => ({ ...args, want }));
  // An arbiter knows the names, but no sizes.
  const listers = [...readers.filter((child) => set.holdsData(child)), ...readers];
  const lister = listers.find((child) => replies[child]?.ok);
  if (lister === undefined) return replies[readers[0]!] ?? fail(Errno.ENOTCONN);
  const others = set.up.filter((child) => child !== lister).map((child) => namesOf(successAt(replies, child)));
  const page = successAt(replies, lister)!;
  const complete = others.length === set.count - 1 && set.holdsData(lister);
  const entries = page.entries
    .filter((entry) => !isHidden(entry.name))
    .map((entry) => settled(replica, entry, others, complete, asked));
  return { ok: true, entries, end: page.end, ...(page.xdata && { xdata: page.xdata }) };
}

function namesOf(reply: Success<'readdirp'> | undefined): Map<string, Dirent> {
  return new Map(reply?.entries.map((entry) => [entry.name, entry]));
}

/** An entry whose replicas are alike and unmarked is as good as looked up; of any other only the name is given. */
function settled(
  replica: Replica,
  entry: Dirent,
  others: readonly Map<string, Dirent>[],
  complete: boolean,
  asked: Asked,
): Dirent {
  const all = [entry, ...others.map((names) => names.get(entry.name))];
  const alike = all.every(
    (other) =>
      other?.iatt &&
      other.xattrs &&
      other.gfid === entry.gfid &&
      other.type === entry.type &&
      isUnmarked(replica, other),
  );
  if (!alike || !complete || (entry.gfid && replica.contexts.isDoubted(entry.gfid, asked.doubts)))
    return { ...entry, iatt: null, xattrs: null };
  remember(replica, entry.gfid, asked);
  return { ...entry, xattrs: withoutOwn(entry.xattrs!) };
}

function isUnmarked(replica: Replica, entry: Dirent): boolean {
  return changelogOf(entry.xattrs!, replica.set.pendingKeys).blames.every(isZero);
}

function remember(replica: Replica, gfid: Gfid | null, { generation }: Asked): void {
  if (gfid === null) return;
  const context = replica.contexts.of(gfid);
  const everyone = replica.set.children.map((_, child) => child);
  context.generation = generation;
  context.present = everyone;
  if (!context.lease) for (const kind of kinds) context.readable[kind] = everyone;
}
