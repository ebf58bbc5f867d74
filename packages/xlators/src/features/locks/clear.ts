/** `glusterfs.clrlk.t<type>.k<kind>[.<range or name>]`: locks taken away by the administrator. */
import { type ByteString, Errno } from '@mortar/core';
import type { Claim, DomainQueue } from './domain-queue.ts';
import type { InternalLocks, Place } from './internal-locks.ts';
import type { InodeLocks } from './lock-table.ts';
import type { PosixRequests } from './posix-requests.ts';
import { overlap, type Range, rangeOf } from './ranges.ts';

const prefix = 'glusterfs.clrlk';

export interface ClearRequest {
  type: 'inode' | 'entry' | 'posix';
  kind: 'granted' | 'blocked' | 'all';
  /** inode, posix: only what overlaps. */
  range?: Range;
  /** entry: only this name. */
  name?: ByteString;
}

export function isClearName(name: ByteString): boolean {
  return name.startsWith(prefix);
}

export function parseClearName(name: ByteString): ClearRequest | undefined {
  const match = /^glusterfs\.clrlk\.t(inode|entry|posix)\.k(granted|blocked|all)(?:\.(.+))?$/s.exec(name);
  if (!match) return undefined;
  const request: ClearRequest = {
    type: match[1] as ClearRequest['type'],
    kind: match[2] as ClearRequest['kind'],
  };
  const detail = match[3];
  if (detail === undefined) return request;
  if (request.type === 'entry') return { ...request, name: detail };
  const range = parseRange(detail);
  return range ? { ...request, range } : undefined;
}

/** `whence,start-length`; whence is 0: from the start of the file. */
function parseRange(text: string): Range | undefined {
  const match = /^0,(\d+)-(\d+)$/.exec(text);
  return match ? rangeOf({ start: Number(match[1]), length: Number(match[2]) }) : undefined;
}

export function clearLocks(
  locks: InodeLocks,
  request: ClearRequest,
  internal: InternalLocks,
  posix: PosixRequests,
): { granted: number; blocked: number } {
  const { range, name } = request;
  const hits = (taken: Range) => range === undefined || overlap(taken, range);
  if (request.type === 'posix') return clearPosix(locks, request, posix, hits);
  let granted = 0;
  let blocked = 0;
  const clear = <R>(place: Place, queue: DomainQueue<R>, chosen: (claim: Claim<R>) => boolean) => {
    const gone = clearQueue(place, queue, request.kind, internal, chosen);
    granted += gone.granted;
    blocked += gone.blocked;
  };
  if (request.type === 'inode')
    for (const [domain, queue] of locks.inodelk)
      clear({ locks, domain, kind: 'inode' }, queue, (c) => hits(c.resource));
  else
    for (const [domain, queue] of locks.entrylk)
      clear({ locks, domain, kind: 'entry' }, queue, (c) => name === undefined || c.resource === name);
  return { granted, blocked };
}

function clearPosix(
  locks: InodeLocks,
  { kind }: ClearRequest,
  posix: PosixRequests,
  hits: (taken: Range) => boolean,
): { granted: number; blocked: number } {
  const blocked = kind === 'granted' ? 0 : posix.clearWaiting(locks, hits);
  const granted = kind === 'blocked' ? 0 : locks.posix.releaseWhere(hits);
  return { granted, blocked };
}

function clearQueue<R>(
  place: Place,
  queue: DomainQueue<R>,
  kind: ClearRequest['kind'],
  internal: InternalLocks,
  chosen: (claim: Claim<R>) => boolean,
): { granted: number; blocked: number } {
  const waiters = kind === 'granted' ? [] : queue.waiting.filter((waiter) => chosen(waiter.claim));
  for (const waiter of waiters) {
    queue.withdraw(waiter);
    waiter.refused(Errno.EAGAIN);
  }
  const held = kind === 'blocked' ? [] : queue.held.filter((lock) => !lock.draining && chosen(lock));
  for (const lock of held) internal.drop(place, queue, lock);
  queue.wake();
  return { granted: held.length, blocked: waiters.length };
}
