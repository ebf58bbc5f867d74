/**
 * A pool most of whose members have lost their disks can agree on nothing any more, and nobody is taken back without agreement.
 * Somebody who knows that those disks are gone for good may say that what is left counts (docs/pool.md).
 */
import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import type { ReplyData } from '../protocol/replies.ts';
import type { RequestOf } from '../protocol/requests.ts';
import type { PeerDocument } from '../store/documents.ts';
import { standingSchema } from './messages.ts';
import type { PoolService } from './service.ts';

type Found = { peer: PeerDocument } & (
  | { is: 'away'; why: string }
  | { is: 'empty' }
  | { is: 'member'; version: number }
);

/** What became of a member, as far as it says. */
async function look(pool: PoolService, peer: PeerDocument): Promise<Found> {
  try {
    const hello = await pool.helloOf(peer.uuid);
    if (!hello.isMember && !hello.hasVolumes) return { peer, is: 'empty' };
    const standing = standingSchema.parse(await pool.ask(peer.uuid, 'pool.standing', {}));
    return { peer, is: 'member', version: standing.version };
  } catch (error) {
    return { peer, is: 'away', why: (error as Error).message };
  }
}

export async function recoverPool(
  context: Context,
  { force }: RequestOf<'system.pool.recover'>,
): Promise<ReplyData['system.pool.recover']> {
  const { pool, log } = context;
  if (!pool?.isShared) throw new OperationError('this node is in no pool');
  const found = await Promise.all(pool.others().map((peer) => look(pool, peer)));
  const named = (is: Found['is']) => found.filter((one) => one.is === is).map(({ peer }) => pool.nameOf(peer.uuid));
  const empty = named('empty');
  if (empty.length === 0)
    throw new OperationError('no member that answers has lost its state: there is nothing to recover');
  const left = found.length + 1 - empty.length;
  if (named('away').length > 0)
    throw new OperationError(
      `${named('away').join(', ')}: no answer. It may know of changes that this node has missed. Bring it back; if it is lost, ` +
        'start an empty glusterd with its uuid in glusterd.info in its place',
    );
  if (left > (found.length + 1) / 2)
    throw new OperationError('most members have their state: they take the others back by themselves');
  const ahead = found.find((one) => one.is === 'member' && one.version > pool.version);
  if (ahead)
    throw new OperationError(
      `${pool.nameOf(ahead.peer.uuid)} knows of later changes than this node: run the command there`,
    );
  const text = `${empty.join(', ')} lost the state of the pool. What ${empty.length > 1 ? 'these' : 'this one'} and others decided after change ${pool.version} is lost`;
  if (!force) throw new OperationError(`${text}. To go on with the state of this node, use force`);
  log.write('CRITICAL', 'management', `system:: pool recover force: ${text}; the state of this node is given to them`);
  for (const one of found) if (one.is === 'empty') await pool.invite(one.peer.uuid);
  return { members: empty, version: pool.version };
}
