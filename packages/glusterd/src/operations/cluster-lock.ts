/** `system:: lock show` and `break`: who changes something at the moment, and how others get on without them (docs/pool.md). */
import type { Context } from '../context.ts';
import type { LockInfo } from '../pool/types.ts';
import type { LockData, ReplyData } from '../protocol/replies.ts';
import { lockLifeMs } from '../transaction/lock.ts';

export async function showLock(context: Context): Promise<ReplyData['system.lock.show']> {
  const { pool, locks } = context;
  if (!pool || pool.id === null) return { locks: ofThisNode(locks.holders()) };
  return { locks: ofPool(context, await pool.holders()) };
}

export async function breakLock(context: Context): Promise<ReplyData['system.lock.break']> {
  const { pool, locks, log } = context;
  // In a pool nothing is committed but by agreement: the members refuse what a broken holder proposes.
  const broken = pool && pool.id !== null ? ofPool(context, await pool.breakLock()) : ofThisNode(locks.break());
  for (const { operation, hostname, ageSeconds } of broken)
    log.write('WARNING', 'management', `the lock of '${operation}' by ${hostname} is broken after ${ageSeconds} s`);
  return { locks: broken };
}

function ofPool(context: Context, holders: readonly LockInfo[]): LockData[] {
  return holders.map(({ node, operation, ageMs, expiresInMs }) => ({
    subject: 'cluster',
    hostname: node === context.store.state.node.uuid ? 'localhost' : context.pool!.nameOf(node),
    uuid: node,
    operation,
    ageSeconds: Math.round(ageMs / 1000),
    expiresInSeconds: Math.round(expiresInMs / 1000),
  }));
}

function ofThisNode(holders: ReturnType<Context['locks']['holders']>): LockData[] {
  return holders.map(({ subject, holder: { node, operation }, ageMs }) => ({
    subject,
    hostname: 'localhost',
    uuid: node,
    operation: `${operation} ${subject}`,
    ageSeconds: Math.round(ageMs / 1000),
    expiresInSeconds: Math.max(0, Math.round((lockLifeMs - ageMs) / 1000)),
  }));
}
