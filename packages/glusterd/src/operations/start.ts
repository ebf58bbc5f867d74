import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import type { ReplyData } from '../protocol/replies.ts';
import type { RequestOf } from '../protocol/requests.ts';
import type { Operation } from '../transaction/operation.ts';
import type { BrickInfo, VolumeInfo } from '../volume.ts';
import { brickName, commitVolume, localBricks, nextVersion, volumeNamed } from './volumes.ts';

export function startVolume(request: RequestOf<'volume.start'>): Operation<VolumeInfo, ReplyData['volume.start']> {
  return {
    name: 'volume start',
    subject: request.volume,
    stage: async (context) => stage(context, request),
    commit: (context, volume) => start(context, volume, request.force),
  };
}

function stage(context: Context, { volume: name, force }: RequestOf<'volume.start'>): VolumeInfo {
  const volume = volumeNamed(context, name);
  if (volume.status === 'started' && !force) throw new OperationError(`Volume ${name} already started`);
  context.volfiles.check(volume);
  for (const brick of localBricks(context, volume)) {
    const problem = brickProblem(context, volume, brick);
    if (problem !== null && !force) throw new OperationError(problem);
  }
  return volume;
}

/** Why a brick's directory is not that of this volume, or null. */
function brickProblem(context: Context, volume: VolumeInfo, brick: BrickInfo): string | null {
  if (!context.inspector.isDirectory(context.inspector.realPath(brick.path)))
    return `Failed to find brick directory ${brick.path} for volume ${volume.name}. Reason : No such file or directory`;
  const id = context.inspector.volumeId(brick.path);
  if (id === null)
    return `Failed to get extended attribute trusted.glusterfs.volume-id for brick dir ${brick.path}. Reason : No data available`;
  if (id !== volume.id)
    return `Volume id mismatch for brick ${brickName(brick)}. Expected volume id ${volume.id}, volume id ${id} found`;
  return null;
}

export function hookArguments(context: Context, volume: VolumeInfo, operation: string): string[] {
  const others = [...context.store.state.volumes.values()].filter(
    (other) => other.name !== volume.name && other.status === 'started',
  );
  const edge = operation === 'start' ? 'first' : 'last';
  return [
    `--volname=${volume.name}`,
    `--${edge}=${others.length === 0 ? 'yes' : 'no'}`,
    '--version=1',
    `--volume-op=${operation}`,
    `--gd-workdir=${context.directories.work}`,
  ];
}

async function start(context: Context, volume: VolumeInfo, force: boolean): Promise<ReplyData['volume.start']> {
  const args = hookArguments(context, volume, 'start');
  await context.hooks.run('start', 'pre', args);
  const running: { brick: BrickInfo; port: number }[] = [];
  const failures: string[] = [];
  await Promise.all(
    localBricks(context, volume).map(async (brick) => {
      try {
        running.push({ brick, port: await context.supervisor.startBrick(volume, brick) });
      } catch (error) {
        if (!(error instanceof OperationError)) throw error;
        failures.push(error.message);
      }
    }),
  );
  if (failures.length > 0 && !force) {
    if (volume.status !== 'started') for (const { brick } of running) await context.supervisor.stopBrick(volume, brick);
    throw new OperationError('Commit failed on localhost. Please check log file for details.');
  }
  const ports = new Map(running.map(({ brick, port }) => [brick.brickId, port]));
  const bricks = volume.bricks.map((brick) => ({ ...brick, port: ports.get(brick.brickId) ?? brick.port ?? 0 }));
  const wasStarted = volume.status === 'started';
  const started: VolumeInfo = { ...(wasStarted ? volume : nextVersion(volume)), status: 'started', bricks };
  await commitVolume(context, started);
  await context.supervisor.updateHealDaemon(started, context.store.state.node.uuid);
  await context.hooks.run('start', 'post', args);
  return { volume: volume.name, id: volume.id };
}
