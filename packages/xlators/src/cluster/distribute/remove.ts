/** unlink and rmdir. */
import {
  type Args,
  type Call,
  type Dirent,
  Errno,
  type Failure,
  Fd,
  fail,
  type Gfid,
  type Loc,
  locAt,
  locOf,
  type Reply,
} from '@mortar/core';
import { type Distribute, isFailure } from './distribute.ts';
import { healDirectory } from './heal.ts';
import { linktoTarget, meaningData } from './linkto.ts';
import { type Done, removeLinkto } from './linkto-files.ts';
import { withNames } from './locks.ts';
import { askArgs, isDirectory, lookupAfresh } from './lookup.ts';
import { copiesOf } from './lookup-directory.ts';
import { directoryIatt, mergeDirectoryIatts } from './merge.ts';
import { orElsewhere } from './on-file.ts';
import { settled } from './settle.ts';

const pageBytes = 65536;

export async function unlink(d: Distribute, call: Call, args: Args<'unlink'>): Promise<Reply<'unlink'>> {
  const { loc } = args;
  const hashed = await d.hashedOf(call, loc.parent, loc.name);
  if (isFailure(hashed)) return hashed;
  const reply = await orElsewhere(d, call, loc.gfid, () => unlinkOnce(d, call, args, hashed));
  if (reply.ok || (reply.errno !== Errno.ENOENT && reply.errno !== Errno.ESTALE)) return reply;
  // Another file may have the name by now.
  const found = await lookupAfresh(d, call, { loc: { ...loc, gfid: null } });
  if (!found.ok) return reply;
  const { gfid } = found.iatt;
  return orElsewhere(d, call, gfid, () => unlinkOnce(d, call, { ...args, loc: { ...loc, gfid } }, hashed));
}

async function unlinkOnce(d: Distribute, call: Call, args: Args<'unlink'>, hashed: number): Promise<Reply<'unlink'>> {
  const { loc } = args;
  const located = await d.locateLoc(call, loc);
  if (isFailure(located)) return located;
  const { gfid } = located;
  const state = await settled(d, call, gfid, located);
  if (isFailure(state)) return state;
  if (state.kind === 'directory') return fail(Errno.EISDIR);
  const { child } = state;
  if (!d.isUp(child)) return fail(Errno.ENOTCONN);
  const given = meaningData({ ...args, loc: { ...loc, gfid } }, d.names.linkto);
  const reply = await d.children[child]!.unlink(call, given);
  if (!reply.ok) return reply;
  // After the file: the caller's permission was checked there, and a linkto that is left over leads nowhere and is
  // removed by the next lookup, whereas a file without its linkto would be lost from sight.
  if (child !== hashed) await removeLinkto(d, call, hashed, loc);
  return { ...reply, preParent: directoryIatt(reply.preParent), postParent: directoryIatt(reply.postParent) };
}

export async function rmdir(d: Distribute, call: Call, args: Args<'rmdir'>): Promise<Reply<'rmdir'>> {
  const { loc } = args;
  const hashed = await d.hashedOf(call, loc.parent, loc.name);
  if (isFailure(hashed)) return hashed;
  const state = await d.locateLoc(call, loc);
  if (isFailure(state)) return state;
  if (state.kind !== 'directory') return fail(Errno.ENOTDIR);
  // A copy that cannot be removed would bring the directory back.
  if (d.someDown) return fail(Errno.ENOTCONN);
  if (!args.recursive) {
    const empty = await emptyOfFiles(d, call, state.gfid);
    if (!empty.ok) return empty;
  }
  const name = { child: hashed, parent: loc.parent!, name: loc.name! };
  const at = { ...args, loc: { ...loc, gfid: state.gfid } };
  return withNames(d, call, [name], () => removeCopies(d, call, at, hashed));
}

async function removeCopies(d: Distribute, call: Call, args: Args<'rmdir'>, hashed: number): Promise<Reply<'rmdir'>> {
  const { loc } = args;
  const others = d.indices.filter((i) => i !== hashed);
  const rest = await d.ask(others, (child) => child.rmdir(call, args));
  const failed = rest.find((reply) => !reply.ok && reply.errno !== Errno.ENOENT && reply.errno !== Errno.ESTALE);
  const last = failed ?? (await d.children[hashed]!.rmdir(call, args));
  if (!last.ok) {
    if (rest.some((reply) => reply.ok)) void restore(d, call, loc, hashed);
    return last;
  }
  d.forgetState(loc.gfid!);
  const removed = [last, ...rest].filter((reply) => reply.ok) as (Reply<'rmdir'> & { ok: true })[];
  return {
    ...last,
    preParent: mergeDirectoryIatts(removed.map((reply) => reply.preParent)),
    postParent: mergeDirectoryIatts(removed.map((reply) => reply.postParent)),
  };
}

/** Makes again what was removed of a directory that stays; starts when the lock of the removal is given back. */
async function restore(d: Distribute, call: Call, loc: Loc, hashed: number): Promise<void> {
  const at = locAt(loc.parent!, loc.name!);
  const own = d.ownCall(call);
  const replies = await d.ask(d.indices, (child) => child.lookup(own, askArgs(d, { loc: at })));
  if (!replies.some(isDirectory)) return;
  await healDirectory(d, own, { ...at, gfid: loc.gfid }, copiesOf(d, replies, hashed));
}

/** Whether no child has a file or directory in it; linktos without a file are removed on the way. */
export async function emptyOfFiles(d: Distribute, call: Call, gfid: Gfid): Promise<Done> {
  const all = await d.ask(d.indices, (_child, i) => linktosIn(d, call, i, gfid));
  const failed = all.find((one): one is Failure => isFailure(one));
  if (failed) return failed;
  const names = all.flatMap((one, i) => (isFailure(one) ? [] : one.names.map((name) => ({ child: i, name }))));
  const own = d.ownCall(call);
  for (const { child, name } of names) {
    const reply = await d.children[child]!.unlink(own, { loc: locAt(gfid, name) });
    if (!reply.ok && reply.errno !== Errno.ENOENT) return reply;
  }
  return { ok: true };
}

/** Names of linktos in one child's copy; ENOTEMPTY when it has anything else. */
async function linktosIn(
  d: Distribute,
  call: Call,
  child: number,
  gfid: Gfid,
): Promise<{ ok: true; names: string[] } | Failure> {
  const fd = new Fd(gfid);
  const own = d.ownCall(call);
  const names: string[] = [];
  try {
    const opened = await d.children[child]!.opendir(own, { loc: locOf(gfid), fd });
    if (!opened.ok) return gone(opened) ? { ok: true, names } : opened;
    for (let offset = 0; ; ) {
      const page = await d.children[child]!.readdirp(own, { fd, size: pageBytes, offset, want: [d.names.linkto] });
      if (!page.ok) return gone(page) ? { ok: true, names } : page;
      for (const entry of page.entries) {
        if (entry.name === '.' || entry.name === '..') continue;
        if (!isLinktoEntry(d, entry)) return fail(Errno.ENOTEMPTY);
        names.push(entry.name);
      }
      if (page.end || page.entries.length === 0) return { ok: true, names };
      offset = page.entries.at(-1)!.offset;
    }
  } finally {
    fd.release();
  }
}

function gone(reply: Failure): boolean {
  return reply.errno === Errno.ENOENT || reply.errno === Errno.ESTALE;
}

export function isLinktoEntry(d: Distribute, entry: Dirent): boolean {
  return (
    entry.iatt !== null && entry.xattrs !== null && linktoTarget(entry.iatt, entry.xattrs, d.names.linkto) !== undefined
  );
}
