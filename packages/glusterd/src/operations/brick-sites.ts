/** Bricks on other nodes: checked, made, started and ended where they are. */
import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import { bricksElsewhere, gather, onAllSites, onSite } from '../pool/sites.ts';
import { newUuid } from '../uuid.ts';
import type { BrickInfo, VolumeInfo } from '../volume.ts';
import type { BrickRules } from './brick-checks.ts';
import { makeBricks, withFacts } from './new-bricks.ts';
import { brickName, localBricks } from './volumes.ts';

/** Asks the other nodes about directories that are to become bricks; resolves to all bricks, with their real paths. */
export async function checkElsewhere(
  context: Context,
  bricks: readonly BrickInfo[],
  { force, ignorePartition, isReset = false }: BrickRules & { isReset?: boolean },
): Promise<BrickInfo[]> {
  const answers = await onAllSites(context, bricks, (node, own) =>
    onSite(context, node, 'checkBricks', { bricks: plain(own), force, ignorePartition, isReset }),
  );
  return merged(
    bricks,
    answers.flatMap((answer) => answer.bricks),
  );
}

/** Makes the directories of `fresh` on all nodes. `undo` removes them again wherever it can. */
export async function makeEverywhere(
  context: Context,
  volume: VolumeInfo,
  fresh: readonly BrickInfo[],
  dirty = false,
): Promise<{ made: VolumeInfo; undo: () => Promise<void> }> {
  const ids = new Set(fresh.map((brick) => brick.brickId));
  const own = localBricks(context, volume).filter((brick) => ids.has(brick.brickId));
  const undoOwn = makeBricks(context, own, volume.id);
  const token = newUuid(context.random);
  const undo = async () => {
    undoOwn();
    await gather(context, fresh, (node) => onSite(context, node, 'undoBricks', { token }));
  };
  try {
    if (dirty) for (const brick of own) context.inspector.markDirty(brick.path);
    const answers = await onAllSites(context, fresh, (node, theirs) =>
      onSite(context, node, 'makeBricks', { token, volumeId: volume.id, bricks: plain(theirs), dirty }),
    );
    const theirs = merged(
      volume.bricks,
      answers.flatMap((answer) => answer.bricks),
    );
    return { made: { ...volume, bricks: await withFacts(context, theirs) }, undo };
  } catch (error) {
    await undo();
    throw error;
  }
}

/** Starts bricks on the other nodes that can be reached. */
export async function startElsewhere(
  context: Context,
  volume: VolumeInfo,
  bricks: readonly BrickInfo[],
): Promise<{ ports: Map<string, number>; failures: string[] }> {
  const ports = new Map<string, number>();
  const failures: string[] = [];
  const start = async (node: string, own: readonly BrickInfo[]) => {
    try {
      const answer = await onSite(context, node, 'startBricks', { volume, bricks: own.map((one) => one.brickId) });
      for (const [id, port] of Object.entries(answer.ports)) ports.set(id, port);
      failures.push(...answer.failures);
    } catch (error) {
      if (!(error instanceof OperationError)) throw error;
      failures.push(error.message);
    }
  };
  await Promise.all([...bricksElsewhere(context, bricks)].map(([node, own]) => start(node, own)));
  return { ports, failures };
}

/** A node that cannot be reached ends its bricks itself, when it learns what became of the volume. */
export async function stopElsewhere(context: Context, volume: VolumeInfo, bricks: readonly BrickInfo[]): Promise<void> {
  await gather(context, bricks, (node, own) =>
    onSite(context, node, 'stopBricks', { volume, bricks: own.map((one) => one.brickId) }),
  );
}

/** The same for bricks that left the volume, whose clients go over to the new graph first. */
export async function retireElsewhere(
  context: Context,
  volume: VolumeInfo,
  bricks: readonly BrickInfo[],
): Promise<void> {
  await gather(context, bricks, (node, own) =>
    onSite(context, node, 'retireBricks', { volume, bricks: own.map((one) => one.brickId) }),
  );
}

/** Nodes of bricks must be there for what cannot be made good later. */
export function requireConnected(context: Context, bricks: readonly BrickInfo[]): void {
  for (const [node, [brick]] of bricksElsewhere(context, bricks))
    if (!context.pool?.isConnected(node)) throw new OperationError(`Host ${brick!.host} not connected`);
}

/** Bricks that are to leave: what they still have, and whether they are empty, only their own node knows. */
export function requireHostsUp(context: Context, bricks: readonly BrickInfo[]): void {
  for (const [node, [brick]] of bricksElsewhere(context, bricks))
    if (!context.pool?.isConnected(node))
      throw new OperationError(`Host node of the brick ${brickName(brick!)} is down`);
}

function plain(bricks: readonly BrickInfo[]): BrickInfo[] {
  return bricks.map((brick) => ({ ...brick }));
}

function merged(bricks: readonly BrickInfo[], answers: readonly BrickInfo[]): BrickInfo[] {
  const byId = new Map(answers.map((brick) => [brick.brickId, brick]));
  return bricks.map((brick) => byId.get(brick.brickId) ?? brick);
}

/**
 * Starts bricks that a started volume gained. Their volfiles must be in the store. Throws OperationError when one
 * does not start; then none of them runs. Resolves to the volume with their ports.
 */
export async function startNewBricks(
  context: Context,
  volume: VolumeInfo,
  added: readonly BrickInfo[],
): Promise<VolumeInfo> {
  if (volume.status !== 'started') return volume;
  const ids = new Set(added.map((brick) => brick.brickId));
  const own = localBricks(context, volume).filter((brick) => ids.has(brick.brickId));
  const elsewhere = await startElsewhere(context, volume, added);
  const results = await Promise.allSettled(own.map((brick) => context.supervisor.startBrick(volume, brick)));
  const failed = results.find((result) => result.status === 'rejected');
  if (failed || elsewhere.failures.length > 0) {
    await Promise.all(own.map((brick) => context.supervisor.stopBrick(volume, brick)));
    await stopElsewhere(context, volume, added);
    throw failed ? failed.reason : new OperationError(elsewhere.failures[0]!);
  }
  const ports = new Map(own.map((brick, i) => [brick.brickId, (results[i] as PromiseFulfilledResult<number>).value]));
  for (const [id, port] of elsewhere.ports) ports.set(id, port);
  const bricks = volume.bricks.map((brick) => ({ ...brick, port: ports.get(brick.brickId) ?? brick.port ?? 0 }));
  return { ...volume, bricks };
}
