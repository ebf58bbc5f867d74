/** For the tests of this translator: requests with the arguments that do not matter left out. */
import { Fd, type Flock, type Gfid, locOf, type Reply, type Xdata } from '@mortar/core';
import { type Rig, rig, rigCall, settle } from '../../lib/translator-rig.ts';
import { type Locks, xlator } from './index.ts';

export const gfid = '00000000-0000-0000-0000-0000000000aa' as Gfid;
export const other = '00000000-0000-0000-0000-0000000000bb' as Gfid;
export const domain = 'vol-replicate-0';

export type Outcome<T> = { done: false } | { done: true; value: T };

/** What a promise has come to so far. */
export async function outcome<T>(promise: Promise<T>): Promise<Outcome<T>> {
  const waiting = Symbol();
  const value = await Promise.race([promise, settle().then(() => waiting)]);
  return value === waiting ? { done: false } : { done: true, value: value as T };
}

export function flock(type: Flock['type'], start = 0, length = 0, owner = '01'): Flock {
  return { type, start, length, owner, pid: 7 };
}

export function make(options: Record<string, string> = {}): Promise<Rig<Locks>> {
  return rig<typeof xlator.options, Locks>(xlator, options);
}

export function lk(
  r: Rig<Locks>,
  client: string,
  command: 'get' | 'set' | 'wait',
  lock: Flock,
  fd = new Fd(gfid),
  more = {},
) {
  return r.xlator.ops.lk(rigCall(client, more), { fd, command, flock: lock });
}

export function inodelk(
  r: Rig<Locks>,
  client: string,
  command: 'try' | 'wait' | 'unlock',
  type: 'read' | 'write' = 'write',
  [start, length]: [number, number] = [0, 0],
  more: { lockOwner?: string; signal?: AbortSignal; deadlineMs?: number; session?: { isEnded: boolean } } = {},
  xdata: Xdata = {},
): Promise<Reply<'inodelk'>> {
  const call = rigCall(client, { lockOwner: 'o', ...more });
  return r.xlator.ops.inodelk(call, { loc: locOf(gfid), domain, command, flock: flock(type, start, length), xdata });
}

export function entrylk(r: Rig<Locks>, client: string, command: 'try' | 'wait' | 'unlock', name?: string) {
  const args = { loc: locOf(gfid), domain, command, type: 'write' as const };
  return r.xlator.ops.entrylk(rigCall(client), name === undefined ? args : { ...args, name });
}

export function fenceOf(reply: Reply<'inodelk'>): number {
  if (!reply.ok || reply.fence === undefined) throw new Error(`no fence in ${JSON.stringify(reply)}`);
  return reply.fence;
}
