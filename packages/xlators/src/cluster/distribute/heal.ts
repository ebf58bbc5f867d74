/**
 * Directory heal: copies that are missing are made, layouts with holes or overlaps written anew, owner, mode and shared
 * xattrs brought in line with the authority's copy. Only what all children could be asked about is healed.
 */
import {
  type Args,
  type AttrChange,
  type ByteString,
  type Call,
  Errno,
  type Failure,
  FileType,
  type Gfid,
  type Iatt,
  type Loc,
  locAt,
  locOf,
  rootGfid,
  type Xattrs,
} from '@mortar/core';
import { type Distribute, isFailure } from './distribute.ts';
import { anomaliesOf, changedCommit, encodeRange, hasRange, invalidCommit, LayoutType, layoutOf } from './layout.ts';
import { withLayout, withNames } from './locks.ts';
import { askArgs, type Found, isAbsent, isDirectory } from './lookup.ts';
import { type Copies, copiesOf, isWhole } from './lookup-directory.ts';
import { decodeCounter, encodeCounter } from './mds.ts';
import { isSharedXattr } from './names.ts';
import { newRanges, pathOf } from './new-layout.ts';
import { aheadBy } from './root-ahead.ts';
import { beliefIn } from './under-layout.ts';

const retryMs = 10_000;

/** When a heal failed, the next one waits: a read-only volume is not asked with every lookup. */
const failedAt = new WeakMap<Distribute, Map<string, number>>();

export function needsHeal(d: Distribute, copies: Copies): boolean {
  if (d.children.length === 1) return false;
  const failed = failedAt.get(d)?.get(copies.gfid);
  if (failed !== undefined && d.services.clock.nowMs() - failed < retryMs) return false;
  const { missing, down } = anomaliesOf(copies.layout);
  if (down > 0) return false;
  return missing > 0 || !isWhole(copies.layout) || staleAttributes(d, copies).length > 0 || staleXattrs(d, copies);
}

/** The next one to look it up heals it, however short ago that failed. */
export function healAnyway(d: Distribute, gfid: Gfid): void {
  failedAt.get(d)?.delete(gfid);
}

/** For who was refused because a copy is missing: looks the directory up, which heals it. */
export async function healNow(d: Distribute, call: Call, gfid: Gfid): Promise<boolean> {
  healAnyway(d, gfid);
  return (await d.ops.lookup(call, { loc: locOf(gfid) })).ok;
}

/** True when something was changed. */
export async function healDirectory(d: Distribute, call: Call, loc: Loc, copies: Copies): Promise<boolean> {
  const { generation } = d;
  let changed = false;
  let failed = false;
  const note = (done: boolean) => {
    if (done) changed = true;
    else failed = true;
  };
  if (anomaliesOf(copies.layout).missing > 0) note(await makeMissingBelow(d, call, loc, copies));
  if (!isWhole(copies.layout)) note(await writeLayout(d, call, copies));
  // By whom it is not known: who missed a change must not undo it.
  if (copies.isSure && staleAttributes(d, copies).length > 0) note(await copyAttributes(d, call, copies));
  if (staleXattrs(d, copies)) note(await copyXattrs(d, call, copies));
  // Of one that was out of reach nothing is known: when it is back, it is tried again.
  if (failed && !d.someDown && d.generation === generation) rememberFailure(d, copies.gfid);
  return changed;
}

function rememberFailure(d: Distribute, gfid: string): void {
  const map = failedAt.get(d) ?? new Map<string, number>();
  if (map.size >= 1000) map.clear();
  map.set(gfid, d.services.clock.nowMs());
  failedAt.set(d, map);
}

function authorityIatt(copies: Copies): Iatt {
  return (copies.replies[copies.authority] as Found).iatt;
}

// --- missing copies ---

/** A child that is new may lack what is above, too: nobody has looked that up yet; or that is laid out anew. */
async function makeMissingBelow(d: Distribute, call: Call, loc: Loc, copies: Copies): Promise<boolean> {
  const { parent, name } = loc;
  if (parent === null || name === null) return false;
  const made = await makeMissing(d, call, parent, name, copies);
  if (made !== 'look above') return made === 'made';
  return (await healNow(d, call, parent)) && (await makeMissing(d, call, parent, name, copies)) === 'made';
}

async function makeMissing(
  d: Distribute,
  call: Call,
  parent: Gfid,
  name: ByteString,
  copies: Copies,
): Promise<'made' | 'not made' | 'look above'> {
  const hashed = await d.hashedOf(call, parent, name);
  if (isFailure(hashed)) return 'not made';
  const believe = beliefIn(d, parent);
  const own = d.ownCall(call);
  let isOutdated = false;
  const done = await withNames(d, call, [{ child: hashed, parent, name }], async () => {
    // Under the lock: an rmdir may have been removing it. By another layout it has another lock: all is done by the one that is believed.
    const at = locAt(parent, name);
    const look = () => d.ask(d.indices, (child, i) => child.lookup(own, believe(i)(askArgs(d, { loc: at }))));
    const first = await look();
    if (!first.some(isDirectory)) return true;
    // Where the range stays the same one may have answered before it was removed, and the others after that.
    const replies = await look();
    isOutdated = replies.some(isRefused);
    if (isOutdated || first.some((reply, i) => isDirectory(reply) && !isDirectory(replies[i]!))) return false;
    const now = copiesOf(d, replies, hashed);
    if (now.gfid !== copies.gfid) return false;
    const missing = d.indices.filter((i) => isAbsent(replies[i]));
    const isMarked = now.mds !== undefined || !hasRange(now.layout);
    if (isAbsent(replies[hashed]) && !isMarked && !isWhole(now.layout)) return false;
    const source = authorityIatt(now);
    const shared = await sharedXattrs(d, call, now);
    if (!shared) return false;
    const empty = { commit: commitOf(now), type: LayoutType.hash, start: 0, stop: 0 };
    const initial: Xattrs = { ...shared, [d.names.layout]: encodeRange(empty) };
    const made = await d.ask(missing, async (child, i) => {
      const mode = (FileType.directory << 12) | source.mode;
      const args: Args<'mkdir'> = { loc: at, mode, gfid: source.gfid, initial };
      const reply = await child.mkdir(d.callAs(call, source), believe(i)(args));
      // The new parent's set-gid bit or ACL may have had its say: the source's attributes count.
      if (reply.ok) await child.setattr(own, { loc: locOf(source.gfid), attr: attributesOf(source) });
      return reply;
    });
    isOutdated = made.some((reply) => isAbsent(reply) || isRefused(reply));
    return made.every((reply) => reply.ok);
  });
  if (isOutdated) return 'look above';
  return done === true ? 'made' : 'not made';
}

/** Another layout counts by now. */
function isRefused(reply: { readonly ok: true } | Failure): boolean {
  return !reply.ok && reply.errno === Errno.EREMCHG;
}

function commitOf(copies: Copies): number {
  return layoutOf(copies.layout.parts.filter((part) => part.state === 'range')).commit;
}

function attributesOf(iatt: Iatt): AttrChange {
  return { mode: iatt.mode, uid: iatt.uid, gid: iatt.gid };
}

// --- layout ---

async function writeLayout(d: Distribute, call: Call, copies: Copies): Promise<boolean> {
  const own = d.ownCall(call);
  const loc = locOf(copies.gfid);
  const done = await withLayout(d, call, d.indices, copies.gfid, async () => {
    const replies = await d.ask(d.indices, (child) => child.lookup(own, askArgs(d, { loc })));
    if (!replies.every(isDirectory)) return false;
    const now = copiesOf(d, replies, undefined);
    if (isWhole(now.layout)) return true;
    const userSet = now.layout.parts.some((part) => part.state === 'range' && part.range.type === LayoutType.user);
    if (userSet) return false;
    const commit = now.gfid === rootGfid && hasRange(now.layout) ? changedCommit : invalidCommit;
    const ranges = await newRanges(d, now.gfid, pathOf(d, now.gfid), commit);
    const written = await d.ask(d.indices, (child, i) =>
      child.setxattr(own, { loc, xattrs: { [d.names.layout]: encodeRange(ranges[i]!) }, flags: 0 }),
    );
    return written.every((reply) => reply.ok);
  });
  return done === true;
}

// --- attributes and xattrs ---

/** Children whose copy has another owner or mode than the authority's. */
function staleAttributes(d: Distribute, copies: Copies): number[] {
  const source = authorityIatt(copies);
  return d.indices.filter((i) => {
    const reply = copies.replies[i]!;
    if (!isDirectory(reply) || reply.iatt.gfid !== copies.gfid) return false;
    return !isAlike(reply.iatt, source);
  });
}

/** They may be changed again and again while they are copied. */
const attemptsMax = 4;

/**
 * Without a lock: a change reaches the deciding copy first. If that has still what was copied, a change that it has yet to get reaches the
 * others later, too; else the older attributes may have been brought back to a copy that had the new ones.
 */
async function copyAttributes(d: Distribute, call: Call, copies: Copies): Promise<boolean> {
  const own = d.ownCall(call);
  const loc = locOf(copies.gfid);
  const stale = staleAttributes(d, copies);
  let source = authorityIatt(copies);
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const attr: AttrChange = { ...attributesOf(source), ctime: { sec: source.ctime, nsec: source.ctimeNsec } };
    const done = await d.ask(stale, (child) => child.setattr(own, { loc, attr }));
    if (!done.every((reply) => reply.ok)) return false;
    const now = await d.children[copies.authority]!.stat(own, { loc });
    if (!now.ok) return false;
    if (isAlike(now.iatt, source)) return true;
    source = now.iatt;
  }
  return false;
}

function isAlike(a: Iatt, b: Iatt): boolean {
  return a.mode === b.mode && a.uid === b.uid && a.gid === b.gid;
}

/** A negative counter at the MDS: a change of xattrs did not reach all. */
function staleXattrs(d: Distribute, { replies, mds, gfid, layout }: Copies): boolean {
  if (gfid === rootGfid) return isRootStale(d, replies, layout);
  if (mds === undefined) return false;
  return decodeCounter((replies[mds] as Found).xattrs[d.names.mds]) < 0;
}

/** The generation in which copies of the root that have no layout were last seen to have its xattrs: they may be without one for long. */
const newInLine = new WeakMap<Distribute, number>();

/** A copy missed a change; or it is new, and has no layout yet. */
function isRootStale(d: Distribute, replies: Copies['replies'], layout: Copies['layout']): boolean {
  const isNew = hasRange(layout) && layout.parts.some((part) => part.state === 'bare');
  return (
    (isNew && newInLine.get(d) !== d.generation) || replies.some((reply) => isDirectory(reply) && aheadBy(d, reply) > 0)
  );
}

/** No copy of the root missed anything, and a new one has nothing to get: no lock is needed to know that. */
async function hasNothingForNew(d: Distribute, call: Call, copies: Copies): Promise<boolean> {
  if (copies.replies.some((reply) => isDirectory(reply) && aheadBy(d, reply) > 0)) return false;
  const shared = await sharedXattrs(d, call, copies);
  return shared !== undefined && Object.keys(shared).length === 0;
}

async function copyRootXattrs(d: Distribute, call: Call, copies: Copies): Promise<boolean> {
  const { generation } = d;
  const done = (await hasNothingForNew(d, call, copies)) || (await healRoot(d, call));
  if (done) newInLine.set(d, generation);
  return done;
}

/** The root's: its attributes, too, since what tells who is right goes with it. */
async function healRoot(d: Distribute, call: Call): Promise<boolean> {
  const loc = locOf(rootGfid);
  const own = d.ownCall(call);
  const done = await withLayout(d, call, d.indices, rootGfid, async () => {
    const replies = await d.ask(d.indices, (child) => child.lookup(own, askArgs(d, { loc })));
    if (!replies.every(isDirectory)) return false;
    const now = copiesOf(d, replies, undefined);
    if (!staleXattrs(d, now)) return true;
    if (!(await copyAttributes(d, call, now))) return false;
    const shared = await sharedXattrs(d, call, now);
    if (!shared) return false;
    const others = d.indices.filter((i) => i !== now.authority);
    const copied = await Promise.all(others.map((i) => copyXattrsTo(d, call, i, loc, shared)));
    if (!copied.every(Boolean)) return false;
    const ahead = d.indices.filter((i) => aheadBy(d, replies[i] as Found) > 0);
    const cleared = await d.ask(ahead, (child) => child.removexattr(own, { loc, name: d.names.ahead }));
    return cleared.every((reply) => reply.ok);
  });
  return done === true;
}

async function sharedXattrs(d: Distribute, call: Call, copies: Copies): Promise<Xattrs | undefined> {
  const reply = await d.children[copies.authority]!.getxattr(d.ownCall(call), { loc: locOf(copies.gfid) });
  if (!reply.ok) return undefined;
  return Object.fromEntries(Object.entries(reply.xattrs).filter(([name]) => isSharedXattr(name)));
}

async function copyXattrs(d: Distribute, call: Call, copies: Copies): Promise<boolean> {
  if (copies.gfid === rootGfid) return copyRootXattrs(d, call, copies);
  const mds = copies.mds!;
  const loc = locOf(copies.gfid);
  const own = d.ownCall(call);
  const done = await withLayout(d, call, [mds], copies.gfid, async () => {
    const counter = await d.children[mds]!.getxattr(own, { loc, name: d.names.mds });
    if (!counter.ok) return false;
    const pending = decodeCounter(counter.xattrs[d.names.mds]);
    if (pending >= 0) return true;
    const shared = await sharedXattrs(d, call, { ...copies, authority: mds });
    if (!shared) return false;
    const others = d.indices.filter((i) => i !== mds);
    const copied = await Promise.all(others.map((i) => copyXattrsTo(d, call, i, loc, shared)));
    if (!copied.every(Boolean)) return false;
    const values = { [d.names.mds]: encodeCounter(-pending) };
    return (await d.children[mds]!.xattrop(own, { loc, operation: 'add32', values })).ok;
  });
  return done === true;
}

async function copyXattrsTo(d: Distribute, call: Call, child: number, loc: Loc, shared: Xattrs): Promise<boolean> {
  const own = d.ownCall(call);
  const there = await d.children[child]!.getxattr(own, { loc });
  if (!there.ok) return false;
  for (const name of Object.keys(there.xattrs)) {
    if (!isSharedXattr(name) || shared[name] !== undefined) continue;
    const removed = await d.children[child]!.removexattr(own, { loc, name });
    if (!removed.ok) return false;
  }
  if (Object.keys(shared).length === 0) return true;
  return (await d.children[child]!.setxattr(own, { loc, xattrs: shared, flags: 0 })).ok;
}
