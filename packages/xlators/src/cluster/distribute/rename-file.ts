/**
 * rename of a file. Its data stays where it is; what moves is names and linktos, in an order in which at any time one
 * of the two names, or both, leads to the file (docs/distribute.md).
 */
import { type Args, type Call, Errno, fail, locAt, type Reply } from '@mortar/core';
import type { Distribute } from './distribute.ts';
import { meaningData } from './linkto.ts';
import { makeLinkto, removeLinkto } from './linkto-files.ts';
import { withoutIdentity } from './loc.ts';
import { withNames } from './locks.ts';
import { type RenamePlan, withDirectoryParents } from './rename.ts';

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
  return withNames(d, call, names, async () => {
    // A target on the source's own child is replaced by the rename there; else there may be no moment without a name.
    const direct = toHashed === source || target?.child === source;
    return direct ? renameDirectly(d, call, plan, source) : renameByLink(d, call, plan, source);
  });
}

/** The data's rename replaces what is there; linktos follow. */
async function renameDirectly(d: Distribute, call: Call, plan: RenamePlan, source: number): Promise<RenameReply> {
  const { args, fromHashed, toHashed, target } = plan;
  const needsLinkto = toHashed !== source;
  if (needsLinkto) {
    const prepared = await prepareLinkto(d, call, plan, source);
    if (!prepared.ok) return prepared;
  }
  const given = meaningData(args, d.names.linkto);
  const reply = await d.children[source]!.rename(call, needsLinkto ? given : plan.believe(given));
  if (!reply.ok) {
    if (needsLinkto && toHashed !== fromHashed) await removeLinkto(d, call, toHashed, args.from);
    return reply;
  }
  if (needsLinkto) await moveLinkto(d, call, plan);
  await clearOldNames(d, call, plan, source);
  if (target?.child !== undefined && target.child !== source) await removeOldTarget(d, call, plan, target.child);
  return finish(d, plan, source, reply);
}

/** First the new name on the data's child, unseen; then the linkto that shows it; then the old names go. */
async function renameByLink(d: Distribute, call: Call, plan: RenamePlan, source: number): Promise<RenameReply> {
  const { args, fromHashed, toHashed, target } = plan;
  const prepared = await prepareLinkto(d, call, plan, source);
  if (!prepared.ok) return prepared;
  const undo = async () => {
    if (toHashed !== fromHashed) await removeLinkto(d, call, toHashed, args.from);
  };
  const second: Args<'link'> = { from: args.from, to: withoutIdentity(args.to) };
  const linked = await d.children[source]!.link(call, meaningData(second, d.names.linkto));
  if (!linked.ok) {
    await undo();
    return linked;
  }
  // As the caller: whether the target may be replaced is decided here, before anything is removed.
  const shown = await d.children[toHashed]!.rename(call, plan.believe({ ...args, from: withoutIdentity(args.from) }));
  if (!shown.ok) {
    await d.children[source]!.unlink(d.ownCall(call), { loc: locAt(args.to.parent!, args.to.name!) });
    await undo();
    return shown;
  }
  const removed = await d.children[source]!.unlink(call, { loc: args.from });
  if (!removed.ok) {
    // Not allowed, or the child went away: both names stay, which is what a crash here leaves too.
    if (removed.errno !== Errno.ENOENT) d.warn(`rename of ${plan.gfid}: its old name stays: errno ${removed.errno}`);
    if (removed.errno === Errno.EACCES || removed.errno === Errno.EPERM) return removed;
  }
  await clearOldNames(d, call, plan, source);
  if (target?.child !== undefined && target.child !== toHashed) await removeOldTarget(d, call, plan, target.child);
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

/** A linkto under the old name where the new one hashes to, unless the old name's linkto is there already. */
async function prepareLinkto(d: Distribute, call: Call, plan: RenamePlan, source: number) {
  const file = await d.children[source]!.stat(d.ownCall(call), { loc: { gfid: plan.gfid, parent: null, name: null } });
  if (!file.ok) return file;
  return makeLinkto(d, call, plan.toHashed, plan.args.from, file.iatt, source);
}

async function moveLinkto(d: Distribute, call: Call, plan: RenamePlan): Promise<void> {
  const { args, toHashed } = plan;
  const from = withoutIdentity(args.from);
  const moved = await d.children[toHashed]!.rename(d.ownCall(call), { ...args, from, flags: 0 });
  // The file is renamed; a lookup that goes everywhere mends the linkto.
  if (!moved.ok) d.warn(`rename of ${plan.gfid}: its linkto stays behind: errno ${moved.errno}`);
}

async function clearOldNames(d: Distribute, call: Call, plan: RenamePlan, source: number): Promise<void> {
  const { args, fromHashed, toHashed } = plan;
  if (fromHashed !== source && fromHashed !== toHashed) await removeLinkto(d, call, fromHashed, args.from);
}

async function removeOldTarget(d: Distribute, call: Call, plan: RenamePlan, child: number): Promise<void> {
  const loc = { ...plan.args.to, gfid: plan.target!.gfid };
  const removed = await d.children[child]!.unlink(d.ownCall(call), { loc });
  if (!removed.ok && removed.errno !== Errno.ENOENT)
    d.warn(`rename over ${plan.target!.gfid}: its data stays on ${d.childName(child)}: errno ${removed.errno}`);
}

function finish(d: Distribute, plan: RenamePlan, child: number, reply: RenameReply): RenameReply {
  if (!reply.ok) return reply;
  const { to } = plan.args;
  d.services.inodes.link(to.parent!, to.name!, d.remember(plan.gfid, { kind: 'file', child }));
  return withDirectoryParents(reply);
}
