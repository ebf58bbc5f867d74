/** `volume add-brick`: more sets to distribute over, or more replicas in each set. */
import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import { UndecidedError } from '../pool/errors.ts';
import type { ReplyData } from '../protocol/replies.ts';
import type { RequestOf } from '../protocol/requests.ts';
import type { Operation } from '../transaction/operation.ts';
import { type BrickInfo, setCount, setSize, type VolumeInfo, volumeInfoSchema, withOption } from '../volume.ts';
import { blameFresh } from './blame.ts';
import { checkAvailable, checkDirectory, checkOrder, checkPathLength } from './brick-checks.ts';
import { checkElsewhere, makeEverywhere, requireConnected, startNewBricks, stopElsewhere } from './brick-sites.ts';
import { checkDisjoint, resolveBricks } from './new-bricks.ts';
import { runHooks } from './run-hooks.ts';
import { processesOf } from './status.ts';
import { refuseWhileMoving } from './tasks.ts';
import { commitQuietly, commitVolume, nextVersion } from './volumes.ts';

type AddRequest = RequestOf<'volume.add-brick'>;
interface Plan {
  before: VolumeInfo;
  after: VolumeInfo;
  added: BrickInfo[];
}

export function addBricks(request: AddRequest): Operation<Plan, ReplyData['volume.add-brick']> {
  return {
    name: 'volume add-brick',
    subject: request.volume,
    stage: (context) => stage(context, request),
    commit: add,
  };
}

async function stage(context: Context, request: AddRequest): Promise<Plan> {
  if (!context.store.state.volumes.has(request.volume))
    throw new OperationError(`Unable to get volinfo for volume name ${request.volume}`);
  const before = await refuseWhileMoving(context, request.volume);
  const replica = newReplicaCount(before, request);
  const first = nextBrickNumber(before);
  const named = await resolveBricks(context, request.bricks, (index) => `${before.name}-client-${first + index}`);
  const added = await checkElsewhere(context, named, request);
  for (const brick of added) {
    checkPathLength(before.name, brick);
    checkAvailable(context, brick);
  }
  checkDisjoint(added);
  const after = volumeWith(before, added, replica, request.arbiter);
  if (!request.force) {
    checkSets(after, added);
    if (replica !== undefined) await checkOnline(context, before);
  }
  for (const brick of added)
    if (brick.hostUuid === context.store.state.node.uuid) checkDirectory(context, brick, request);
  context.volfiles.check(after);
  return { before, after, added };
}

/** The replica count that the volume gets; undefined if it keeps its own. */
function newReplicaCount(volume: VolumeInfo, { replica, arbiter, bricks }: AddRequest): number | undefined {
  const size = setSize(volume);
  const wrongCount = () =>
    new OperationError(`Incorrect number of bricks supplied ${bricks.length} with count ${size}`);
  if (replica === undefined) {
    if (bricks.length % size !== 0) throw wrongCount();
    return undefined;
  }
  if (volume.type === 'disperse')
    throw new OperationError(`Volume ${volume.name} cannot be converted from dispersed to replicated-dispersed`);
  if (replica < size)
    throw new OperationError(`Incorrect replica count (${replica}) supplied. Volume already has (${size})`);
  if (replica === size) {
    if (arbiter > 0 && volume.arbiterCount === 0)
      throw new OperationError('Cannot convert replica 3 volume to arbiter volume.');
    if (bricks.length % size !== 0) throw wrongCount();
    return undefined;
  }
  if (bricks.length !== setCount(volume) * (replica - size))
    throw new OperationError(`Incorrect number of bricks (${bricks.length}) supplied for replica count (${replica}).`);
  if (volume.type === 'replicate' && volume.status === 'stopped')
    throw new OperationError(' Volume must not be in stopped state when replica-count needs to  be increased.');
  if (volume.arbiterCount > 0)
    throw new OperationError('Increasing replica count for arbiter volumes is not supported.');
  return replica;
}

/** Above all numbers in use, as GlusterFS counts: they stand in the changelogs. */
function nextBrickNumber(volume: VolumeInfo): number {
  const numbers = volume.bricks.map((brick) => Number(/-client-(\d+)$/.exec(brick.brickId)?.[1] ?? -1));
  return Math.max(...numbers, volume.bricks.length - 1) + 1;
}

function volumeWith(
  volume: VolumeInfo,
  added: readonly BrickInfo[],
  replica: number | undefined,
  arbiter: number,
): VolumeInfo {
  const shape =
    replica === undefined
      ? { bricks: [...volume.bricks, ...added] }
      : {
          ...raised(volume, added, replica),
          type: 'replicate' as const,
          replicaCount: replica,
          arbiterCount: arbiter,
          options: withOption(volume.options, 'performance.client-io-threads', 'off'),
        };
  const parsed = volumeInfoSchema.safeParse(nextVersion({ ...volume, ...shape }));
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  throw new OperationError(`${path.join('.')} ${message}`);
}

/** Every set gets its share of the new bricks, behind those that it has. */
function raised(volume: VolumeInfo, added: readonly BrickInfo[], replica: number): { bricks: BrickInfo[] } {
  const size = setSize(volume);
  const more = replica - size;
  const bricks = Array.from({ length: setCount(volume) }, (_, set) => [
    ...volume.bricks.slice(set * size, (set + 1) * size),
    ...added.slice(set * more, (set + 1) * more),
  ]).flat();
  return { bricks };
}

function checkSets(volume: VolumeInfo, added: readonly BrickInfo[]): void {
  if (volume.type === 'distribute') return;
  const size = setSize(volume);
  const fresh = new Set(added.map((brick) => brick.brickId));
  for (let at = 0; at < volume.bricks.length; at += size) {
    const set = volume.bricks.slice(at, at + size);
    if (set.some((brick) => fresh.has(brick.brickId)))
      checkOrder(set, size, volume.type === 'replicate' ? 'replicate' : 'disperse');
  }
}

async function checkOnline(context: Context, volume: VolumeInfo): Promise<void> {
  if (volume.status !== 'started') return;
  requireConnected(context, volume.bricks);
  const rows = await processesOf(context, volume, volume.bricks);
  for (const brick of volume.bricks) {
    const row = rows.find(({ hostname, path }) => hostname === brick.host && path === brick.path);
    if (row && !row.online)
      throw new OperationError(
        `Brick ${brick.path} is down, changing replica count needs all the bricks to be up to avoid data loss`,
      );
  }
}

async function add(context: Context, { before, after, added }: Plan): Promise<ReplyData['volume.add-brick']> {
  const { uuid } = context.store.state.node;
  const args = brickHookArguments(context, before, 'add-brick');
  await runHooks(context, 'add-brick', 'pre', args);
  const own = added.filter((brick) => brick.hostUuid === uuid);
  // Whole new sets have nothing to be healed from.
  const isHealed = after.replicaCount > before.replicaCount;
  const { made, undo: removeDirectories } = await makeEverywhere(context, after, added, isHealed);
  const undo = [removeDirectories];
  try {
    if (isHealed) undo.push(await blameFresh(context, after, added));
    // In the store, for the new bricks' volfiles; mounts hear of it when the bricks are there.
    await commitQuietly(context, { volumes: new Map([[made.name, made]]) });
    undo.push(() => commitVolume(context, { ...before, version: made.version + 1 }));
    undo.push(async () => {
      for (const brick of own) await context.supervisor.stopBrick(made, brick);
      await stopElsewhere(context, made, added);
    });
    const started = await startNewBricks(context, made, added);
    await commitVolume(context, started);
    await context.healDaemon.update();
  } catch (error) {
    // A change that may yet be made needs what was done for it.
    if (!(error instanceof UndecidedError)) for (const step of undo.reverse()) await step();
    throw error;
  }
  await runHooks(context, 'add-brick', 'post', args);
  return {};
}

export function brickHookArguments(context: Context, volume: VolumeInfo, operation: string): string[] {
  return [
    `--volname=${volume.name}`,
    '--version=1',
    `--volume-op=${operation}`,
    `--gd-workdir=${context.directories.work}`,
  ];
}
