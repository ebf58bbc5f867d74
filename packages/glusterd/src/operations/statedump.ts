/** `volume statedump`: every brick that runs writes what it knows of itself, where it runs. */
import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import { bricksElsewhere, onSite } from '../pool/sites.ts';
import type { RequestOf } from '../protocol/requests.ts';
import type { BrickInfo, VolumeInfo } from '../volume.ts';
import { refreshBricks } from './ask-bricks.ts';
import { dumpClient } from './dump-client.ts';
import { type DumpFailure, dumpHere } from './dump-here.ts';
import { brickName, localBricks, startedVolume } from './volumes.ts';

/** Throws OperationError with a line for each brick that has written none. Bricks that do not run, or whose node is away, are passed over. */
export async function statedump(
  context: Context,
  request: RequestOf<'volume.statedump'>,
): Promise<Record<string, never>> {
  const volume = startedVolume(context, request.volume);
  if (request.client !== undefined) {
    await dumpClient(context, volume, request.client);
    return {};
  }
  // A place that was set a moment ago counts already.
  await refreshBricks(context, volume);
  const elsewhere = [...bricksElsewhere(context, volume.bricks)].map(([node, own]) =>
    dumpOn(context, volume, node, own),
  );
  const here = dumpHere(context, volume, localBricks(context, volume));
  const failures = (await Promise.all([here, ...elsewhere])).flat();
  const reasons = new Map(failures.map(({ brick, reason }) => [brick, reason]));
  const failed = volume.bricks.filter(({ brickId }) => reasons.has(brickId));
  if (failed.length === 0) return {};
  throw new OperationError(failed.map((one) => `${brickName(one)}: ${reasons.get(one.brickId)}`).join('\n'));
}

async function dumpOn(
  context: Context,
  volume: VolumeInfo,
  node: string,
  own: readonly BrickInfo[],
): Promise<readonly DumpFailure[]> {
  if (!context.pool?.isConnected(node)) return [];
  try {
    const bricks = own.map(({ brickId }) => brickId);
    return (await onSite(context, node, 'dumpBricks', { volume: volume.name, bricks })).failures;
  } catch (error) {
    if (!(error instanceof OperationError)) throw error;
    return own.map(({ brickId }) => ({ brick: brickId, reason: error.message }));
  }
}
