/**
 * A name that nobody sees. A rename gives the file its new name where its data is before that is shown where it hashes to; a client
 * that dies between the two leaves it, and when the name hashes to there one day it would hide what has it by right. So the linkto that is to
 * show it, which has the old name until then, says to which name it will go. Under that one, and any other, this means nothing.
 * Whoever walks the volume takes such a name back (docs/distribute.md, "Order").
 */
import {
  type Args,
  type ByteString,
  type Call,
  Errno,
  fail,
  type Gfid,
  isGfid,
  locAt,
  locOf,
  type Xattrs,
} from '@mortar/core';
import { type Distribute, isFailure } from './distribute.ts';
import { childOfHash } from './layout.ts';
import { meaningData } from './linkto.ts';
import type { Done } from './linkto-files.ts';
import { type NameOn, withNames } from './locks.ts';
import { askArgs, type Found, isAbsent, isData, isDirectory, isLinkto, type LookupReply, lookOn } from './lookup.ts';
import { copiesOf, isWhole } from './lookup-directory.ts';
import { removeMark } from './marks.ts';

export interface Name {
  readonly parent: Gfid;
  readonly name: ByteString;
}

/** The xattr of a linkto that has the old name and is to be renamed to the new one. No name has a slash in it. */
export function renaming(d: Distribute, from: Name, to: Name): Xattrs {
  return { [d.names.renaming]: Buffer.from(`${from.parent}/${from.name}/${to.parent}/${to.name}`, 'latin1') };
}

interface Renaming {
  readonly from: Name;
  readonly to: Name;
}

function renamingOf(d: Distribute, xattrs: Xattrs): Renaming | undefined {
  const value = xattrs[d.names.renaming];
  const [fromParent, fromName, parent, name] = value ? Buffer.from(value).toString('latin1').split('/') : [];
  if (!fromParent || !fromName || !parent || !name || !isGfid(fromParent) || !isGfid(parent)) return undefined;
  return { from: { parent: fromParent, name: fromName }, to: { parent, name } };
}

function isSame(a: Name | undefined, b: Name): boolean {
  return a?.parent === b.parent && a.name === b.name;
}

/** Where the linkto of this name is to go; undefined: nowhere. */
export function renamedTo(d: Distribute, at: Name, xattrs: Xattrs): Name | undefined {
  const says = renamingOf(d, xattrs);
  return isSame(says?.from, at) ? says?.to : undefined;
}

/** `child` has such a linkto. The name that it was to show goes, unless somebody sees it. */
export async function takeBackUnseen(d: Distribute, call: Call, child: number, at: Name): Promise<Done> {
  const own = d.ownCall(call);
  const link = await linktoOf(d, own, child, at);
  if (isFailure(link) || link.to === undefined) return isFailure(link) ? link : { ok: true };
  const { to } = link;
  const [from, hashed] = [await d.hashedOf(own, at.parent, at.name), await d.hashedOf(own, to.parent, to.name)];
  // The directory is gone, and the name with it.
  if (isAbsent(asReply(hashed))) return { ok: true };
  if (isFailure(from)) return from;
  if (isFailure(hashed)) return hashed;
  // The locks of who renames. By another layout of the new name's directory he is refused when he shows it.
  const names: NameOn[] = [
    { child: from, ...at },
    { child: hashed, ...to },
  ];
  return withNames(d, call, names, async (): Promise<Done> => {
    const now = await linktoOf(d, own, child, at);
    if (isFailure(now)) return now;
    if (!isSame(now.to, to)) return { ok: true };
    return takeBackLocked(d, own, { child, link: now.found!, from: at, to, hashed });
  });
}

function asReply(value: object | number): { ok: true } | ReturnType<typeof fail> {
  return isFailure(value) ? value : { ok: true };
}

/** `found` and `to`: if it is a linkto that is to go somewhere. */
async function linktoOf(
  d: Distribute,
  own: Call,
  child: number,
  at: Name,
): Promise<{ readonly found?: Found; readonly to?: Name } | ReturnType<typeof fail>> {
  const ask = askArgs(d, { loc: locAt(at.parent, at.name), want: [d.names.renaming] });
  const [found] = await d.ask([child], (one) => one.lookup(own, ask));
  if (!found!.ok) return isAbsent(found) ? {} : found!;
  const to = isLinkto(d, found!) ? renamedTo(d, at, found.xattrs) : undefined;
  return to ? { found: found as Found, to } : {};
}

/** Whether all copies of the directory agree on the child that the name hashes to: nobody is laying it out just now. */
async function isPlacedOn(d: Distribute, own: Call, { parent, name }: Name, child: number): Promise<boolean> {
  const replies = await d.ask(d.indices, (one) => one.lookup(own, askArgs(d, { loc: locOf(parent) })));
  if (!replies.every(isDirectory)) return false;
  const { layout } = copiesOf(d, replies, undefined);
  return isWhole(layout) && childOfHash(layout, d.hasher.hash(name)) === child;
}

/** Whether the file has a name on a child; true also where that is not known. */
async function hasOn(d: Distribute, own: Call, child: number, { parent, name }: Name, gfid: Gfid): Promise<boolean> {
  const reply = await lookOn(d, own, child, locAt(parent, name));
  return reply.ok ? reply.iatt.gfid === gfid : !isAbsent(reply);
}

/**
 * For who holds the lock of a name that cannot be given on a child, as something has it there: if that is unseen it goes. `hashed`: where the
 * name hashes to, and so where the linkto is that was to show it.
 */
export async function takeBackInTheWay(
  d: Distribute,
  call: Call,
  child: number,
  to: Name,
  hashed: number,
): Promise<Done> {
  const own = d.ownCall(call);
  const there = await d.children[child]!.lookup(own, askArgs(d, { loc: locAt(to.parent, to.name) }));
  if (!isData(d, there)) return there.ok ? fail(Errno.EEXIST) : there;
  const ask = askArgs(d, { loc: locOf(there.iatt.gfid), want: [d.names.renaming] });
  const any = await d.children[hashed]!.lookup(own, ask);
  const says = any.ok ? renamingOf(d, any.xattrs) : undefined;
  if (!says || !isSame(says.to, to)) return fail(Errno.EEXIST);
  const link = await linktoOf(d, own, hashed, says.from);
  if (isFailure(link)) return link;
  if (!isSame(link.to, to) || link.found!.iatt.gfid !== there.iatt.gfid) return fail(Errno.EEXIST);
  return takeBackLocked(d, own, { child: hashed, link: link.found!, from: says.from, to, hashed });
}

interface Unseen {
  readonly child: number;
  readonly link: Found;
  readonly from: Name;
  readonly to: Name;
  readonly hashed: number;
}

async function takeBackLocked(d: Distribute, own: Call, { child, link, from, to, hashed }: Unseen): Promise<Done> {
  if (!(await isPlacedOn(d, own, to, hashed))) return fail(Errno.EAGAIN);
  const { gfid } = link.iatt;
  const loc = locAt(to.parent, to.name);
  const replies = await d.ask(d.indices, (one) => one.lookup(own, askArgs(d, { loc })));
  const unsure = replies.find((reply) => !reply.ok && !isAbsent(reply));
  if (unsure && !unsure.ok) return unsure;
  const isOf = (reply: LookupReply) => reply.ok && reply.iatt.gfid === gfid;
  const isShown = replies.some((reply) => isOf(reply) && isLinkto(d, reply));
  const isAlone = replies.every((reply) => !reply.ok || isOf(reply));
  for (const i of d.indices) {
    const reply = replies[i]!;
    if (isShown || !isOf(reply) || !isData(d, reply)) continue;
    // Its last one, and seen by now: all that is left of the file.
    if (i === hashed && reply.iatt.nlink < 2) continue;
    // Seen by now, hiding nothing, and the old name has gone: it was renamed all the same, in another way, and the linkto was left.
    if (i === hashed && isAlone && !(await hasOn(d, own, i, from, gfid))) continue;
    const given: Args<'unlink'> = { loc: { ...loc, gfid } };
    const removed = await d.children[i]!.unlink(own, meaningData(given, d.names.linkto));
    if (!removed.ok) return removed;
    d.warn(`${to.parent}/${to.name}: ${gfid} was to be renamed to it, which did not come about: the name goes`);
  }
  return removeMark(d, own, child, link.iatt, d.names.renaming);
}
