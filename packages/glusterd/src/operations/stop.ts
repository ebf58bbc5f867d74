import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import type { ReplyData } from '../protocol/replies.ts';
import type { RequestOf } from '../protocol/requests.ts';
import type { Operation } from '../transaction/operation.ts';
import type { VolumeInfo } from '../volume.ts';
import { stopElsewhere } from './brick-sites.ts';
import { runHooks } from './run-hooks.ts';
import { hookArguments } from './start.ts';
import { stopTask, withTaskNow } from './tasks.ts';
import { commit, commitVolume, localBricks, nextVersion, volumeNamed } from './volumes.ts';

export function stopVolume(request: RequestOf<'volume.stop'>): Operation<VolumeInfo, ReplyData['volume.stop']> {
  return {
    name: 'volume stop',
    subject: request.volume,
    async stage(context) {
      const volume = await withTaskNow(context, request.volume);
      if (volume.status !== 'started' && !request.force)
        throw new OperationError(`Volume ${request.volume} is not in the started state`);
      if (volume.task?.state === 'running' && !request.force)
        throw new OperationError(`rebalance session is in progress for the volume '${volume.name}'`);
      return stopTask(context, volume);
    },
    commit: stop,
  };
}

async function stop(context: Context, volume: VolumeInfo): Promise<ReplyData['volume.stop']> {
  const args = hookArguments(context, volume, 'stop');
  await runHooks(context, 'stop', 'pre', args);
  const stopped: VolumeInfo = { ...nextVersion(volume), status: 'stopped' };
  // First what is wanted, then the processes: a crash in between leaves bricks that the next start of glusterd ends.
  await commitVolume(context, stopped);
  await context.healDaemon.update();
  await Promise.all(localBricks(context, stopped).map((brick) => context.supervisor.stopBrick(stopped, brick)));
  // The others have learned it and end their bricks by themselves; people expect them to be gone now.
  await stopElsewhere(context, stopped, stopped.bricks);
  await runHooks(context, 'stop', 'post', args);
  return { volume: volume.name, id: volume.id };
}

export function deleteVolume(request: RequestOf<'volume.delete'>): Operation<VolumeInfo, ReplyData['volume.delete']> {
  return {
    name: 'volume delete',
    subject: request.volume,
    async stage(context) {
      const volume = volumeNamed(context, request.volume);
      if (volume.status === 'started')
        throw new OperationError(
          `Volume ${request.volume} has been started.Volume needs to be stopped before deletion.`,
        );
      const { pool } = context;
      if (pool?.others().some(({ uuid }) => !pool.isConnected(uuid)))
        throw new OperationError('Some of the peers are down');
      return volume;
    },
    async commit(context, volume) {
      await runHooks(context, 'delete', 'pre', [`--volname=${volume.name}`]);
      await commit(context, { volumes: new Map([[volume.name, null]]) });
      for (const kind of ['vols', 'shd'])
        await context.files.remove(`${context.directories.run}/${kind}/${volume.name}`);
      await runHooks(context, 'delete', 'post', [`--volname=${volume.name}`]);
      return { volume: volume.name, id: volume.id };
    },
  };
}
