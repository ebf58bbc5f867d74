/** `volume remove-brick`: fewer sets to distribute over, or fewer replicas in each set. */
import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import type { ReplyData } from '../protocol/replies.ts';
import type { RequestOf } from '../protocol/requests.ts';
import { execute, type Operation } from '../transaction/operation.ts';
import { type BrickInfo, setCount, setSize, type VolumeInfo, type VolumeTask, withOption } from '../volume.ts';
import { brickHookArguments } from './add-brick.ts';
import { requireHostsUp, retireElsewhere } from './brick-sites.ts';
import { awaitedOf } from './late-clients.ts';
import { brickNamed } from './named-brick.ts';
import { runHooks } from './run-hooks.ts';
import { newTask, refuseWhileMoving, startTask, stopTask, takingPart, taskData, withTaskNow } from './tasks.ts';
import { brickName, commitVolume, nextVersion } from './volumes.ts';

type RemoveRequest = RequestOf<'volume.remove-brick'>;
interface Plan {
  before: VolumeInfo;
  after: VolumeInfo;
  removed: BrickInfo[];
}

type Reply = ReplyData['volume.remove-brick'];

export async function removeBricks(context: Context, request: RemoveRequest): Promise<Reply> {
  switch (request.action) {
    case 'start':
      return execute(context, startRemoval(request));
    case 'stop':
      return execute(context, stopRemoval(request));
    case 'status': {
      const volume = await withTaskNow(context, request.volume);
      return {
        task: taskData(context, await ownTask(context, request, volume)),
        ...(await awaitedOf(context, volume)),
      };
    }
    default:
      return execute(context, commitRemoval(request));
  }
}

async function ownTask(context: Context, { bricks }: RemoveRequest, volume: VolumeInfo): Promise<VolumeTask> {
  const { task, name } = volume;
  if (task?.kind !== 'remove-brick') throw new OperationError(`remove-brick not started for volume ${name}.`);
  for (const typed of bricks) {
    const brick = await brickNamed(context, volume, typed);
    const isIn = brick ? task.bricks.includes(brickName(brick)) : task.bricks.includes(typed);
    if (!isIn) throw new OperationError(`Incorrect brick ${typed} for volume ${name}`);
  }
  return task;
}

/** Nothing new is put on the bricks, and what is there is moved away. */
function startRemoval(request: RemoveRequest): Operation<Plan, Reply> {
  return {
    name: 'volume remove-brick start',
    subject: request.volume,
    async stage(context) {
      const volume = await refuseWhileMoving(context, request.volume);
      const plan = await planOf(context, volume, request);
      await checkStart(context, volume, request, plan.removed);
      return plan;
    },
    async commit(context, { before, removed }) {
      const nodes = takingPart(context, before, removed);
      const task = newTask(context, 'remove-brick', 'detach', removed.map(brickName), nodes);
      const bricks = before.bricks.map((brick) =>
        removed.includes(brick) ? { ...brick, decommissioned: true } : brick,
      );
      const moving = nextVersion({ ...before, bricks, task });
      await commitVolume(context, moving);
      try {
        await startTask(context, moving);
      } catch (error) {
        await commitVolume(context, { ...before, version: moving.version + 1 });
        throw error;
      }
      return { task: taskData(context, task) };
    },
  };
}

function stopRemoval(request: RemoveRequest): Operation<VolumeInfo, Reply> {
  return {
    name: 'volume remove-brick stop',
    subject: request.volume,
    async stage(context) {
      const volume = await withTaskNow(context, request.volume);
      await ownTask(context, request, volume);
      return volume;
    },
    async commit(context, volume) {
      const { task, ...stopped } = await stopTask(context, volume);
      await commitVolume(context, nextVersion({ ...stopped, bricks: stopped.bricks.map(inService) }));
      return { task: taskData(context, task!) };
    },
  };
}

function inService({ decommissioned: _, ...brick }: BrickInfo): BrickInfo {
  return brick;
}

/** `commit` wants the bricks to be empty, `force` does not ask. */
function commitRemoval(request: RemoveRequest): Operation<Plan, Reply> {
  return {
    name: `volume remove-brick ${request.action}`,
    subject: request.volume,
    async stage(context) {
      const volume = await withTaskNow(context, request.volume);
      const plan = await planOf(context, volume, request);
      if (request.action === 'commit') checkCommit(context, volume, plan.removed);
      if (volume.task?.kind === 'rebalance') await refuseWhileMoving(context, request.volume);
      return plan;
    },
    async commit(context, plan) {
      await stopTask(context, plan.before);
      return remove(context, plan);
    },
  };
}

function checkCommit(context: Context, { task }: VolumeInfo, removed: readonly BrickInfo[]): void {
  const staying = removed.find((brick) => !brick.decommissioned);
  if (staying) throw new OperationError(`Brick ${brickName(staying)} is not decommissioned. Use start or force option`);
  requireHostsUp(context, removed);
  if (task?.state === 'running') throw new OperationError("use 'force' option as migration is in progress");
  if (task?.state === 'failed') throw new OperationError("use 'force' option as migration has failed");
  // Ended with the volume, or bricks were exchanged: files may be left.
  if (task?.state !== 'completed') throw new OperationError("use 'force' option as migration has not completed");
}

async function planOf(context: Context, volume: VolumeInfo, request: RemoveRequest): Promise<Plan> {
  const replica = newReplicaCount(volume, request);
  const removed = await namedBricks(context, volume, request.bricks);
  checkSets(volume, removed, replica);
  if (removed.length === volume.bricks.length)
    throw new OperationError('Deleting all the bricks of the volume is not allowed');
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

async function namedBricks(context: Context, volume: VolumeInfo, names: readonly string[]): Promise<BrickInfo[]> {
  const bricks: BrickInfo[] = [];
  for (const name of names) {
    const brick = await brickNamed(context, volume, name);
    if (!brick) throw new OperationError(`Incorrect brick ${name} for volume ${volume.name}`);
    if (bricks.includes(brick)) throw new OperationError(`Brick ${name} is given twice: it is ${brickName(brick)}`);
    bricks.push(brick);
  }
  return bricks;
}

function checkSets(volume: VolumeInfo, removed: readonly BrickInfo[], replica: number | undefined): void {
  const size = setSize(volume);
  const counts = Array.from({ length: setCount(volume) }, () => 0);
  for (const brick of removed) counts[Math.floor(volume.bricks.indexOf(brick) / size)]!++;
  if (replica !== undefined) {
    if (counts.some((count) => count !== size - replica))
      throw new OperationError(`Remove exactly ${size - replica} brick(s) from each subvolume.`);
    checkArbiters(volume, removed, replica);
  } else if (counts.some((count) => count % size !== 0))
    throw new OperationError(`Bricks not from same subvol for ${volume.type === 'disperse' ? 'disperse' : 'replica'}`);
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

async function checkStart(
  context: Context,
  volume: VolumeInfo,
  { replica }: RemoveRequest,
  removed: readonly BrickInfo[],
): Promise<void> {
  if (replica !== undefined && replica < setSize(volume))
    throw new OperationError("Migration of data is not needed when reducing replica count. Use the 'force' option");
  if (volume.status !== 'started')
    throw new OperationError(
      `Volume ${volume.name} needs to be started before remove-brick (you can use 'force' or 'commit' to override this behavior)`,
    );
  if (volume.task?.kind === 'remove-brick')
    throw new OperationError(
      `An earlier remove-brick task exists for volume ${volume.name}. Either commit it or stop it before starting a new task.`,
    );
  requireHostsUp(context, removed);
  for (const brick of removed) {
    const { online } = await context.supervisor.brickState(volume, brick);
    if (!online && brick.hostUuid === context.store.state.node.uuid)
      throw new OperationError(`Found stopped brick ${brickName(brick)}. Use force option to remove the offline brick`);
  }
}

/** Its task is over: what is left of the bricks to remove is in service again. */
function volumeWithout(before: VolumeInfo, removed: readonly BrickInfo[], replica: number | undefined): VolumeInfo {
  const { task: _, ...volume } = before;
  const bricks = volume.bricks.filter((brick) => !removed.includes(brick)).map(inService);
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

async function remove(context: Context, { before, after, removed }: Plan): Promise<Reply> {
  const { uuid } = context.store.state.node;
  const args = brickHookArguments(context, before, 'remove-brick');
  await runHooks(context, 'remove-brick', 'pre', args);
  await commitVolume(context, after);
  await context.healDaemon.update();
  const own = removed.filter((brick) => brick.hostUuid === uuid);
  await Promise.all([
    ...own.map((brick) => context.supervisor.retireBrick(before, brick)),
    retireElsewhere(context, before, removed),
  ]);
  await runHooks(context, 'remove-brick', 'post', args);
  return {};
}
