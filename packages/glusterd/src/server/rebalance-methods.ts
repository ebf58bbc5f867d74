/** What rebalance processes of this node ask (docs/management.md). */
import { ManagementError, type ManagementServer } from '@mortar/rpc';
import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import { lateClients, lateClientsParams } from '../operations/late-clients.ts';

export function addRebalanceMethods(server: ManagementServer, context: Context): void {
  server.method('rebalance.clients', lateClientsParams, async (params, { caller }) => {
    if (!caller.peer.isLocal)
      throw new ManagementError('EACCES', 'only processes of this machine are told the clients of a volume');
    try {
      return await lateClients(context, params);
    } catch (error) {
      if (error instanceof OperationError) throw new ManagementError('EOPERATION', error.message);
      throw error;
    }
  });
}
