/** Requests that find, make, move and remove names. */
import { Errno, Fd, FileType, locAt, locOf, newGfid, pathMaxBytes, typeOfMode } from '@mortar/core';
import { createFile } from '@mortar/host/client/create.ts';
import { gfidDirectory } from '../../gfid-directory.ts';
import { decodeDevice, OpenFlag, type RequestOf } from '../../protocol/index.ts';
import type { Ask } from '../ask.ts';
import type { Node } from '../nodes.ts';
import type { Session } from '../session.ts';
import { answerEntry, checkName, failWith, nodeOf } from './common.ts';
import { openReplyFlags } from './file.ts';

const renameNoReplace = 1;
const renameExchange = 2;
/** O_TMPFILE, O_DIRECTORY included: to whoever opens the file anew it is an ordinary one. */
const tmpfileFlags = 0o20200000;
/** What a file without a name is called for a moment. */
const tmpfilePrefix = '.glusterfs-tmpfile-';

/** The permission bits of a new object. Without POSIX ACLs the kernel has applied the umask already. */
async function newMode(s: Session, ask: Ask, parent: Node, mode: number, umask: number): Promise<number> {
  if (!s.agreed?.dontMask) return mode;
  const name = 'system.posix_acl_default';
  const inherited = await ask.top.getxattr(ask.call, { loc: locOf(parent.gfid), name });
  return inherited.ok && inherited.xattrs[name] ? mode : mode & ~(umask & 0o777);
}

export function lookup(s: Session, ask: Ask, { name }: RequestOf<'lookup'>): void {
  const parent = nodeOf(s, ask);
  if (!parent) return;
  if (name === '.' || name === '..') {
    ask.when(lookupDots(s, ask, parent, name), () => {});
    return;
  }
  if (!checkName(ask, name)) return;
  const gfid = newGfid(s.services.random);
  // Below `.gfid` an object is met, but it does not lie there.
  const place = parent.gfid === gfidDirectory ? null : parent;
  const askedMs = s.services.clock.nowMs();
  ask.when(ask.top.lookup(ask.call, { loc: locAt(parent.gfid, name), gfid }), (reply) => {
    if (reply.ok) answerEntry(s, ask, reply.iatt, place, name, reply.xdata?.ageMs, askedMs);
    else if (reply.errno === Errno.ENOENT && s.options.negativeTimeout > 0) {
      s.reply.noEntry(ask.uniqueLow, ask.uniqueHigh, s.negativeValid);
      ask.send();
    } else failWith(ask, reply);
  });
}

/** Asked by NFS servers, to find a file by its node. */
async function lookupDots(s: Session, ask: Ask, node: Node, name: '.' | '..'): Promise<void> {
  const gfid = name === '.' ? node.gfid : node.inode.parent;
  if (gfid === null) return ask.fail(Errno.ESTALE);
  const reply = await ask.top.lookup(ask.call, { loc: locOf(gfid) });
  if (reply.ok) answerEntry(s, ask, reply.iatt, null, null, reply.xdata?.ageMs);
  else failWith(ask, reply);
}

export async function symlink(s: Session, ask: Ask, { name, target }: RequestOf<'symlink'>): Promise<void> {
  const parent = nodeOf(s, ask);
  if (!parent || !checkName(ask, name)) return;
  if (target.length === 0) return ask.fail(Errno.ENOENT);
  if (target.length >= pathMaxBytes) return ask.fail(Errno.ENAMETOOLONG);
  const gfid = newGfid(s.services.random);
  const reply = await ask.top.symlink(ask.call, { loc: locAt(parent.gfid, name, gfid), target, gfid });
  if (reply.ok) answerEntry(s, ask, reply.iatt, parent, name);
  else failWith(ask, reply);
}

export async function mknod(s: Session, ask: Ask, args: RequestOf<'mknod'>): Promise<void> {
  const parent = nodeOf(s, ask);
  if (!parent || !checkName(ask, args.name)) return;
  const type = typeOfMode(args.mode);
  if (type === FileType.directory || type === FileType.symlink) return ask.fail(Errno.EINVAL);
  const device = decodeDevice(args.rdev);
  const gfid = newGfid(s.services.random);
  const mode = await newMode(s, ask, parent, args.mode, args.umask);
  const loc = locAt(parent.gfid, args.name, gfid);
  const reply = await ask.top.mknod(ask.call, {
    loc,
    mode,
    rdevMajor: device.major,
    rdevMinor: device.minor,
    gfid,
  });
  if (reply.ok) answerEntry(s, ask, reply.iatt, parent, args.name);
  else failWith(ask, reply);
}

export async function mkdir(s: Session, ask: Ask, args: RequestOf<'mkdir'>): Promise<void> {
  const parent = nodeOf(s, ask);
  if (!parent || !checkName(ask, args.name)) return;
  const gfid = newGfid(s.services.random);
  const mode = (await newMode(s, ask, parent, args.mode, args.umask)) & 0o7777;
  const reply = await ask.top.mkdir(ask.call, { loc: locAt(parent.gfid, args.name, gfid), mode, gfid });
  if (reply.ok) answerEntry(s, ask, reply.iatt, parent, args.name);
  else failWith(ask, reply);
}

export async function unlink(s: Session, ask: Ask, { name }: RequestOf<'unlink'>): Promise<void> {
  const parent = nodeOf(s, ask);
  if (!parent || !checkName(ask, name)) return;
  const reply = await ask.top.unlink(ask.call, { loc: locAt(parent.gfid, name) });
  if (reply.ok) ask.ok();
  else failWith(ask, reply);
}

export async function rmdir(s: Session, ask: Ask, { name }: RequestOf<'rmdir'>): Promise<void> {
  const parent = nodeOf(s, ask);
  if (!parent || !checkName(ask, name)) return;
  const reply = await ask.top.rmdir(ask.call, { loc: locAt(parent.gfid, name), recursive: false });
  if (reply.ok) ask.ok();
  else failWith(ask, reply);
}

export async function rename(s: Session, ask: Ask, args: RequestOf<'rename2'>): Promise<void> {
  const parent = nodeOf(s, ask);
  const newParent = parent && nodeOf(s, ask, args.newParent);
  if (!parent || !newParent || !checkName(ask, args.from) || !checkName(ask, args.to)) return;
  const { flags } = args;
  if (flags & ~(renameNoReplace | renameExchange) || flags === (renameNoReplace | renameExchange))
    return ask.fail(Errno.EINVAL);
  const from = locAt(parent.gfid, args.from);
  const to = locAt(newParent.gfid, args.to);
  const reply = await ask.top.rename(ask.call, { from, to, flags });
  if (!reply.ok) return failWith(ask, reply);
  const { inodes } = s.services;
  if (flags === 0 || flags === renameNoReplace) {
    const moved = inodes.find(reply.iatt.gfid);
    if (moved) inodes.link(newParent.gfid, args.to, moved);
  } else for (const inode of [...exchanged(s, parent, args.from, newParent, args.to)]) inode();
  ask.ok();
}

/** After an exchange: each of the two, where it is known, gets the other's name. */
function exchanged(s: Session, parent: Node, from: string, newParent: Node, to: string): (() => void)[] {
  const relink: (() => void)[] = [];
  for (const { inode } of s.nodes.all()) {
    if (inode.parent === parent.gfid && inode.name === from)
      relink.push(() => s.services.inodes.link(newParent.gfid, to, inode));
    else if (inode.parent === newParent.gfid && inode.name === to)
      relink.push(() => s.services.inodes.link(parent.gfid, from, inode));
  }
  return relink;
}

export async function link(s: Session, ask: Ask, args: RequestOf<'link'>): Promise<void> {
  const parent = nodeOf(s, ask);
  const node = parent && nodeOf(s, ask, args.target);
  if (!parent || !node || !checkName(ask, args.name)) return;
  const to = locAt(parent.gfid, args.name, node.gfid);
  const xdata = node.unnamed ? { nameless: true } : {};
  const reply = await ask.top.link(ask.call, { from: locOf(node.gfid), to, ...(node.unnamed ? { xdata } : {}) });
  if (!reply.ok) return failWith(ask, reply);
  node.unnamed = false;
  answerEntry(s, ask, reply.iatt, parent, args.name);
}

export async function create(s: Session, ask: Ask, args: RequestOf<'create'>): Promise<void> {
  const parent = nodeOf(s, ask);
  if (!parent || !checkName(ask, args.name)) return;
  const { top, call } = ask;
  const graph = ask.graph!;
  const gfid = newGfid(s.services.random);
  const mode = (await newMode(s, ask, parent, args.mode, args.umask)) & 0o7777;
  const flags = s.openFlags(args.flags);
  const reply = await createFile(top, call, parent.gfid, args.name, { flags, mode, gfid });
  if (!reply.ok) return failWith(ask, reply);
  const { fd } = reply;
  const node = s.nodes.lookedUp(reply.iatt, parent, args.name);
  // One that was there already.
  if (s.passthrough?.refuses(node, flags)) {
    fd.release();
    s.nodes.forget(node.id, 1);
    return ask.fail(Errno.ETXTBSY);
  }
  const backingId = s.passthrough?.idFor(node, fd, flags) ?? 0;
  const handle = s.handles.add(node, fd.flags, false, fd, graph);
  const entry = s.entryOut(node, reply.iatt);
  s.reply.created(ask.uniqueLow, ask.uniqueHigh, entry, handle.fh, openReplyFlags(s, flags, backingId), backingId);
  if (!ask.send()) s.undoOpen(handle, true);
}

/**
 * A file without a name: made under one that nobody asks for, which goes at once; being open it stays. Every graph can do
 * that, and its first link finds the file where it is (`xdata.nameless`).
 */
export async function tmpfile(s: Session, ask: Ask, args: RequestOf<'tmpfile'>): Promise<void> {
  const parent = nodeOf(s, ask);
  if (!parent) return;
  const { top, call } = ask;
  const graph = ask.graph!;
  const gfid = newGfid(s.services.random);
  const mode = (await newMode(s, ask, parent, args.mode, args.umask)) & 0o7777;
  const flags = s.openFlags(args.flags & ~tmpfileFlags);
  const fd = new Fd(gfid, flags & ~(OpenFlag.create | OpenFlag.exclusive | OpenFlag.truncate));
  const loc = locAt(parent.gfid, `${tmpfilePrefix}${gfid}`, gfid);
  const created = OpenFlag.create | OpenFlag.exclusive;
  const reply = await top.create(call, { loc, flags: flags | created, mode, gfid, fd });
  const removed = reply.ok ? await top.unlink(call, { loc }) : reply;
  if (!reply.ok || !removed.ok) {
    fd.release();
    return failWith(ask, removed.ok ? { errno: Errno.EIO } : removed);
  }
  const iatt = { ...reply.iatt, nlink: 0 };
  const node = s.nodes.lookedUp(iatt, null, null);
  node.unnamed = true;
  const handle = s.handles.add(node, fd.flags, false, fd, graph);
  s.reply.created(ask.uniqueLow, ask.uniqueHigh, s.entryOut(node, iatt), handle.fh, openReplyFlags(s, flags, 0));
  if (!ask.send()) s.undoOpen(handle, true);
}
