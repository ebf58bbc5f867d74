/** Making and removing linkto files on a child. */
import {
  type Args,
  type Call,
  Errno,
  type Failure,
  FileType,
  fail,
  type Iatt,
  type Loc,
  locAt,
  locOf,
  type Xattrs,
} from '@mortar/core';
import type { Distribute } from './distribute.ts';
import { encodeLinkto, linktoMode, linktoTarget, looksLikeLinkto } from './linkto.ts';
import { withNames } from './locks.ts';
import { askArgs, isAbsent, isData, isLinkto } from './lookup.ts';
import { type Believe, believesNothing } from './under-layout.ts';

/** What is in the way of a linkto may come and go, as that of another name while its file moves. */
const attemptsMax = 3;

export type Done = { ok: true } | Failure;

/** The file that a linkto is made for, and what the linkto is to say beside where it leads. */
export type Linked = Pick<Iatt, 'gfid' | 'uid' | 'gid'> & { readonly says?: Xattrs };

/** A linkto for `loc` on `child`, pointing to the child `target` that has (or will have) the file. */
export async function makeLinkto(
  d: Distribute,
  call: Call,
  child: number,
  loc: Loc,
  file: Linked,
  target: number,
  believe: Believe = believesNothing,
  attempt = 1,
): Promise<Done> {
  const at = locAt(loc.parent!, loc.name!);
  const value = { ...file.says, [d.names.linkto]: encodeLinkto(d.childName(target)) };
  const mode = (FileType.regular << 12) | linktoMode;
  const node: Args<'mknod'> = { loc: at, mode, rdevMajor: 0, rdevMinor: 0, gfid: file.gfid, initial: value };
  const made = await d.children[child]!.mknod(d.callAs(call, file), believe(node));
  if (made.ok && !looksLikeLinkto(made.iatt)) {
    // A brick gives a gfid that it has one more name. This is the file itself, believed to be on another child.
    await d.children[child]!.unlink(d.ownCall(call), { loc: at });
    return fail(Errno.ENOENT);
  }
  if (made.ok) return { ok: true };
  // ENOENT also if it is open and has lost its names.
  if (made.errno !== Errno.EEXIST && made.errno !== Errno.ENOENT) return made;
  const adopted = await adoptLinkto(d, call, child, at, file, value, made);
  // Whatever was in the way has gone meanwhile.
  if (adopted !== 'gone') return adopted;
  return attempt < attemptsMax ? makeLinkto(d, call, child, loc, file, target, believe, attempt + 1) : made;
}

/**
 * The name, or the gfid under another name, is on the child already: as a linkto of the same file it serves. ENOENT if it
 * is the file itself, which then is not where the caller believes it to be.
 */
async function adoptLinkto(
  d: Distribute,
  call: Call,
  child: number,
  loc: Loc,
  file: Pick<Iatt, 'gfid' | 'uid' | 'gid'>,
  value: Record<string, Uint8Array>,
  refused: Failure,
): Promise<Done | 'gone'> {
  const own = d.ownCall(call);
  const named = await d.children[child]!.lookup(own, askArgs(d, { loc }));
  const ours = named.ok && isLinkto(d, named) && named.iatt.gfid === file.gfid;
  if (named.ok && !ours) return fail(isData(d, named) && named.iatt.gfid === file.gfid ? Errno.ENOENT : Errno.EEXIST);
  if (!named.ok) {
    if (named.errno !== Errno.ENOENT) return named;
    // Names of one file share one linkto on a child, as hard links.
    const byGfid = await d.children[child]!.lookup(own, askArgs(d, { loc: locOf(file.gfid) }));
    // The file itself: it is not where it was believed to be (any more).
    if (isData(d, byGfid)) return fail(Errno.ENOENT);
    // Not to be asked any more: that is no reason to say that the name is taken.
    if (!byGfid.ok && !isAbsent(byGfid)) return byGfid;
    if (!byGfid.ok) return refused.errno === Errno.EEXIST ? 'gone' : refused;
    if (!isLinkto(d, byGfid)) return refused;
    // Somebody who copies into it may have it open though it lost its last name.
    const again = { from: locOf(file.gfid), to: loc, xdata: { nameless: true } };
    const linked = await d.children[child]!.link(own, again);
    // Its last name went meanwhile, and it with that.
    if (isAbsent(linked)) return 'gone';
    if (!linked.ok) return linked;
  }
  // A chown of the file does not reach its linktos: they follow when they are used.
  const { uid, gid } = file;
  await d.children[child]!.setattr(own, { loc: locOf(file.gfid), attr: { uid, gid } });
  const set = await d.children[child]!.setxattr(own, { loc: locOf(file.gfid), xattrs: value, flags: 0 });
  return set.ok ? { ok: true } : set;
}

/** Removes a linkto that leads nowhere, after a second look under the lock that those who make linktos hold. */
export function removeStaleLinkto(d: Distribute, call: Call, child: number, loc: Loc): Promise<Done> {
  const name = { child, parent: loc.parent!, name: loc.name! };
  return withNames(d, call, [name], () => removeStaleLinktoLocked(d, call, child, loc));
}

/** For who holds that lock. */
export async function removeStaleLinktoLocked(d: Distribute, call: Call, child: number, loc: Loc): Promise<Done> {
  const at = locAt(loc.parent!, loc.name!);
  const own = d.ownCall(call);
  const found = await d.children[child]!.lookup(own, askArgs(d, { loc: at }));
  if (!isLinkto(d, found)) return { ok: true };
  const target = d.childNamed(linktoTarget(found.iatt, found.xattrs, d.names.linkto)!);
  if (target !== undefined && target !== child) {
    const [data] = await d.ask([target], (one) => one.lookup(own, askArgs(d, { loc: at })));
    if (isData(d, data!) && data.iatt.gfid === found.iatt.gfid) return { ok: true };
    if (!data!.ok && data!.errno !== Errno.ENOENT && data!.errno !== Errno.ESTALE) return data!;
  }
  const removed = await d.children[child]!.unlink(own, { loc: at });
  return removed.ok || removed.errno === Errno.ENOENT ? { ok: true } : removed;
}

/** Removes the linkto of a name whose file goes away; anything but a linkto stays. */
export async function removeLinkto(d: Distribute, call: Call, child: number, loc: Loc): Promise<Done> {
  const at = locAt(loc.parent!, loc.name!);
  const own = d.ownCall(call);
  const [found] = await d.ask([child], (one) => one.lookup(own, askArgs(d, { loc: at })));
  if (!found!.ok) return found!.errno === Errno.ENOENT || found!.errno === Errno.ESTALE ? { ok: true } : found!;
  if (!isLinkto(d, found!)) return { ok: true };
  const removed = await d.children[child]!.unlink(own, { loc: at });
  return removed.ok || removed.errno === Errno.ENOENT ? { ok: true } : removed;
}
