import type { Context } from '../context.ts';
import { onSite } from '../pool/sites.ts';

/**
 * Clients look for a brick that was started now, not when their next attempt is due. They hear of it from the node that they
 * have their volfile from. Who misses it comes when its attempt is due.
 */
export function announceBrick(context: Context, volume: string): void {
  const { pool, volfiles } = context;
  volfiles.brickStarted(volume);
  for (const { uuid } of pool?.others() ?? [])
    if (pool?.isConnected(uuid)) onSite(context, uuid, 'brickStarted', { volume }).catch(() => undefined);
}
