/**
 * Copies of a directory that is gone. A client that does not know a subvolume yet leaves the copy there when it removes the directory
 * (who knows it had made that); so does a mkdir that ended after an rmdir of its name. Nobody sees them, for the subvolume that the name hashes
 * to has none. When the directory above is laid out anew it may be one of them: before that they go (docs/distribute.md, "Order").
 */
import { type Call, Errno, FileType, fail, type Gfid, locAt, locOf, rootGfid } from '@mortar/core';
import { type Distribute, isFailure } from './distribute.ts';
import { isLinktoEntry, listOn, removeUnseen } from './empty.ts';
import { anomaliesOf, hasRange } from './layout.ts';
import type { Done } from './linkto-files.ts';
import { withNames } from './locks.ts';
import { askArgs, type Found, isAbsent, isDirectory, type LookupReply } from './lookup.ts';
import { partsOf } from './lookup-directory.ts';
import { encodeCounter } from './mds.ts';
import { beliefIn } from './under-layout.ts';

/**
 * Whether the copies of this gfid under a name are those of a directory that is gone: not where the name hashes to, without
 * the marked copy, and without the range of a child where it is missing.
 */
export function isRemoved(d: Distribute, replies: readonly LookupReply[], hashed: number, gfid: Gfid): boolean {
  const has = (reply: LookupReply): reply is Found => isDirectory(reply) && reply.iatt.gfid === gfid;
  if (gfid === rootGfid || has(replies[hashed]!)) return false;
  const copies = replies.filter(has);
  if (copies.some(({ xattrs }) => xattrs[d.names.mds] !== undefined)) return false;
  const layout = partsOf(
    d,
    replies.map((reply) => (has(reply) || !reply.ok ? reply : fail(Errno.ENOENT))),
    gfid,
  );
  // Whole without the child: the child is new, and the directory older than it. Without any range it was made by hand.
  return hasRange(layout) && anomaliesOf(layout).holes > 0;
}

/** For who lays the directory above out anew, and knows that nobody goes by an older graph. Files are never taken away. */
export async function clearRemains(d: Distribute, call: Call, parent: Gfid, name: string): Promise<Done> {
  const hashed = await d.hashedOf(call, parent, name);
  if (isFailure(hashed)) return hashed;
  const believe = beliefIn(d, parent);
  const own = d.ownCall(call);
  const args = askArgs(d, { loc: locAt(parent, name) });
  // The lock of who makes missing copies, and of who removes; by another layout it is another one, which is refused.
  return withNames(d, call, [{ child: hashed, parent, name }], async (): Promise<Done> => {
    const replies = await d.ask(d.indices, (child, i) => child.lookup(own, believe(i)(args)));
    const unsure = replies.find((reply) => !reply.ok && !isAbsent(reply));
    if (unsure && !unsure.ok) return unsure;
    for (const gfid of new Set(replies.filter(isDirectory).map(({ iatt }) => iatt.gfid))) {
      if (!isRemoved(d, replies, hashed, gfid)) continue;
      const done = await clear(d, own, { parent, name, gfid }, replies, replies[hashed]!.ok);
      if (!done.ok) return done;
    }
    return { ok: true };
  });
}

interface Remains {
  readonly parent: Gfid;
  readonly name: string;
  readonly gfid: Gfid;
}

async function clear(
  d: Distribute,
  own: Call,
  at: Remains,
  replies: readonly LookupReply[],
  isTaken: boolean,
): Promise<Done> {
  const here = d.indices.filter((i) => isDirectory(replies[i]!) && (replies[i] as Found).iatt.gfid === at.gfid);
  const full: number[] = [];
  for (const child of here) {
    const has = await hasFiles(d, own, child, at.gfid);
    if (isFailure(has)) return has;
    if (has.found) full.push(child);
  }
  if (full.length > 0) return bringBack(d, own, at, here, full, isTaken);
  for (const child of here) {
    const removed = await removeUnseen(d, own, child, at.parent, at);
    if (!removed.ok) return removed;
    d.warn(`${at.parent}/${at.name}: was removed, and its copy goes from ${d.childName(child)}`);
  }
  return { ok: true };
}

/** Anything but linktos and directories, however deep. */
async function hasFiles(
  d: Distribute,
  own: Call,
  child: number,
  gfid: Gfid,
): Promise<{ found: boolean } | ReturnType<typeof fail>> {
  const entries = await listOn(d, own, child, gfid, (entry) => entry);
  if (isFailure(entries)) return entries;
  for (const entry of entries) {
    if (entry.type !== FileType.directory) {
      if (!isLinktoEntry(d, entry)) return { found: true };
    } else if (entry.gfid !== null) {
      const below = await hasFiles(d, own, child, entry.gfid);
      if (isFailure(below) || below.found) return below;
    }
  }
  return { found: false };
}

/** Who removed it could not see what was in it: it was not empty. The marked copy makes it a directory again. */
async function bringBack(
  d: Distribute,
  own: Call,
  { parent, name, gfid }: Remains,
  here: readonly number[],
  full: readonly number[],
  isTaken: boolean,
): Promise<Done> {
  const children = full.map((i) => d.childName(i)).join(', ');
  const everywhere = await d.ask(d.indices, (child) => child.lookup(own, askArgs(d, { loc: locOf(gfid) })));
  const unsure = everywhere.find((reply) => !reply.ok && !isAbsent(reply));
  if (unsure && !unsure.ok) return unsure;
  const isElsewhere = d.indices.some((i) => !here.includes(i) && isDirectory(everywhere[i]!));
  if (isTaken || isElsewhere) {
    const why = isTaken ? 'something else has its name now' : 'the directory has another name now';
    d.warn(`${parent}/${name}: ${children} has an older copy of it with files in it, and ${why}; look on its bricks`);
    return fail(Errno.ENOTEMPTY);
  }
  const loc = locOf(gfid);
  const xattrs = { [d.names.mds]: encodeCounter(0) };
  const marked = await d.children[full[0]!]!.setxattr(own, { loc, xattrs, flags: 0 });
  if (marked.ok)
    d.warn(`${parent}/${name}: was removed by who did not know ${children}, where files are in it; it is there again`);
  return marked.ok ? { ok: true } : marked;
}
