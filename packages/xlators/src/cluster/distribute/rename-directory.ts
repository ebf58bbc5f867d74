/** rename of a directory: on all children; what succeeded is taken back when one fails. */
import {
  type Args,
  type AttrChange,
  type Call,
  Errno,
  type Failure,
  FileType,
  fail,
  locAt,
  locOf,
  type Reply,
  type Success,
} from '@mortar/core';
import { type Distribute, isFailure } from './distribute.ts';
import { whenEmpty } from './empty.ts';
import { withoutIdentity } from './loc.ts';
import { withNames } from './locks.ts';
import { askArgs, isAbsent } from './lookup.ts';
import { mergeDirectoryIatts } from './merge.ts';
import { isSharedXattr } from './names.ts';
import type { RenamePlan } from './rename.ts';

type RenameReply = Reply<'rename'>;

export async function renameDirectory(d: Distribute, call: Call, plan: RenamePlan): Promise<RenameReply> {
  const { args, fromHashed, toHashed, target } = plan;
  // A copy that kept the old name would come back as a second directory.
  if (d.someDown) return fail(Errno.ENOTCONN);
  if (target && !target.directory) return fail(Errno.ENOTDIR);
  const names = [
    { child: fromHashed, parent: args.from.parent!, name: args.from.name! },
    { child: toHashed, parent: args.to.parent!, name: args.to.name! },
  ];
  const rename = () => withNames(d, call, names, () => renameCopies(d, call, plan));
  return target && target.gfid !== plan.gfid ? whenEmpty(d, call, target.gfid, rename) : rename();
}

/** First where the new name hashes to: it decides, with the caller's permissions. Then the others at once. */
async function renameCopies(d: Distribute, call: Call, plan: RenamePlan): Promise<RenameReply> {
  const { args, toHashed, target } = plan;
  const replaced = target && target.gfid !== plan.gfid ? await asItIs(d, call, plan) : undefined;
  if (replaced && isFailure(replaced)) return replaced;
  const first = await d.children[toHashed]!.rename(call, args);
  if (!first.ok) return first;
  const others = d.indices.filter((i) => i !== toHashed);
  const rest = await d.ask(others, (_child, i) => renameCopy(d, call, plan, i));
  const failed = rest.find((reply) => !reply.ok);
  if (failed && !failed.ok) {
    const done = [toHashed, ...others.filter((_, k) => isRenamed(rest[k]!))];
    await takeBack(d, call, plan, done);
    if (replaced) await bringBack(d, call, plan, replaced);
    return failed;
  }
  if (target) d.forgetState(target.gfid);
  const inode = d.services.inodes.find(plan.gfid);
  if (inode) d.services.inodes.link(args.to.parent!, args.to.name!, inode);
  return merged([first, ...rest.filter(isRenamed)]);
}

/** A child that is new has no copy yet, nor perhaps the directory that it is in: nothing is to be renamed there, and it is made when it is looked up. */
type NoCopy = { readonly ok: true; readonly isMissing: true };

function isRenamed(reply: RenameReply | NoCopy): reply is Success<'rename'> {
  return reply.ok && !('isMissing' in reply);
}

/** Under the locks of both names: nobody makes the copy meanwhile. */
async function renameCopy(
  d: Distribute,
  call: Call,
  { args, target }: RenamePlan,
  i: number,
): Promise<RenameReply | NoCopy> {
  const child = d.children[i]!;
  const reply = await child.rename(call, args);
  if (!isAbsent(reply)) return reply;
  const own = d.ownCall(call);
  // Or it is the new name's directory that is missing: then the copy would keep its old name.
  const there = await child.lookup(own, { loc: withoutIdentity(args.from) });
  if (!isAbsent(there)) return reply;
  const removed = target ? await child.rmdir(own, { loc: args.to, recursive: false }) : undefined;
  return removed && !removed.ok && !isAbsent(removed) ? removed : { ok: true, isMissing: true };
}

async function takeBack(d: Distribute, call: Call, plan: RenamePlan, done: readonly number[]): Promise<void> {
  const { args } = plan;
  const from = { ...locAt(args.to.parent!, args.to.name!), gfid: plan.gfid };
  const to = locAt(args.from.parent!, args.from.name!);
  const back = await d.ask(done, (child) => child.rename(d.ownCall(call), { from, to, flags: 0 }));
  if (back.some((reply) => !reply.ok))
    d.warn(`rename of directory ${plan.gfid} failed half-way and could not be taken back: repeat it`);
}

/** What the new name has, as its deciding copy is; none, where it has none. */
interface Replaced {
  readonly made: Omit<Args<'mkdir'>, 'loc'>;
  readonly attr: AttrChange;
}

async function asItIs(
  d: Distribute,
  call: Call,
  { args, toHashed, target }: RenamePlan,
): Promise<Replaced | Failure | undefined> {
  const { layout, mds } = d.names;
  const own = d.ownCall(call);
  const child = d.children[toHashed]!;
  const found = await child.lookup(own, askArgs(d, { loc: withoutIdentity(args.to) }));
  if (!found.ok) return isAbsent(found) ? undefined : found;
  const { gfid, mode, uid, gid, atime, atimeNsec, mtime, mtimeNsec } = found.iatt;
  if (gfid !== target!.gfid) return undefined;
  const has = await child.getxattr(own, { loc: locOf(gfid) });
  if (!has.ok && has.errno !== Errno.ENODATA) return has;
  const kept = { ...(has.ok && has.xattrs), ...found.xattrs };
  const isKept = (name: string) => name === layout || name === mds || isSharedXattr(name);
  const initial = Object.fromEntries(Object.entries(kept).filter(([name]) => isKept(name)));
  const times = { atime: { sec: atime, nsec: atimeNsec }, mtime: { sec: mtime, nsec: mtimeNsec } };
  return {
    made: { mode: (FileType.directory << 12) | mode, gfid, initial },
    attr: { mode, uid, gid, ...times },
  };
}

/**
 * It has gone where it was replaced already. Without its deciding copy nobody would see it any more, nor what came into it meanwhile; with that
 * the others are made when it is looked up.
 */
async function bringBack(d: Distribute, call: Call, plan: RenamePlan, { made, attr }: Replaced): Promise<void> {
  const own = d.ownCall(call);
  const child = d.children[plan.toHashed]!;
  const again = await child.mkdir(own, { ...made, loc: withoutIdentity(plan.args.to) });
  const done = again.ok ? await child.setattr(own, { loc: locOf(made.gfid), attr }) : again;
  if (!done.ok)
    d.warn(`directory ${made.gfid}, which was to be replaced, is not brought back whole: errno ${done.errno}`);
}

function merged(replies: readonly Success<'rename'>[]): RenameReply {
  const of = (pick: (reply: Success<'rename'>) => Success<'rename'>['iatt']) => mergeDirectoryIatts(replies.map(pick));
  return {
    ...replies[0]!,
    iatt: of((reply) => reply.iatt),
    preFromParent: of((reply) => reply.preFromParent),
    postFromParent: of((reply) => reply.postFromParent),
    preToParent: of((reply) => reply.preToParent),
    postToParent: of((reply) => reply.postToParent),
  };
}
