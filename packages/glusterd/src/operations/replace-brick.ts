/** `volume replace-brick` and `volume reset-brick`: an empty directory in the place of a brick, healed by the others. */
import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import { UndecidedError } from '../pool/errors.ts';
import type { RequestOf } from '../protocol/requests.ts';
import type { Operation } from '../transaction/operation.ts';
import type { BrickInfo, VolumeInfo } from '../volume.ts';
import { brickHookArguments } from './add-brick.ts';
import { blameFresh } from './blame.ts';
import { checkAvailable, checkDirectory, checkPathLength, splitBrick } from './brick-checks.ts';
import {
  checkElsewhere,
  makeEverywhere,
  requireConnected,
  startElsewhere,
  startNewBricks,
  stopElsewhere,
} from './brick-sites.ts';
import { brickNamed } from './named-brick.ts';
import { resolveBricks } from './new-bricks.ts';
import { runHooks } from './run-hooks.ts';
import { processesOf } from './status.ts';
import { resetTask } from './task-nodes.ts';
import { refuseWhileMoving } from './tasks.ts';
import { brickName, commitQuietly, commitVolume, nextVersion, volumeNamed } from './volumes.ts';

type Nothing = Record<string, never>;
interface Plan {
  volume: VolumeInfo;
  source: BrickInfo;
  target: BrickInfo;
}

export function replaceBrick(request: RequestOf<'volume.replace-brick'>): Operation<Plan, Nothing> {
  return {
    name: 'volume replace-brick',
    subject: request.volume,
    async stage(context) {
      await refuseIfMoving(context, request.volume);
      const { volume, source } = await brickToReplace(context, request, 'replace-brick');
      // The command is always forced, as its words say.
      const rules = { force: true, ignorePartition: request.ignorePartition };
      const named = await targetOf(context, request.target, source);
      checkPathLength(volume.name, named);
      const [target] = (await checkElsewhere(context, [named], rules)) as [BrickInfo];
      checkAvailable(context, target);
      if (isOwn(context, target)) checkDirectory(context, target, rules);
      return { volume, source, target };
    },
    commit: (context, plan) => exchange(context, plan, 'replace-brick'),
  };
}

export function resetBrick(
  request: RequestOf<'volume.reset-brick'>,
): Operation<Plan | { volume: VolumeInfo; source: BrickInfo }, Nothing> {
  return {
    name: `volume reset-brick ${request.action}`,
    subject: request.volume,
    async stage(context) {
      await refuseIfMoving(context, request.volume);
      const found = await brickToReplace(context, request, 'reset-brick');
      if (request.action === 'start') return found;
      return { ...found, target: await stageReset(context, request, found) };
    },
    async commit(context, plan) {
      if ('target' in plan) return exchange(context, plan, 'reset-brick');
      if (isOwn(context, plan.source)) await context.supervisor.stopBrick(plan.volume, plan.source);
      requireConnected(context, [plan.source]);
      await stopElsewhere(context, plan.volume, [plan.source]);
      return {};
    },
  };
}

async function stageReset(
  context: Context,
  request: RequestOf<'volume.reset-brick'>,
  { volume, source }: { volume: VolumeInfo; source: BrickInfo },
): Promise<BrickInfo> {
  const target = await targetOf(context, request.target ?? brickName(source), source);
  if (target.hostUuid !== source.hostUuid || target.path !== source.path) {
    checkAvailable(context, target);
    throw new OperationError(
      'When destination brick is new, please use gluster volume replace-brick <volname> <src-brick> <dst-brick> commit force',
    );
  }
  requireConnected(context, [source]);
  const [state] = await processesOf(context, volume, [source]);
  if (state?.online)
    throw new OperationError(
      'Source brick must be stopped. Please use gluster volume reset-brick <volname> <dst-brick> start.',
    );
  if (!isOwn(context, target)) {
    const rules = { force: request.force, ignorePartition: request.ignorePartition };
    return { ...target, ...(await checkElsewhere(context, [target], { ...rules, isReset: true }))[0]! };
  }
  const isThere = context.inspector.isDirectory(context.inspector.realPath(target.path));
  if (!request.force && isThere && context.inspector.volumeId(target.path) !== null)
    throw new OperationError(
      "Brick not available.It may be containing or be contained by an existing brick.Use 'force' option to override this.",
    );
  checkDirectory(context, target, { force: request.force, ignorePartition: request.ignorePartition });
  return target;
}

function isOwn(context: Context, brick: BrickInfo): boolean {
  return brick.hostUuid === context.store.state.node.uuid;
}

async function refuseIfMoving(context: Context, name: string): Promise<void> {
  if (context.store.state.volumes.has(name)) await refuseWhileMoving(context, name);
}

async function brickToReplace(
  context: Context,
  request: { volume: string; source: string },
  command: string,
): Promise<{ volume: VolumeInfo; source: BrickInfo }> {
  const volume = volumeNamed(context, request.volume);
  if (volume.type === 'distribute')
    throw new OperationError(
      `${command} is not permitted on distribute only volumes. Please use add-brick and remove-brick operations instead.`,
    );
  if (volume.status !== 'started') throw new OperationError(`volume: ${volume.name} is not started`);
  splitBrick(request.source);
  const source = await brickNamed(context, volume, request.source);
  if (!source) throw new OperationError(`brick: ${request.source} does not exist in volume: ${volume.name}`);
  return { volume, source };
}

/** The new brick has the old one's place in the set, and so its name in the changelogs. */
async function targetOf(context: Context, text: string, source: BrickInfo): Promise<BrickInfo> {
  const [target] = await resolveBricks(context, [text], () => source.brickId);
  return target!;
}

async function exchange(
  context: Context,
  { volume, source, target }: Plan,
  operation: 'replace-brick' | 'reset-brick',
): Promise<Nothing> {
  const args = brickHookArguments(context, volume, operation);
  await runHooks(context, operation, 'pre', args);
  const bricks = volume.bricks.map((brick) => (brick === source ? target : brick));
  const task = volume.task && { task: resetTask(volume.task) };
  const planned = nextVersion({ ...volume, bricks, ...task });
  const { made: after, undo: removeDirectory } = await makeEverywhere(context, planned, [target], true);
  const undo = [removeDirectory];
  try {
    undo.push(await blameFresh(context, after, [target]));
    // Before anyone hears of the new brick, and other nodes tell their clients as soon as they learn of it: whoever still has the old graph
    // blames it from now on for what it misses.
    undo.push(await endReplaced(context, volume, source, target));
    await commitQuietly(context, { volumes: new Map([[after.name, after]]) });
    undo.push(() => commitVolume(context, { ...volume, version: after.version + 1 }));
    if (isOwn(context, target)) undo.push(() => context.supervisor.stopBrick(after, target));
    else undo.push(() => stopElsewhere(context, after, [target]));
    const started = await startNewBricks(context, after, [target]);
    await commitVolume(context, started);
    await context.healDaemon.update();
  } catch (error) {
    // A change that may yet be made needs what was done for it.
    if (!(error instanceof UndecidedError)) for (const step of undo.reverse()) await step();
    throw error;
  }
  await runHooks(context, operation, 'post', args);
  return {};
}

/** Gives back how to have it again. */
async function endReplaced(
  context: Context,
  volume: VolumeInfo,
  source: BrickInfo,
  target: BrickInfo,
): Promise<() => Promise<void>> {
  const isSamePlace = source.hostUuid === target.hostUuid && source.path === target.path;
  if (!isOwn(context, source)) {
    if (!isSamePlace) await stopElsewhere(context, volume, [source]);
    return async () => void (await startElsewhere(context, volume, [source]));
  }
  const { supervisor } = context;
  const { online } = await supervisor.brickState(volume, source);
  if (!isSamePlace) await supervisor.stopBrick(volume, source);
  return async () => {
    if (online) await supervisor.startBrick(volume, source);
  };
}
