/**
 * rename of a file. Its data stays where it is; what moves is names and linktos, in an order in which at any time one
 * of the two names, or both, leads to the file (docs/distribute.md).
 */
import {
  type Args,
  type Call,
  Errno,
  type Failure,
  fail,
  type Gfid,
  type Iatt,
  type Loc,
  locOf,
  type Reply,
} from '@mortar/core';
import { type Distribute, isFailure } from './distribute.ts';
import type { Leftover } from './leftovers.ts';
import { meaningData } from './linkto.ts';
import {
  type Done,
  type Linked,
  makeLinkto,
  removeLinkto,
  removeStaleLinkto,
  removeStaleLinktoLocked,
} from './linkto-files.ts';
import { withoutIdentity } from './loc.ts';
import { withNames } from './locks.ts';
import { discover, type Found, isAbsent, isData, isLinkto, isNotNamed, lookOn, lookupAfresh } from './lookup.ts';
import { removeMark } from './marks.ts';
import { orElsewhere } from './on-file.ts';
import { type RenamePlan, withDirectoryParents } from './rename.ts';
import { replacing } from './replaced.ts';
import { settled } from './settle.ts';
import { renaming, takeBackInTheWay } from './unseen-name.ts';

type RenameReply = Reply<'rename'>;

export async function renameFile(d: Distribute, call: Call, plan: RenamePlan, source: number): Promise<RenameReply> {
  const { args, fromHashed, toHashed, target, believe } = plan;
  if (target?.directory) return fail(Errno.EISDIR);
  if (!d.isUp(source) || (target?.child !== undefined && !d.isUp(target.child))) return fail(Errno.ENOTCONN);
  const together = [fromHashed, toHashed, target?.child ?? source].every((child) => child === source);
  if (together)
    return finish(d, plan, source, await d.children[source]!.rename(call, believe(meaningData(args, d.names.linkto))));
  const names = [
    { child: fromHashed, parent: args.from.parent!, name: args.from.name! },
    { child: toHashed, parent: args.to.parent!, name: args.to.name! },
  ];
  // A target on the source's own child is replaced by the rename there; else there may be no moment without a name.
  const direct = toHashed === source || target?.child === source;
  if (!direct) return withNames(d, call, names, () => renameByLink(d, call, plan, source));
  const seen: Seen = { isOutdated: false };
  const reply = await withNames(d, call, names, () => renameDirectly(d, call, plan, source, seen));
  if (!reply.ok || !seen.isOutdated) return reply;
  const done = await mendUnderNewLayout(d, call, plan, source);
  return done.ok ? reply : done;
}

interface Seen {
  /** The layout by which the new name was placed did not count any more when it was shown. */
  isOutdated: boolean;
}

/** The data's rename replaces what is there; linktos follow. */
async function renameDirectly(
  d: Distribute,
  call: Call,
  plan: RenamePlan,
  source: number,
  seen: Seen,
): Promise<RenameReply> {
  const { args, fromHashed, toHashed, target } = plan;
  const needsLinkto = toHashed !== source;
  if (needsLinkto) {
    // Under the lock of its name: until here a rebalance may have taken it away, and the data's rename would replace nothing.
    const there = await lookOn(d, call, source, args.to);
    if (!isData(d, there) || there.iatt.gfid !== target!.gfid)
      return there.ok || isAbsent(there) ? fail(Errno.EEXIST) : there;
    const file = await asPlanned(d, call, plan, source);
    if (!file.ok) return file;
    const prepared = await prepareLinkto(d, call, plan, source, file.iatt);
    if (!prepared.ok) return prepared;
  }
  // No linkto will tell of what it replaces elsewhere: the file itself does.
  const replaces = target?.child !== undefined && target.child !== source;
  if (replaces) {
    const said = await sayReplacing(d, call, plan, source);
    if (!said.ok) return said;
  }
  const given = meaningData(args, d.names.linkto);
  const reply = await d.children[source]!.rename(call, needsLinkto ? given : plan.believe(given));
  if (!reply.ok) {
    if (replaces)
      await d.children[source]!.removexattr(d.ownCall(call), { loc: locOf(plan.gfid), name: d.names.replaced });
    if (needsLinkto && toHashed !== fromHashed) await removeLinkto(d, call, toHashed, args.from);
    return reply;
  }
  if (needsLinkto) seen.isOutdated = !(await moveLinkto(d, call, plan));
  await clearOldNames(d, call, plan, source);
  if (replaces && (await removeOldTarget(d, call, plan, target.child!)))
    await removeMark(d, d.ownCall(call), source, reply.iatt, d.names.replaced);
  return finish(d, plan, source, reply);
}

function sayReplacing(
  d: Distribute,
  call: Call,
  { args, gfid, target }: RenamePlan,
  source: number,
): Promise<Reply<'setxattr'>> {
  const xattrs = replacing(d, { parent: args.to.parent!, name: args.to.name! }, target!.gfid);
  return d.children[source]!.setxattr(d.ownCall(call), { loc: locOf(gfid), xattrs, flags: 0 });
}

/** First the new name on the data's child, unseen; then the linkto that shows it; then the old names go. */
async function renameByLink(d: Distribute, call: Call, plan: RenamePlan, source: number): Promise<RenameReply> {
  const { args, fromHashed, toHashed, target } = plan;
  const file = await asPlanned(d, call, plan, source);
  if (!file.ok) return file;
  const prepared = await prepareLinkto(d, call, plan, source, file.iatt, true);
  if (!prepared.ok) return prepared;
  const told = { loc: locOf(plan.gfid), name: d.names.renaming };
  const undo = async () => {
    if (toHashed !== fromHashed) await removeLinkto(d, call, toHashed, args.from);
    // That of the old name stays, and goes nowhere: the file may come by the new one in another way.
    else await d.ask([toHashed], (child) => child.removexattr(d.ownCall(call), told));
  };
  const second: Args<'link'> = { from: args.from, to: withoutIdentity(args.to) };
  const link = () => d.children[source]!.link(call, meaningData(second, d.names.linkto));
  let linked: Reply<'link'> = await link();
  // A linkto where the name does not hash to has no use.
  if (!linked.ok && linked.errno === Errno.EEXIST && (await removeLinkto(d, call, source, second.to)).ok)
    linked = await link();
  if (!linked.ok && linked.errno === Errno.EEXIST) linked = (await ownName(d, call, plan, source)) ?? linked;
  if (!linked.ok && linked.errno === Errno.EEXIST) {
    const to = { parent: args.to.parent!, name: args.to.name! };
    if ((await takeBackInTheWay(d, call, source, to, toHashed)).ok) linked = await link();
  }
  const unseen = { child: source, parent: args.to.parent!, name: args.to.name!, gfid: plan.gfid };
  const takeBack = async () => {
    // A rename on one child takes no locks: the old name may be gone by it, and this one is all that is left of the file.
    if (!(await hasName(d, call, source, args.from, plan.gfid))) return;
    const taken = await unlinkWhereItIs(d, d.ownCall(call), withoutIdentity(args.to), plan.gfid, source);
    // A name that nobody sees, until what is seen under it goes. Should this client end before the child is back, the linkto tells of it.
    if (!taken.ok && !isAbsent(taken)) d.leftovers.add(unseen);
    else await undo();
  };
  if (!linked.ok) {
    // It may have been done, though it was not answered.
    if (await isNotNamed(d, call, source, args.to, plan.gfid)) await undo();
    else if (await hasName(d, call, source, args.to, plan.gfid)) await takeBack();
    else d.leftovers.add(unseen);
    return linked;
  }
  // As the caller: whether the target may be replaced is decided here, before anything is removed.
  const shown = await d.children[toHashed]!.rename(call, plan.believe({ ...args, from: withoutIdentity(args.from) }));
  const isShown = shown.ok || (shown.errno === Errno.EEXIST && (await isShownAlready(d, call, plan)));
  if (!isShown) {
    await takeBack();
    return shown;
  }
  // The linkto did not go with it.
  if (!shown.ok) await removeLinkto(d, call, toHashed, args.from);
  const [removed] = await Promise.all([
    unlinkWhereItIs(d, call, args.from, plan.gfid, source),
    // The linkto has its name: it is as GlusterFS leaves one. Where that fails it says nothing by now.
    d.ask([toHashed], (child) => child.removexattr(d.ownCall(call), told)),
  ]);
  // Whatever comes of the old name: what the new one had is replaced.
  if (target?.child !== undefined && target.child !== toHashed) await removeOldTarget(d, call, plan, target.child);
  if (!removed.ok && !isAbsent(removed)) {
    // Not allowed, or the child went away: both names stay, which is what a crash here leaves too. Nobody is told that the old one is gone.
    d.warn(`rename of ${plan.gfid}: its old name stays: errno ${removed.errno}`);
    return removed;
  }
  await clearOldNames(d, call, plan, source);
  const fromParents = removed.ok ? removed : { preParent: linked.preParent, postParent: linked.postParent };
  return finish(d, plan, source, {
    ok: true,
    iatt: { ...linked.iatt, nlink: Math.max(1, linked.iatt.nlink - 1) },
    preFromParent: fromParents.preParent,
    postFromParent: fromParents.postParent,
    preToParent: linked.preParent,
    postToParent: linked.postParent,
  });
}

/** Who looked for the name everywhere found it at the data, and made the linkto that it lacked. */
async function isShownAlready(d: Distribute, call: Call, { args, gfid, toHashed }: RenamePlan): Promise<boolean> {
  const there = await lookOn(d, call, toHashed, args.to);
  return isLinkto(d, there) && there.iatt.gfid === gfid;
}

/** False also where that is not known. */
async function hasName(d: Distribute, call: Call, child: number, loc: Loc, gfid: Gfid): Promise<boolean> {
  const there = await lookOn(d, call, child, loc);
  return isData(d, there) && there.iatt.gfid === gfid;
}

/** The new name that the file has where it is already, unseen: of when it was replaced there, or could not be taken back. */
async function ownName(
  d: Distribute,
  call: Call,
  plan: RenamePlan,
  source: number,
): Promise<Reply<'link'> | undefined> {
  const there = await lookOn(d, call, source, plan.args.to);
  if (!isData(d, there) || there.iatt.gfid !== plan.gfid) return undefined;
  return { ok: true, iatt: there.iatt, preParent: there.postParent, postParent: there.postParent };
}

/** A rebalance may have taken the file elsewhere, with this name, since the operation began. */
async function unlinkWhereItIs(
  d: Distribute,
  call: Call,
  loc: Loc,
  gfid: Gfid,
  child: number,
): Promise<Reply<'unlink'>> {
  let place = child;
  return orElsewhere(d, call, gfid, async () => {
    const located = await d.locate(call, gfid);
    const state = isFailure(located) ? located : await settled(d, call, gfid, located);
    if (!isFailure(state) && state.kind === 'file') place = state.child;
    if (place !== child) {
      // What was put in its place is not meant.
      const found = await d.children[place]!.lookup(d.ownCall(call), { loc: withoutIdentity(loc) });
      if (!found.ok) return found;
      if (found.iatt.gfid !== gfid) return fail(Errno.ENOENT);
    }
    const given: Args<'unlink'> = { loc: { ...loc, gfid } };
    return d.children[place]!.unlink(call, meaningData(given, d.names.linkto));
  });
}

/**
 * Under the locks of both names: the file, if they are what was planned with. Another client may have renamed it since, and then what
 * is to be made and taken back here would be his. ENOENT: the old name is not the file's any more; EEXIST: something has got the new one.
 */
async function asPlanned(
  d: Distribute,
  call: Call,
  { args, gfid, target, toHashed }: RenamePlan,
  source: number,
): Promise<Found | Failure> {
  const [from, to] = await Promise.all([lookOn(d, call, source, args.from), lookOn(d, call, toHashed, args.to)]);
  if (!from.ok && !isAbsent(from)) return from;
  if (!from.ok || !isData(d, from) || from.iatt.gfid !== gfid) return fail(Errno.ENOENT);
  if (!to.ok) return isAbsent(to) ? from : to;
  if (to.iatt.gfid === target?.gfid) return from;
  if (isLinkto(d, to)) {
    const removed = await removeStaleLinktoLocked(d, call, toHashed, args.to);
    if (!removed.ok) return removed;
    if (isAbsent(await lookOn(d, call, toHashed, args.to))) return from;
  }
  return fail(Errno.EEXIST);
}

/**
 * A linkto under the old name where the new one hashes to, unless the old name's linkto is there already. `unseen`: the file is to get
 * its new name before that is shown.
 */
async function prepareLinkto(
  d: Distribute,
  call: Call,
  plan: RenamePlan,
  source: number,
  { gfid, uid, gid }: Iatt,
  unseen = false,
) {
  const { toHashed, fromHashed, args, target } = plan;
  // Should this end before what it replaces is taken away, whoever finds the linkto knows.
  const isLeft = target?.child !== undefined && target.child !== toHashed && target.child !== source;
  const to = { parent: args.to.parent!, name: args.to.name! };
  const from = { parent: args.from.parent!, name: args.from.name! };
  const says = { ...(isLeft && replacing(d, to, target.gfid)), ...(unseen && renaming(d, from, to)) };
  const linked: Linked = { gfid, uid, gid, says };
  const make = () => makeLinkto(d, call, toHashed, args.from, linked, source);
  const made = await make();
  if (made.ok || made.errno !== Errno.EEXIST) return made;
  // One of a file that had the name before.
  const remove = toHashed === fromHashed ? removeStaleLinktoLocked : removeStaleLinkto;
  const removed = await remove(d, call, toHashed, args.from);
  return removed.ok ? make() : removed;
}

/** The file has its new name already. False: it does not hash to there any more. */
async function moveLinkto(d: Distribute, call: Call, plan: RenamePlan): Promise<boolean> {
  const { args, toHashed } = plan;
  const from = withoutIdentity(args.from);
  const moved = await d.children[toHashed]!.rename(d.ownCall(call), plan.believe({ ...args, from, flags: 0 }));
  if (!moved.ok && moved.errno === Errno.EREMCHG) {
    await removeLinkto(d, call, toHashed, args.from);
    return false;
  }
  // A lookup that goes everywhere mends the linkto.
  if (!moved.ok) d.warn(`rename of ${plan.gfid}: its linkto stays behind: errno ${moved.errno}`);
  return true;
}

/** What was to be replaced may have moved, before it was, to where its name hashes to now: there it would hide the file. */
async function mendUnderNewLayout(d: Distribute, call: Call, plan: RenamePlan, source: number): Promise<Done> {
  const { args, target } = plan;
  const own = d.ownCall(call);
  const { gfid } = target!;
  d.forgetState(gfid);
  const found = await discover(d, own, gfid);
  if (!found.ok && !isAbsent(found)) return found;
  const state = d.stateOf(gfid);
  if (state?.kind === 'file' && state.child !== source) {
    const removed = await unlinkWhereItIs(d, own, args.to, gfid, source);
    if (!removed.ok && !isAbsent(removed)) return removed;
  }
  // Makes a linkto where the name hashes to now.
  const parent = await discover(d, own, args.to.parent!);
  return parent.ok ? lookupAfresh(d, own, { loc: withoutIdentity(args.to) }) : parent;
}

async function clearOldNames(d: Distribute, call: Call, plan: RenamePlan, source: number): Promise<void> {
  const { args, fromHashed, toHashed } = plan;
  if (fromHashed !== source && fromHashed !== toHashed) await removeLinkto(d, call, fromHashed, args.from);
}

/** Whether it is gone. */
async function removeOldTarget(d: Distribute, call: Call, plan: RenamePlan, child: number): Promise<boolean> {
  const loc = { ...plan.args.to, gfid: plan.target!.gfid };
  const { gfid } = plan.target!;
  const removed = await unlinkWhereItIs(d, d.ownCall(call), loc, gfid, child);
  if (removed.ok || isAbsent(removed)) return true;
  d.warn(`rename over ${gfid}: its data stays on ${d.childName(child)} until that is back: errno ${removed.errno}`);
  d.leftovers.add({ child, parent: loc.parent!, name: loc.name!, gfid });
  return false;
}

/** What an interrupted rename replaced, once its child is back. Whether it is gone. */
export async function removeLeftover(
  d: Distribute,
  call: Call,
  { parent, name, gfid, child }: Leftover,
): Promise<boolean> {
  const removed = await unlinkWhereItIs(d, call, { parent, name, gfid }, gfid, child);
  return removed.ok || isAbsent(removed);
}

function finish(d: Distribute, plan: RenamePlan, child: number, reply: RenameReply): RenameReply {
  if (!reply.ok) return reply;
  const { to } = plan.args;
  d.services.inodes.link(to.parent!, to.name!, d.remember(plan.gfid, { kind: 'file', child }));
  return withDirectoryParents(reply);
}
