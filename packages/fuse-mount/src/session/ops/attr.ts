/** Requests about attributes. */
import { type Args, type AttrChange, Errno, type Iatt, locOf, type Reply, type Timespec } from '@mortar/core';
import { AttrValid, getattrHasHandle, type RequestOf } from '../../protocol/index.ts';
import type { Ask } from '../ask.ts';
import type { Handle } from '../handles.ts';
import type { Node } from '../nodes.ts';
import type { Session } from '../session.ts';
import {
  answerAttr,
  checkOffset,
  failWith,
  isGone,
  killPrivileges,
  nodeOf,
  onFile,
  onOpenFile,
  withHandle,
} from './common.ts';

async function attributes(s: Session, ask: Ask, node: Node, flags: number, fh: number): Promise<Reply<'stat'> | null> {
  if (flags & getattrHasHandle) {
    const handle = await s.use(ask, fh);
    return handle && ask.top.fstat(ask.call, { fd: handle.fd });
  }
  return onFile(
    s,
    ask,
    node,
    (loc) => ask.top.stat(ask.call, { loc }),
    (fd) => ask.top.fstat(ask.call, { fd }),
  );
}

export function getattr(s: Session, ask: Ask, { flags, fh }: RequestOf<'getattr'>): void {
  const node = nodeOf(s, ask);
  if (!node) return;
  ask.tells(node);
  const askedMs = s.services.clock.nowMs();
  const answer = (reply: Reply<'stat'>): void => {
    if (reply.ok) answerAttr(s, ask, node, reply.iatt, reply.xdata?.ageMs, askedMs);
    else failWith(ask, reply);
  };
  if (flags & getattrHasHandle) withHandle(s, ask, fh, ({ fd }) => ask.when(ask.top.fstat(ask.call, { fd }), answer));
  else
    ask.when(ask.top.stat(ask.call, { loc: locOf(node.gfid) }), (reply) =>
      isGone(reply) ? ask.when(statOpen(s, ask, node, reply), answer) : answer(reply),
    );
}

function statOpen(s: Session, ask: Ask, node: Node, reply: Reply<'stat'>): Promise<Reply<'stat'>> {
  return onOpenFile(s, ask, node, reply, (fd) => ask.top.fstat(ask.call, { fd }));
}

export async function statx(s: Session, ask: Ask, { flags, fh }: RequestOf<'statx'>): Promise<void> {
  const node = nodeOf(s, ask);
  if (!node) return;
  ask.tells(node);
  const askedMs = s.services.clock.nowMs();
  const reply = await attributes(s, ask, node, flags, fh);
  if (!reply) return;
  if (!reply.ok) return failWith(ask, reply);
  node.show(reply.iatt, askedMs, s.services.clock.nowMs());
  const valid = s.notices.validity(node, reply.xdata?.ageMs ?? 0);
  s.reply.statx(ask.uniqueLow, ask.uniqueHigh, reply.iatt, node.ino, valid);
  ask.send();
}

/** What of a SETATTR is not the size. */
function changeOf(args: RequestOf<'setattr'>, now: Timespec): AttrChange {
  const { valid } = args;
  const attr: AttrChange = {};
  if (valid & AttrValid.mode) attr.mode = args.mode & 0o7777;
  if (valid & AttrValid.uid) attr.uid = args.uid;
  if (valid & AttrValid.gid) attr.gid = args.gid;
  if (valid & AttrValid.atime) attr.atime = valid & AttrValid.atimeNow ? now : args.atime;
  if (valid & AttrValid.mtime) attr.mtime = valid & AttrValid.mtimeNow ? now : args.mtime;
  if (valid & AttrValid.ctime) attr.ctime = args.ctime;
  return attr;
}

function validTime({ nsec }: Timespec): boolean {
  return nsec < 1_000_000_000;
}

export async function setattr(s: Session, ask: Ask, args: RequestOf<'setattr'>): Promise<void> {
  const node = nodeOf(s, ask);
  if (!node) return;
  if (args.valid & AttrValid.lockOwner) ask.call.lockOwner = args.lockOwner;
  const handle = args.valid & AttrValid.fh ? await s.use(ask, args.fh) : undefined;
  if (handle === null) return;
  const attr = changeOf(args, ask.call.time);
  if ([attr.atime, attr.mtime, attr.ctime].some((time) => time && !validTime(time))) return ask.fail(Errno.EINVAL);
  let last: { ok: true; pre: Iatt; post: Iatt } | null = null;
  if (args.valid & AttrValid.size) {
    if (!checkOffset(ask, args.size)) return;
    const reply = await truncate(s, ask, node, handle, args.size);
    if (!reply.ok) return failWith(ask, reply);
    node.changed(reply.pre, reply.post);
    last = reply;
  }
  if (!last || Object.keys(attr).length > 0) {
    const reply = await change(s, ask, node, handle, attr);
    if (!reply.ok) return failWith(ask, reply);
    node.changed(reply.pre, reply.post);
    last = reply;
  }
  const owner = AttrValid.uid | AttrValid.gid;
  const kill = args.valid & AttrValid.killSuidgid || (args.valid & owner && !(args.valid & AttrValid.mode));
  const post = kill ? await killPrivileges(s, ask, node, last.post) : last.post;
  const { isBehind } = node;
  answerAttr(s, ask, node, post);
  // The kernel takes what it is told now for its own doing: of what others did before it would see nothing any more.
  if (isBehind && !s.agreed?.writebackCache) s.notices.dropUnnoticed(node);
}

function truncate(s: Session, ask: Ask, node: Node, handle: Handle | undefined, size: number) {
  const { top, call } = ask;
  if (handle) return top.ftruncate(call, { fd: handle.fd, size });
  return onFile<Reply<'truncate'>>(
    s,
    ask,
    node,
    (loc) => top.truncate(call, { loc, size }),
    (fd) => top.ftruncate(call, { fd, size }),
  );
}

function change(s: Session, ask: Ask, node: Node, handle: Handle | undefined, attr: AttrChange) {
  const { top, call } = ask;
  if (handle) return top.fsetattr(call, { fd: handle.fd, attr });
  return onFile<Reply<'setattr'>>(
    s,
    ask,
    node,
    (loc) => top.setattr(call, { loc, attr }),
    (fd) => top.fsetattr(call, { fd, attr }),
  );
}

export async function access(s: Session, ask: Ask, { mask }: RequestOf<'access'>): Promise<void> {
  const node = nodeOf(s, ask);
  if (!node) return;
  const args: Args<'access'> = { loc: locOf(node.gfid), mask: mask & 7 };
  const reply = await ask.top.access(ask.call, args);
  if (reply.ok) ask.ok();
  else failWith(ask, reply);
}

export async function readlink(s: Session, ask: Ask): Promise<void> {
  const node = nodeOf(s, ask);
  if (!node) return;
  const reply = await ask.top.readlink(ask.call, { loc: locOf(node.gfid) });
  if (reply.ok) ask.data(Buffer.from(reply.target, 'latin1'));
  else failWith(ask, reply);
}

export async function statfs(s: Session, ask: Ask): Promise<void> {
  const node = s.nodes.byId(ask.nodeId) ?? s.nodes.root;
  const reply = await ask.top.statfs(ask.call, { loc: locOf(node.gfid) });
  if (!reply.ok) return failWith(ask, reply);
  s.reply.statfs(ask.uniqueLow, ask.uniqueHigh, reply.statfs);
  ask.send();
}
