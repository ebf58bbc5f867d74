/** Requests on files: open, read, write and what else works on an fd. */
import { type Args, Errno, Fd, isKnownIatt, locOf, type Reply, returnBytes } from '@mortar/core';
import { withoutPrivileges } from '@mortar/host/client/rules.ts';
import {
  fsyncDataOnly,
  OpenFlag,
  OpenReply,
  openKillSuidgid,
  type RequestOf,
  releaseFlockUnlock,
  writeFromCache,
  writeKillSuidgid,
} from '../../protocol/index.ts';
import type { Ask } from '../ask.ts';
import type { Handle } from '../handles.ts';
import type { Node } from '../nodes.ts';
import type { Session } from '../session.ts';
import { answerDone, checkOffset, failWith, killPrivileges, nodeOf, withHandle } from './common.ts';
import { unlockAll, unlockHandle } from './locks.ts';

const FallocateMode = { keepSize: 1, punchHole: 2, zeroRange: 0x10 } as const;
const seekData = 3;
const seekHole = 4;
/** A copy answers with 32 bits in the older request. */
const copyMaxBytes = 2 ** 31 - 4096;
const nothing = () => {};

/** `wanted`: what the file is opened for. `backingId`: of the file that the kernel is to read itself. */
export function openReplyFlags(s: Session, wanted: number, backingId: number): number {
  if (backingId !== 0) return OpenReply.passthrough;
  let flags: number = OpenReply.parallelDirectWrites;
  if (s.options.directIo === 'enable' || isSplit(s, wanted)) flags |= OpenReply.directIo;
  if (s.options.keepCache) flags |= OpenReply.keepCache;
  return flags;
}

/**
 * Of what is written through its pages the kernel makes a request for each page of which it has not all: another client's line would come to be in
 * the middle of one that is appended. What may be mapped is left alone where the kernel cannot map what goes past its pages.
 */
function isSplit({ agreed }: Session, wanted: number): boolean {
  const isReadable = (wanted & OpenFlag.accessMode) !== OpenFlag.writeOnly;
  return (wanted & OpenFlag.append) !== 0 && (!isReadable || agreed?.directIoAllowMmap === true);
}

export function open(s: Session, ask: Ask, args: RequestOf<'open'>): void {
  const node = nodeOf(s, ask);
  if (!node) return;
  const graph = ask.graph!;
  const wanted = s.openFlags(args.flags);
  const { passthrough } = s;
  if (passthrough?.refuses(node, wanted)) {
    ask.fail(Errno.ETXTBSY);
    return;
  }
  // Truncation travels as the write it is: translators then need not look for it in open's flags.
  const flags = wanted & ~(OpenFlag.truncate | OpenFlag.create | OpenFlag.exclusive);
  const fd = new Fd(node.gfid, flags);
  const opened = ask.top.open(ask.call, { loc: locOf(node.gfid), flags, fd });
  const whole = wanted & OpenFlag.truncate ? opened.then((reply) => emptied(s, ask, args, node, fd, reply)) : opened;
  ask.when(whole, (reply) => {
    if (!reply.ok) {
      fd.release();
      return failWith(ask, reply);
    }
    // Another open may have been answered meanwhile.
    if (passthrough?.refuses(node, wanted)) {
      fd.release();
      return ask.fail(Errno.ETXTBSY);
    }
    const backingId = passthrough?.idFor(node, fd, wanted) ?? 0;
    const handle = s.handles.add(node, flags, false, fd, graph);
    const uncached = reply.xdata?.uncached ? OpenReply.directIo : 0;
    const stale = wanted & OpenFlag.truncate || node.isAsSeen(reply.iatt) ? 0 : forgetAttributes(s, node);
    const replyFlags = (openReplyFlags(s, wanted, backingId) | uncached) & ~stale;
    s.reply.opened(ask.uniqueLow, ask.uniqueHigh, handle.fh, replyFlags, backingId);
    if (!ask.send()) s.undoOpen(handle, false);
  });
}

/**
 * Close-to-open: another client may have written and closed since the kernel was told the attributes, which it would
 * believe a while. What must not be in the answer's flags.
 */
function forgetAttributes(s: Session, node: Node): number {
  s.notices.forget(node);
  return OpenReply.keepCache;
}

/** The rest of an open that truncates. */
async function emptied(
  s: Session,
  ask: Ask,
  args: RequestOf<'open'>,
  node: Node,
  fd: Fd,
  opened: Reply<'open'>,
): Promise<Reply<'open'>> {
  if (!opened.ok) return opened;
  const reply = await ask.top.ftruncate(ask.call, { fd, size: 0 });
  if (!reply.ok) return reply;
  if (args.openFlags & openKillSuidgid) await killPrivileges(s, ask, node, reply.post);
  return opened;
}

export function read(s: Session, ask: Ask, args: RequestOf<'read'>): void {
  withHandle(s, ask, args.fh, (handle) => {
    if (!checkOffset(ask, args.offset)) return;
    const size = Math.min(args.size, s.options.maxWrite);
    ask.when(ask.top.readv(ask.call, { fd: handle.fd, size, offset: args.offset }), (reply) => {
      if (!reply.ok) return failWith(ask, reply);
      const { data } = reply;
      const returns = ask.graph!.returnsReads;
      ask.data(data.length > size ? data.subarray(0, size) : data);
      if (returns) returnBytes(data);
    });
  });
}

export function write(s: Session, ask: Ask, args: RequestOf<'write'>): void {
  withHandle(s, ask, args.fh, (handle) => {
    if (!checkOffset(ask, args.offset + args.size)) return;
    const { node } = handle;
    ask.call.lockOwner = args.lockOwner;
    const failed = handle.takeFailure();
    if (failed !== null) return ask.fail(failed);
    if (args.writeFlags & writeKillSuidgid) return ask.when(writeKilling(s, ask, handle, args), nothing);
    ask.when(ask.top.writev(ask.call, writeArgs(handle, args)), (reply) => {
      if (!reply.ok) return failWith(ask, reply);
      node.changed(reply.pre, reply.post);
      ask.size32(reply.written);
    });
  });
}

function writeArgs({ fd }: Handle, { offset, data, writeFlags, flags }: RequestOf<'write'>): Args<'writev'> {
  const args: Args<'writev'> = { fd, offset, data };
  const fromCache = (writeFlags & writeFromCache) !== 0;
  if (!fromCache && flags & OpenFlag.append) args.append = true;
  if (flags & OpenFlag.sync) args.sync = true;
  return args;
}

/** A write by somebody who may not keep setuid and setgid on the file. */
async function writeKilling(s: Session, ask: Ask, handle: Handle, args: RequestOf<'write'>): Promise<void> {
  const { top, call } = ask;
  const { node, fd } = handle;
  // Unknown mode: the reply may not have it.
  if (node.mode === -1 || withoutPrivileges(node.mode) !== node.mode) {
    const seen = await top.fstat(call, { fd });
    if (seen.ok) node.changed(seen.iatt, await killPrivileges(s, ask, node, seen.iatt));
  }
  const reply = await top.writev(call, writeArgs(handle, args));
  if (!reply.ok) return failWith(ask, reply);
  const { pre, post } = reply;
  node.changed(pre, isKnownIatt(post) ? await killPrivileges(s, ask, node, post) : post);
  ask.size32(reply.written);
}

/** close(2) of one descriptor: errors of delayed writes come out here, and its owner's POSIX locks go. */
export function flush(s: Session, ask: Ask, args: RequestOf<'flush'>): void {
  withHandle(s, ask, args.fh, (handle) => {
    ask.call.lockOwner = args.lockOwner;
    const go = () =>
      ask.when(ask.top.flush(ask.call, { fd: handle.fd }), (reply) => answerDone(ask, handle.told(reply)));
    if (handle.node.lockCount === 0) go();
    else ask.when(unlockAll(ask, handle, args.lockOwner), go);
  });
}

/** The last descriptor is gone. Answered at once: nobody waits for it. */
export function release(s: Session, ask: Ask, args: RequestOf<'release'>): void {
  const handle = s.handles.get(args.fh);
  if (!handle) {
    ask.fail(Errno.EBADF);
    return;
  }
  const close = () => {
    closeHandle(s, handle);
    ask.ok();
  };
  const isHere = ask.graph && handle.graph === ask.graph;
  if (isHere && handle.node.lockCount > 0) ask.when(unlockRest(ask, handle, args), close);
  else close();
}

async function unlockRest(ask: Ask, handle: Handle, args: RequestOf<'release'>): Promise<void> {
  if (args.releaseFlags & releaseFlockUnlock) await unlockAll(ask, handle, args.lockOwner, 'flock');
  await unlockHandle(ask, handle);
}

export function closeHandle(s: Session, handle: Handle): void {
  s.handles.remove(handle.fh);
  handle.fd.release();
  s.passthrough?.closed(handle.node);
  s.nodes.closed(handle.node);
}

export async function fsync(s: Session, ask: Ask, args: RequestOf<'fsync'>): Promise<void> {
  const handle = await s.use(ask, args.fh);
  if (!handle) return;
  const dataOnly = (args.flags & fsyncDataOnly) !== 0;
  const reply = handle.directory
    ? await ask.top.fsyncdir(ask.call, { fd: handle.fd, dataOnly })
    : await ask.top.fsync(ask.call, { fd: handle.fd, dataOnly });
  answerDone(ask, handle.told(reply));
}

export async function fallocate(s: Session, ask: Ask, args: RequestOf<'fallocate'>): Promise<void> {
  const handle = await s.use(ask, args.fh);
  if (!handle || !checkOffset(ask, args.offset + args.length)) return;
  const { top, call } = ask;
  const { fd, node } = handle;
  const range = { fd, offset: args.offset, size: args.length };
  const { keepSize, punchHole, zeroRange } = FallocateMode;
  let reply: Awaited<ReturnType<typeof top.fallocate>>;
  if (args.mode === (punchHole | keepSize)) reply = await top.discard(call, range);
  else if (args.mode === zeroRange) reply = await top.zerofill(call, range);
  // The kernel lets no other mode through; a brick refuses what its file system cannot do.
  else reply = await top.fallocate(call, { ...range, mode: args.mode });
  if (!reply.ok) return failWith(ask, reply);
  if (call.uid !== 0) await killPrivileges(s, ask, node, reply.post);
  ask.ok();
}

export async function lseek(s: Session, ask: Ask, args: RequestOf<'lseek'>): Promise<void> {
  const handle = await s.use(ask, args.fh);
  if (!handle) return;
  if (args.whence !== seekData && args.whence !== seekHole) return ask.fail(Errno.EINVAL);
  if (!Number.isSafeInteger(args.offset)) return ask.fail(Errno.ENXIO);
  const what = args.whence === seekData ? 'data' : 'hole';
  const reply = await ask.top.seek(ask.call, { fd: handle.fd, offset: args.offset, what });
  if (reply.ok) ask.size64(reply.offset);
  else failWith(ask, reply);
}

export async function copyFileRange(s: Session, ask: Ask, args: RequestOf<'copyFileRange'>): Promise<void> {
  const from = await s.use(ask, args.fhIn);
  const to = from && (await s.use(ask, args.fhOut));
  if (!from || !to || !checkOffset(ask, args.offsetIn) || !checkOffset(ask, args.offsetOut)) return;
  if (args.flags !== 0) return ask.fail(Errno.EINVAL);
  const size = Math.min(args.length, copyMaxBytes);
  const reply = await ask.top.copy_file_range(ask.call, {
    from: from.fd,
    fromOffset: args.offsetIn,
    to: to.fd,
    toOffset: args.offsetOut,
    size,
  });
  if (!reply.ok) return failWith(ask, reply);
  to.node.changed(reply.pre, reply.post);
  if (ask.op === 'copyFileRange64') ask.size64(reply.written);
  else ask.size32(reply.written);
}

/** Everything written through this mount reaches the disks. */
export async function syncfs(s: Session, ask: Ask): Promise<void> {
  for (const handle of [...s.handles.all()]) {
    if (handle.directory || (handle.flags & OpenFlag.accessMode) === 0) continue;
    const used = await s.use(ask, handle.fh);
    if (!used) return;
    const reply = await ask.top.fsync(ask.call, { fd: used.fd, dataOnly: false });
    if (!reply.ok) return failWith(ask, reply);
  }
  ask.ok();
}
