/** `system uuid reset`: a node that was copied from another one gets an identity of its own. */
import { OperationError } from '../errors.ts';
import type { ReplyData } from '../protocol/replies.ts';
import type { Operation } from '../transaction/operation.ts';
import { newUuid } from '../uuid.ts';
import { commit } from './volumes.ts';

export function resetUuid(): Operation<string, ReplyData['system.uuid.reset']> {
  return {
    name: 'uuid reset',
    subject: 'all',
    async stage({ store: { state }, random }) {
      if ([...state.peers.keys()].some((uuid) => uuid !== state.node.uuid))
        throw new OperationError(
          'trusted storage pool has been already formed. Please detach this peer from the pool and reset its uuid.',
        );
      if (state.volumes.size > 0)
        throw new OperationError('volumes are already present in the cluster. Resetting uuid is not allowed');
      return newUuid(random);
    },
    async commit(context, uuid) {
      await context.pool?.forget();
      await commit(context, { node: { ...context.store.state.node, uuid } });
      await context.pool?.reopen();
      return { uuid };
    },
  };
}
