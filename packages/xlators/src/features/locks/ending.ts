/** Locks that end without their owner's word: his session is over, he is silent while others wait, or somebody else has his block device. */
import { Errno, type GraphEvent } from '@mortar/core';
import type { Claim, DomainQueue } from './domain-queue.ts';
import type { InternalLocks, Place } from './internal-locks.ts';
import type { InodeLocks, LockTable } from './lock-table.ts';
import type { PosixRequests } from './posix-requests.ts';

interface Tables {
  readonly table: LockTable;
  readonly internal: InternalLocks;
  readonly posix: PosixRequests;
}

export function endSession({ table, internal, posix }: Tables, clientId: string): void {
  for (const locks of table.leave(clientId)) {
    posix.releaseClient(locks, clientId);
    endLocks(internal, locks, (lock) => lock.clientId === clientId, Errno.ENOTCONN);
    table.settle(locks);
  }
}

/** What others wait for and a client can be refused to act under, as that client gives no sign of life. */
export function heedSilence({ table, internal }: Tables, clientId: string): void {
  for (const locks of table.of(clientId)) {
    for (const [domain, queue] of locks.inodelk) {
      const theirs = queue.held.filter((lock) => lock.clientId === clientId);
      for (const lock of theirs) internal.heedSilence({ locks, domain, kind: 'inode' }, queue, lock);
    }
    table.settle(locks);
  }
}

/** Of whoever had a block device before: what runs under such a lock ends before anybody else gets it. */
export function revokeAttachment(
  { table, internal }: Tables,
  { device, epoch, gfids }: Extract<GraphEvent, { type: 'attachment-revoked' }>,
): void {
  const isOlder = ({ attachment }: Claim<unknown>) => attachment?.device !== device || attachment.epoch < epoch;
  for (const gfid of gfids) {
    const locks = table.find(gfid);
    if (!locks) continue;
    endLocks(internal, locks, isOlder, Errno.EKEYREVOKED);
    table.settle(locks);
  }
}

type IsOver = (claim: Claim<unknown>) => boolean;

function endLocks(internal: InternalLocks, locks: InodeLocks, isOver: IsOver, errno: Errno): void {
  for (const [domain, queue] of locks.inodelk)
    endQueue(internal, { locks, domain, kind: 'inode' }, queue, isOver, errno);
  for (const [domain, queue] of locks.entrylk)
    endQueue(internal, { locks, domain, kind: 'entry' }, queue, isOver, errno);
}

function endQueue<R>(internal: InternalLocks, place: Place, queue: DomainQueue<R>, isOver: IsOver, errno: Errno): void {
  for (const waiter of queue.waiting.filter(({ claim }) => isOver(claim))) {
    queue.withdraw(waiter);
    waiter.refused(errno);
  }
  for (const lock of queue.held.filter(isOver)) internal.abandon(place, queue, lock);
  queue.wake();
}
