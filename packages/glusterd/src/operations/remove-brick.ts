/** `volume remove-brick`: fewer sets to distribute over, or fewer replicas in each set. */
import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import type { ReplyData } from '../protocol/replies.ts';
import type { RequestOf } from '../protocol/requests.ts';
import type { Operation } from '../transaction/operation.ts';
import { type BrickInfo, setCount, setSize, type VolumeInfo, withOption } from '../volume.ts';
import { brickHookArguments } from './add-brick.ts';
import { brickName, commitVolume, nextVersion, volumeNamed } from './volumes.ts';

type RemoveRequest = RequestOf<'volume.remove-brick'>;
interface Plan {
  before: VolumeInfo;
  after: VolumeInfo;
  removed: BrickInfo[];
}

export function removeBricks(request: RemoveRequest): Operation<Plan, ReplyData['volume.remove-brick']> {
  return {
    name: `volume remove-brick ${request.action}`,
    subject: request.volume,
    stage: async (context) => stage(context, request),
    commit: remove,
  };
}

async function stage(context: Context, request: RemoveRequest): Promise<Plan> {
  const volume = volumeNamed(context, request.volume);
  if (request.action === 'status' || request.action === 'stop')
    throw new OperationError(`remove-brick not started for volume ${volume.name}.`);
  const replica = newReplicaCount(volume, request);
  const removed = bricksOf(volume, request, replica);
  if (removed.length === volume.bricks.length)
    throw new OperationError('Deleting all the bricks of the volume is not allowed');
  if (request.action === 'start') await refuseMigration(context, volume, removed, replica);
  if (request.action === 'commit')
    throw new OperationError(`Brick ${brickName(removed[0]!)} is not decommissioned. Use start or force option`);
  const after = volumeWithout(volume, removed, replica);
  context.volfiles.check(after);
  return { before: volume, after, removed };
}

/** The replica count that the volume gets; undefined if it keeps its own. */
function newReplicaCount(volume: VolumeInfo, { replica, bricks }: RemoveRequest): number | undefined {
  const size = setSize(volume);
  const kind = volume.type === 'replicate' ? 'replica' : volume.type === 'disperse' ? 'disperse' : 'distribute';
  if (replica !== undefined) {
    if (volume.type !== 'replicate')
      throw new OperationError(`replica count (${replica}) option given for non replicate volume ${volume.name}`);
    if (replica > size)
      throw new OperationError(
        `given replica count (${replica}) option is more than volume ${volume.name}'s replica count (${size})`,
      );
    if (replica < size) {
      const needed = setCount(volume) * (size - replica);
      if (bricks.length % needed !== 0)
        throw new OperationError(
          `need ${needed}(xN) bricks for reducing replica count of the volume from ${size} to ${replica}`,
        );
      return replica;
    }
    if (bricks.length % size !== 0)
      throw new OperationError(
        `number of bricks provided (${bricks.length}) is not valid. need at least ${size} (or ${size}xN)`,
      );
  }
  if (volume.type === 'replicate' && volume.bricks.length === size)
    throw new OperationError(
      'Removing bricks from replicate configuration is not allowed without reducing replica count explicitly.',
    );
  if (bricks.length % size !== 0)
    throw new OperationError(`Remove brick incorrect brick count of ${bricks.length} for ${kind} ${size}`);
  return undefined;
}

function bricksOf(volume: VolumeInfo, request: RemoveRequest, replica: number | undefined): BrickInfo[] {
  const removed = request.bricks.map((name) => {
    const brick = volume.bricks.find((one) => brickName(one) === name);
    if (!brick) throw new OperationError(`Incorrect brick ${name} for volume ${volume.name}`);
    return brick;
  });
  const size = setSize(volume);
  const counts = Array.from({ length: setCount(volume) }, () => 0);
  for (const brick of removed) counts[Math.floor(volume.bricks.indexOf(brick) / size)]!++;
  if (replica !== undefined) {
    if (counts.some((count) => count !== size - replica))
      throw new OperationError(`Remove exactly ${size - replica} brick(s) from each subvolume.`);
    checkArbiters(volume, removed, replica);
  } else if (counts.some((count) => count % size !== 0))
    throw new OperationError(`Bricks not from same subvol for ${volume.type === 'disperse' ? 'disperse' : 'replica'}`);
  return removed;
}

function checkArbiters(volume: VolumeInfo, removed: readonly BrickInfo[], replica: number): void {
  if (volume.arbiterCount === 0) return;
  const size = setSize(volume);
  const arbiters = volume.bricks.filter((_, index) => index % size === size - 1);
  if (replica === 2 && removed.some((brick) => !arbiters.includes(brick)))
    throw new OperationError('Remove arbiter brick(s) only when converting from arbiter to replica 2 subvolume.');
  if (replica === 1 && arbiters.some((arbiter) => !removed.includes(arbiter)))
    throw new OperationError('Removed bricks must contain arbiter when converting to plain distribute.');
}

async function refuseMigration(
  context: Context,
  volume: VolumeInfo,
  removed: readonly BrickInfo[],
  replica: number | undefined,
): Promise<never> {
  if (replica !== undefined)
    throw new OperationError("Migration of data is not needed when reducing replica count. Use the 'force' option");
  if (volume.status !== 'started')
    throw new OperationError(
      `Volume ${volume.name} needs to be started before remove-brick (you can use 'force' or 'commit' to override this behavior)`,
    );
  for (const brick of removed) {
    const { online } = await context.supervisor.brickState(volume, brick);
    if (!online && brick.hostUuid === context.store.state.node.uuid)
      throw new OperationError(`Found stopped brick ${brickName(brick)}. Use force option to remove the offline brick`);
  }
  throw new OperationError(
    'this build of Mortar does not migrate files: copy them away and use force, or keep the brick',
  );
}

function volumeWithout(volume: VolumeInfo, removed: readonly BrickInfo[], replica: number | undefined): VolumeInfo {
  const bricks = volume.bricks.filter((brick) => !removed.includes(brick));
  if (replica === undefined) return nextVersion({ ...volume, bricks });
  const shape =
    replica > 1
      ? { replicaCount: replica, arbiterCount: 0 }
      : {
          type: 'distribute' as const,
          replicaCount: 1,
          arbiterCount: 0,
          options: withOption(volume.options, 'performance.client-io-threads', 'on'),
        };
  return nextVersion({ ...volume, ...shape, bricks });
}

async function remove(context: Context, { before, after, removed }: Plan): Promise<ReplyData['volume.remove-brick']> {
  const { uuid } = context.store.state.node;
  const args = brickHookArguments(context, before, 'remove-brick');
  await context.hooks.run('remove-brick', 'pre', args);
  await commitVolume(context, after);
  await context.supervisor.updateHealDaemon(after, uuid);
  const own = removed.filter((brick) => brick.hostUuid === uuid);
  await Promise.all(own.map((brick) => context.supervisor.stopBrick(before, brick)));
  await context.hooks.run('remove-brick', 'post', args);
  return {};
}
