/** Locks that distribute takes on its children, in domains of its own (GlusterFS's names). */
import { type Args, type Call, Errno, type Failure, type Gfid, locOf, type Reply } from '@mortar/core';
import type { Distribute } from './distribute.ts';

export const layoutDomain = 'dht.layout.heal';
export const entryDomain = 'dht.entry.sync';
const settleDomain = 'dht.file.settle';

/** A graph without features/locks has a single client: nothing to lock out. */
function granted(reply: Reply<'entrylk'> | Reply<'inodelk'>): boolean {
  return reply.ok || reply.errno === Errno.EOPNOTSUPP || reply.errno === Errno.ENOSYS;
}

function lockCall(d: Distribute, call: Call): Call {
  return { ...d.ownCall(call), lockOwner: d.nextLockOwner() };
}

export interface NameOn {
  readonly child: number;
  readonly parent: Gfid;
  readonly name: string;
}

/** Runs `work` while no one else changes these names, as far as all take the lock. Locked in one order by all clients. */
export async function withNames<R>(
  d: Distribute,
  call: Call,
  names: readonly NameOn[],
  work: () => Promise<R>,
): Promise<R | Failure> {
  const key = (n: NameOn) => `${String(n.child).padStart(6, '0')}/${n.parent}/${n.name}`;
  const unique = [...new Map(names.map((n) => [key(n), n])).entries()].sort(([a], [b]) => (a < b ? -1 : 1));
  const owner = lockCall(d, call);
  const args = (n: NameOn, command: Args<'entrylk'>['command']): Args<'entrylk'> => ({
    loc: locOf(n.parent),
    domain: entryDomain,
    name: n.name,
    command,
    type: 'write',
  });
  const held: NameOn[] = [];
  try {
    for (const [, n] of unique) {
      const reply = await d.children[n.child]!.entrylk(owner, args(n, 'wait'));
      if (!reply.ok && !granted(reply)) return reply;
      if (reply.ok) held.push(n);
    }
    return await work();
  } finally {
    for (const n of held) void d.children[n.child]!.entrylk(owner, args(n, 'unlock'));
  }
}

/** Runs `work` while no one else changes this directory's layout, or its shared xattrs, on `children`. */
export function withLayout<R>(
  d: Distribute,
  call: Call,
  children: readonly number[],
  gfid: Gfid,
  work: () => Promise<R>,
): Promise<R | Failure> {
  return withInode(d, call, layoutDomain, children, gfid, work);
}

/**
 * Runs `work` while no one moves this file away from any of `children`: bricks grant such a lock when the file is not held
 * by a mover, and do not let a mover hold what is locked.
 */
export function withMovesShut<R>(
  d: Distribute,
  call: Call,
  children: readonly number[],
  gfid: Gfid,
  work: () => Promise<R>,
): Promise<R | Failure> {
  return withInode(d, call, settleDomain, children, gfid, work);
}

async function withInode<R>(
  d: Distribute,
  call: Call,
  domain: string,
  children: readonly number[],
  gfid: Gfid,
  work: () => Promise<R>,
): Promise<R | Failure> {
  const owner = lockCall(d, call);
  const args = (command: Args<'inodelk'>['command']): Args<'inodelk'> => ({
    loc: locOf(gfid),
    domain,
    command,
    flock: { type: command === 'unlock' ? 'unlock' : 'write', start: 0, length: 0, owner: owner.lockOwner, pid: 0 },
  });
  const held: number[] = [];
  try {
    for (const i of children) {
      const reply = await d.children[i]!.inodelk(owner, args('wait'));
      if (!reply.ok && !granted(reply)) return reply;
      if (reply.ok) held.push(i);
    }
    return await work();
  } finally {
    for (const i of held) void d.children[i]!.inodelk(owner, args('unlock'));
  }
}
