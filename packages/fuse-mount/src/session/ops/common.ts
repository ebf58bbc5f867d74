/** What the handlers of several requests share. */
import {
  type ByteString,
  type Call,
  Errno,
  type Fd,
  type Iatt,
  isValidName,
  type Loc,
  locOf,
  nameMaxBytes,
} from '@mortar/core';
import { withoutPrivileges } from '@mortar/host/client/rules.ts';
import { type Ask, safeErrno } from '../ask.ts';
import type { Handle } from '../handles.ts';
import { always, type Node } from '../nodes.ts';
import type { Session } from '../session.ts';

/** The node a request is about; null when the request was failed. */
export function nodeOf(s: Session, ask: Ask, id = ask.nodeId): Node | null {
  const node = s.nodes.byId(id);
  if (!node) ask.fail(Errno.ESTALE);
  return node ?? null;
}

/** Whether a name may be made or removed; else the request is failed. */
export function checkName(ask: Ask, name: ByteString): boolean {
  if (isValidName(name)) return true;
  ask.fail(name.length > nameMaxBytes ? Errno.ENAMETOOLONG : Errno.EINVAL);
  return false;
}

/** Whether a file offset or size can be dealt with; else the request is failed. Of a range: its end. */
export function checkOffset(ask: Ask, value: number): boolean {
  if (Number.isSafeInteger(value)) return true;
  ask.fail(Errno.EFBIG);
  return false;
}

/**
 * Goes on with the open handle of a request: at once unless it has to move to the graph that serves.
 */
export function withHandle(s: Session, ask: Ask, fh: number, go: (handle: Handle) => void): void {
  const used = s.use(ask, fh);
  if (used instanceof Promise) ask.when(used, (handle) => handle && go(handle));
  else if (used) go(used);
}

export function answerDone(ask: Ask, reply: { ok: true } | { ok: false; errno: number }): void {
  if (reply.ok) ask.ok();
  else failWith(ask, reply);
}

export function failWith(ask: Ask, reply: { errno: number }): void {
  ask.fail(safeErrno(reply.errno));
}

/** Answers with an entry: the kernel then holds one more lookup of the node, if it got the answer. */
export function answerEntry(
  s: Session,
  ask: Ask,
  iatt: Iatt,
  parent: Node | null,
  name: ByteString | null,
  ageMs = 0,
  askedMs = always,
): Node {
  const node = s.nodes.lookedUp(iatt, parent, name, askedMs, s.services.clock.nowMs());
  s.reply.entry(ask.uniqueLow, ask.uniqueHigh, s.entryOut(node, iatt, ageMs));
  if (!ask.send()) s.nodes.forget(node.id, 1);
  return node;
}

export function answerAttr(s: Session, ask: Ask, node: Node, iatt: Iatt, ageMs = 0, askedMs = always): void {
  node.show(iatt, askedMs, s.services.clock.nowMs());
  s.reply.attr(ask.uniqueLow, ask.uniqueHigh, iatt, node.ino, s.notices.validity(node, ageMs));
  ask.send();
}

type Outcome = { ok: boolean; errno?: number };

/**
 * Works on a file by its gfid; if its last name is gone, through a file description that is open. The kernel does not
 * say through which one it came (fstat, fchmod and the like are asked by node).
 */
export async function onFile<R extends Outcome>(
  s: Session,
  ask: Ask,
  node: Node,
  byLoc: (loc: Loc) => Promise<R>,
  byFd: (fd: Fd) => Promise<R>,
): Promise<R> {
  const reply = await byLoc(locOf(node.gfid));
  return isGone(reply) ? onOpenFile(s, ask, node, reply, byFd) : reply;
}

export function isGone(reply: Outcome): boolean {
  return !reply.ok && (reply.errno === Errno.ENOENT || reply.errno === Errno.ESTALE);
}

export async function onOpenFile<R extends Outcome>(
  s: Session,
  ask: Ask,
  node: Node,
  reply: R,
  byFd: (fd: Fd) => Promise<R>,
): Promise<R> {
  for (const handle of node.handles) {
    if ((await s.files.move(handle)) !== 0) continue;
    if (handle.graph === ask.graph) return byFd(handle.fd);
  }
  return reply;
}

/** Takes setuid and setgid off a regular file after a change by somebody who may not keep them. */
export async function killPrivileges(s: Session, ask: Ask, node: Node, seen: Iatt): Promise<Iatt> {
  const mode = withoutPrivileges(seen.mode);
  if (node.isDirectory || mode === seen.mode) return seen;
  const attr = { mode };
  // Who may write need not be the owner; only the owner may change the mode.
  const { clientId, pid, lockOwner, time } = ask.call;
  const owner: Call = { uid: seen.uid, gid: seen.gid, groups: [], pid, lockOwner, clientId, time };
  if (ask.call.internal) owner.internal = ask.call.internal;
  const reply = await onFile(
    s,
    ask,
    node,
    (loc) => ask.top.setattr(owner, { loc, attr }),
    (fd) => ask.top.fsetattr(owner, { fd, attr }),
  );
  if (!reply.ok) return seen;
  // The kernel leaves this to the file system, hence does not know that the mode it has cached is an old one.
  s.notices.forget(node);
  return reply.post;
}
