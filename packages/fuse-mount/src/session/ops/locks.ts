/**
 * fcntl and flock locks, both as range locks of the file system. Flock's are a family of their own on the bricks; their
 * owners too are (one byte before the owner), so that giving back one's locks never takes the other's.
 */
import { type Call, Errno, type Flock } from '@mortar/core';
import type { ServedGraph } from '@mortar/host/client/graphs.ts';
import { LockType, lockIsFlock, type RequestOf } from '../../protocol/index.ts';
import type { Ask } from '../ask.ts';
import type { Handle } from '../handles.ts';
import type { Session } from '../session.ts';
import { failWith } from './common.ts';

const typeNames: readonly Flock['type'][] = ['read', 'write', 'unlock'];

function flockOwner(owner: string): string {
  return `01${owner}`;
}

/** Undefined: not a lock that could be. */
function flockOf(args: RequestOf<'setlk'>): Flock | undefined {
  const type = typeNames[args.type];
  if (type === undefined) return undefined;
  const { pid } = args;
  if (args.flags & lockIsFlock)
    return { type, start: 0, length: 0, owner: flockOwner(args.owner), pid, family: 'flock' };
  if (!Number.isSafeInteger(args.start) || args.end < args.start) return undefined;
  // Everything beyond 2^53 is as good as the end of the file.
  const length = Number.isSafeInteger(args.end + 1) ? args.end + 1 - args.start : 0;
  return { type, start: args.start, length, owner: args.owner, pid };
}

function endOf({ start, length }: Flock): number {
  return length === 0 ? Number.POSITIVE_INFINITY : start + length;
}

export async function getlk(s: Session, ask: Ask, args: RequestOf<'getlk'>): Promise<void> {
  const handle = await s.use(ask, args.fh);
  if (!handle) return;
  const flock = flockOf(args);
  if (!flock) return ask.fail(Errno.EINVAL);
  ask.call.lockOwner = flock.owner;
  const reply = await ask.top.lk(ask.call, { fd: handle.fd, command: 'get', flock });
  if (!reply.ok) return failWith(ask, reply);
  const found = reply.flock;
  const end = found.length === 0 ? null : found.start + found.length - 1;
  s.reply.lock(ask.uniqueLow, ask.uniqueHigh, found.start, end, LockType[found.type], found.pid);
  ask.send();
}

export async function setlk(s: Session, ask: Ask, args: RequestOf<'setlk'>): Promise<void> {
  const flock = flockOf(args);
  if (!flock) return ask.fail(Errno.EINVAL);
  ask.call.lockOwner = flock.owner;
  for (let isAgain = false; ; isAgain = true) {
    const handle = await s.use(ask, args.fh);
    if (!handle) return;
    const graph = ask.graph;
    const handsOver = isAgain && { xdata: { handsOver: true } };
    const reply = await ask.top.lk(ask.call, { fd: handle.fd, command: 'set', flock, ...handsOver });
    if (!reply.ok) return failWith(ask, reply);
    note(handle, flock);
    if (graph === s.graphs.current) return granted(s, ask, handle, flock);
    // The graph was replaced meanwhile, perhaps after this handle had moved: the lock must stand on the new one too, to which
    // the one before hands it over.
  }
}

/** Waits until the lock is granted, the caller is interrupted, or (then again) the graph is replaced. */
export async function setlkw(s: Session, ask: Ask, args: RequestOf<'setlkw'>): Promise<void> {
  if (s.lockWaits >= s.options.maxLockWaits) return ask.fail(Errno.ENOLCK);
  s.lockWaits++;
  try {
    await waitForLock(s, ask, args);
  } finally {
    s.lockWaits--;
  }
}

async function waitForLock(s: Session, ask: Ask, args: RequestOf<'setlkw'>): Promise<void> {
  const flock = flockOf(args);
  if (!flock) return ask.fail(Errno.EINVAL);
  for (;;) {
    const handle = await s.use(ask, args.fh);
    if (!handle) return;
    const graph = ask.graph!;
    const call = ask.call.withOwnSignal(flock.owner, graph.left.signal);
    if (flock.family === 'flock' && handle.node.lockCount > 0) await exchange(graph, call, handle, flock);
    const reply = await graph.top.lk(call, { fd: handle.fd, command: 'wait', flock });
    if (reply.ok) note(handle, flock);
    if (reply.ok && graph === s.graphs.current) return granted(s, ask, handle, flock);
    if (reply.ok) continue;
    const graphWasLeft = graph !== s.graphs.current && !ask.call.interrupted;
    if (!graphWasLeft) return ask.fail(ask.call.interrupted ? Errno.EINTR : reply.errno);
  }
}

/**
 * As flock(2) says, what the owner has goes first if it does not become the other one at once: two who share a lock, and both want it alone, would wait
 * for each other for ever.
 */
async function exchange({ top }: ServedGraph, call: Call, handle: Handle, flock: Flock): Promise<void> {
  const { fd, node } = handle;
  if (!node.locks.holds(flock.owner)) return;
  const reply = await top.lk(call, { fd, command: 'set', flock });
  if (reply.ok || reply.errno !== Errno.EAGAIN) return;
  const unlock: Flock = { ...flock, type: 'unlock' };
  const given = await top.lk(call, { fd, command: 'set', flock: unlock });
  if (given.ok) note(handle, unlock);
}

/** What others wrote under their lock is to be read under this one: the kernel asks for attributes first, and drops its pages where these differ. */
function granted(s: Session, ask: Ask, { node }: Handle, { type }: Flock): void {
  s.notices.flush(node);
  if (type !== 'unlock') s.notices.forget(node);
  ask.ok();
}

function note({ node, fh }: Handle, flock: Flock): void {
  const { type, owner, start, pid, family } = flock;
  if (type === 'unlock') node.locks.clear(owner, start, endOf(flock));
  else node.locks.set({ owner, type, start, end: endOf(flock), pid, fh, ...(family ? { family } : {}) });
}

/** Gives back what an owner holds on a file by fcntl or by flock; nothing is asked when it holds nothing. */
export async function unlockAll(ask: Ask, handle: Handle, lockOwner: string, family?: 'flock'): Promise<void> {
  const owner = family ? flockOwner(lockOwner) : lockOwner;
  if (handle.node.lockCount === 0 || !handle.node.locks.holds(owner)) return;
  const whole: Flock = { type: 'unlock', start: 0, length: 0, owner, pid: ask.call.pid };
  const flock: Flock = family ? { ...whole, family } : whole;
  ask.call.lockOwner = owner;
  const reply = await ask.top.lk(ask.call, { fd: handle.fd, command: 'set', flock });
  if (reply.ok) handle.node.locks.clear(owner);
}

/** Gives back what is still held through a handle that is closed: of open file descriptions the kernel does not say. */
export async function unlockHandle(ask: Ask, { node, fd, fh }: Handle): Promise<void> {
  if (node.lockCount === 0) return;
  for (const { owner, start, end, pid, family } of node.locks.of(fh)) {
    const length = end === Number.POSITIVE_INFINITY ? 0 : end - start;
    const range: Flock = { type: 'unlock', start, length, owner, pid };
    ask.call.lockOwner = owner;
    const reply = await ask.top.lk(ask.call, { fd, command: 'set', flock: family ? { ...range, family } : range });
    if (reply.ok) node.locks.clear(owner, start, end);
  }
}
