/** Whom the rebalance process of this node waits for. */
import { z } from 'zod';
import type { Context } from '../context.ts';
import type { AwaitedData } from '../protocol/replies.ts';
import type { VolumeInfo } from '../volume.ts';

const awaitMs = 5000;

export const awaitedSchema = z.array(
  z.object({ program: z.string(), host: z.string(), processId: z.number(), seconds: z.number().min(0) }),
);

/** Nobody if none runs. */
export async function awaitedHere(context: Context, volume: VolumeInfo): Promise<AwaitedData[]> {
  if (!(await context.supervisor.isRebalancing(volume, context.store.state.node.uuid))) return [];
  try {
    return awaitedSchema.parse(await context.supervisor.askRebalance(volume, 'rebalance.waits', awaitMs));
  } catch (error) {
    context.log.write('WARNING', 'management', `rebalance.waits of ${volume.name}: ${(error as Error).message}`);
    return [];
  }
}
