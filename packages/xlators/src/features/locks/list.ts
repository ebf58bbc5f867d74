/** Locks as plain data, for `volume status`, the state dump and clear-locks. */
import { type Gfid, isGfid } from '@mortar/core';
import type { Claim, DomainQueue } from './domain-queue.ts';
import type { EntryName, InodeLocks, LockTable } from './lock-table.ts';
import type { PosixLock } from './posix-locks.ts';
import { lengthOf, type Range } from './ranges.ts';

export interface LockInfo {
  gfid: Gfid;
  kind: 'posix' | 'inode' | 'entry';
  state: 'granted' | 'blocked';
  type: 'read' | 'write';
  clientId: string;
  owner: string;
  domain?: string;
  start?: number;
  length?: number;
  /** entry: null is the whole directory. */
  name?: EntryName;
  pid?: number;
  fence?: number;
}

export function listLocks(all: Iterable<InodeLocks>, limit: number): LockInfo[] {
  const infos: LockInfo[] = [];
  for (const locks of all) {
    if (infos.length >= limit) break;
    infos.push(...locksOf(locks));
  }
  return infos.slice(0, limit);
}

function locksOf(locks: InodeLocks): LockInfo[] {
  const { gfid, posix } = locks;
  const infos: LockInfo[] = [
    ...posix.locks.held.map((lock) => posixInfo(gfid, 'granted', lock)),
    ...posix.waiting.map((waiter) => posixInfo(gfid, 'blocked', waiter.wanted)),
  ];
  for (const [domain, queue] of locks.inodelk)
    infos.push(
      ...queueInfos(gfid, 'inode', domain, queue, (range: Range) => ({ start: range.start, length: lengthOf(range) })),
    );
  for (const [domain, queue] of locks.entrylk)
    infos.push(...queueInfos(gfid, 'entry', domain, queue, (name: EntryName) => ({ name })));
  return infos;
}

function posixInfo(gfid: Gfid, state: LockInfo['state'], lock: PosixLock): LockInfo {
  const { type, clientId, owner, start, pid } = lock;
  return { gfid, kind: 'posix', state, type, clientId, owner, start, length: lengthOf(lock), pid };
}

function queueInfos<R>(
  gfid: Gfid,
  kind: 'inode' | 'entry',
  domain: string,
  queue: DomainQueue<R>,
  what: (resource: R) => Partial<LockInfo>,
): LockInfo[] {
  const info = ({ type, clientId, owner, resource }: Claim<R>, state: LockInfo['state']): LockInfo => ({
    gfid,
    kind,
    state,
    type,
    clientId,
    owner,
    domain,
    ...what(resource),
  });
  return [
    ...queue.held.map((lock) => ({ ...info(lock, 'granted'), ...(lock.fence ? { fence: lock.fence.number } : {}) })),
    ...queue.waiting.map((waiter) => info(waiter.claim, 'blocked')),
  ];
}

export interface LockCount {
  granted: number;
  blocked: number;
}

/** Internal locks of one file in one domain; the request is JSON `{gfid, domain}`. Undefined: no such request. */
export function countLocks(table: LockTable, data: Uint8Array | undefined): LockCount | undefined {
  const request = parse(data);
  if (!request) return undefined;
  const locks = table.find(request.gfid);
  const queues = [locks?.inodelk.get(request.domain), locks?.entrylk.get(request.domain)];
  return {
    granted: queues.reduce((sum, queue) => sum + (queue?.held.length ?? 0), 0),
    blocked: queues.reduce((sum, queue) => sum + (queue?.waiting.length ?? 0), 0),
  };
}

function parse(data: Uint8Array | undefined): { gfid: Gfid; domain: string } | undefined {
  if (!data || data.length > 4096) return undefined;
  try {
    const value: unknown = JSON.parse(Buffer.from(data).toString());
    if (typeof value !== 'object' || value === null) return undefined;
    const { gfid, domain } = value as Record<string, unknown>;
    return typeof gfid === 'string' && isGfid(gfid) && typeof domain === 'string' ? { gfid, domain } : undefined;
  } catch {
    // What is no JSON is a bad request, answered with EINVAL.
    return undefined;
  }
}
