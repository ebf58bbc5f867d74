/** A directory out of its copies on all children: attributes, layout, and what has to be healed. */
import { type Args, type Call, compareTimes, Errno, fail, type Gfid, type Loc, rootGfid } from '@mortar/core';
import { type Distribute, isFailure } from './distribute.ts';
import { healDirectory, needsHeal } from './heal.ts';
import { anomaliesOf, decodeRange, type Layout, layoutOf, type Part, readAfter } from './layout.ts';
import { askArgs, type Found, isAbsent, isDirectory, type LookupReply } from './lookup.ts';
import { mergeDirectoryIatts, mergeDirectoryXattrs } from './merge.ts';
import { onlyWanted } from './names.ts';
import { aheadOf } from './root-ahead.ts';
import { volumeCommitOf } from './volume-commit.ts';

/** What the copies of a directory say, in the order of the children. */
export interface Copies {
  readonly gfid: Gfid;
  readonly replies: readonly LookupReply[];
  readonly layout: Layout;
  /** The child whose copy is marked as deciding. */
  readonly mds: number | undefined;
  /** The marked copy, or the one that stands in: source of owner, mode and xattrs. */
  readonly authority: number;
  /** Whether it is known that this one stands in: of a directory without a mark only its name tells. */
  readonly isSure: boolean;
}

interface Context {
  /** Counted before the children were asked. */
  readonly generation: number;
  readonly hashed?: number;
  readonly healed?: boolean;
}

export function partsOf(d: Distribute, replies: readonly LookupReply[], gfid: Gfid): Layout {
  return layoutOf(
    replies.map((reply): Part => {
      if (isAbsent(reply)) return { state: 'missing' };
      if (!isDirectory(reply) || reply.iatt.gfid !== gfid) return { state: 'down' };
      const xattr = reply.xattrs[d.names.layout];
      const range = xattr && decodeRange(xattr);
      return range ? { state: 'range', range } : { state: 'bare' };
    }),
  );
}

export function copiesOf(d: Distribute, replies: readonly LookupReply[], hashed: number | undefined): Copies {
  const present = d.indices.filter((i) => isDirectory(replies[i]!));
  const at = (i: number) => replies[i] as Found;
  const mds = present.find((i) => at(i).xattrs[d.names.mds] !== undefined);
  const authority = mds ?? (hashed !== undefined && present.includes(hashed) ? hashed : present[0]!);
  const { gfid } = at(authority).iatt;
  const layout = partsOf(d, replies, gfid);
  // Nobody is marked on the root: who has what others missed counts, else the latest change of its attributes.
  if (gfid === rootGfid) {
    const ahead = aheadOf(d, present, at);
    const among = ahead.length > 0 ? ahead : settled(present, layout);
    return { gfid, replies, layout, mds, authority: latestChanged(among, at), isSure: true };
  }
  return { gfid, replies, layout, mds, authority, isSure: mds !== undefined || hashed !== undefined };
}

/** A subvolume just added has a new root without a layout: what nobody chose must not win because it is new. */
function settled(present: readonly number[], layout: Layout): readonly number[] {
  const old = present.filter((i) => layout.parts[i]!.state === 'range');
  return old.length > 0 ? old : present;
}

function latestChanged(present: readonly number[], at: (i: number) => Found): number {
  const changed = (i: number) => ({ sec: at(i).iatt.ctime, nsec: at(i).iatt.ctimeNsec });
  return present.reduce((best, i) => (compareTimes(changed(i), changed(best)) > 0 ? i : best));
}

/** Replies of all children, of which one at least is a directory: one reply. */
export async function finishDirectory(
  d: Distribute,
  call: Call,
  args: Args<'lookup'>,
  replies: readonly LookupReply[],
  context: Context,
): Promise<LookupReply> {
  const copies = await surelyOf(d, call, args.loc, copiesOf(d, replies, context.hashed));
  const { gfid } = copies;
  const mixed = replies.find((reply) => reply.ok && reply.iatt.gfid !== gfid);
  if (mixed) d.warn(`directory ${gfid}: another object has its name on a subvolume; remove the wrong one on its brick`);
  learn(d, args.loc, copies, context.generation);
  if (!context.healed && needsHeal(d, copies)) {
    const loc = nameOf(d, args.loc, gfid);
    if (await healDirectory(d, call, loc, copies)) {
      const { generation } = d;
      const again = await d.ask(d.indices, (child) => child.lookup(call, askArgs(d, args)));
      if (again.some(isDirectory))
        return finishDirectory(d, call, args, again, { ...context, generation, healed: true });
    }
  }
  const same = (i: number) => isDirectory(replies[i]!) && (replies[i] as Found).iatt.gfid === gfid;
  const order = [copies.authority, ...d.indices.filter((i) => i !== copies.authority && same(i))];
  const found = order.map((i) => replies[i] as Found);
  if (found.length === 0) return fail(Errno.EIO);
  return {
    ...found[0]!,
    iatt: mergeDirectoryIatts(found.map((reply) => reply.iatt)),
    postParent: mergeDirectoryIatts(found.map((reply) => reply.postParent)),
    xattrs: onlyWanted(mergeDirectoryXattrs(found.map((reply) => reply.xattrs)), args.want),
  };
}

/** `generation`: counted before the children were asked. */
export function learn(d: Distribute, loc: Loc, copies: Copies, generation: number): void {
  const { gfid, mds } = copies;
  const known = d.stateOf(gfid);
  const layout = known?.kind === 'directory' ? readAfter(known.layout, copies.layout) : copies.layout;
  const inode = d.remember(gfid, { kind: 'directory', layout, mds, generation });
  if (gfid !== rootGfid && loc.parent !== null && loc.name !== null)
    d.services.inodes.link(loc.parent, loc.name, inode);
  if (gfid === rootGfid) d.volumeCommit = volumeCommitOf(d, copies.replies);
  else d.commits.saw(layout);
}

/** Looked up by its gfid, a directory without a mark has its authority where the name that it was last seen under hashes to. */
async function surelyOf(d: Distribute, call: Call, loc: Loc, copies: Copies): Promise<Copies> {
  if (copies.isSure || !needsHeal(d, copies)) return copies;
  const { parent, name } = nameOf(d, loc, copies.gfid);
  const hashed = await d.hashedOf(call, parent, name);
  return isFailure(hashed) ? copies : copiesOf(d, copies.replies, hashed);
}

/** With the name the directory was last seen under, if the request came by gfid. */
function nameOf(d: Distribute, loc: Loc, gfid: Gfid): Loc {
  if (loc.parent !== null && loc.name !== null) return { ...loc, gfid };
  const inode = d.services.inodes.find(gfid);
  return { gfid, parent: inode?.parent ?? null, name: inode?.name ?? null };
}

/** Whether the layout places every name on exactly one child. */
export function isWhole(layout: Layout): boolean {
  const { holes, overlaps } = anomaliesOf(layout);
  return holes === 0 && overlaps === 0;
}
