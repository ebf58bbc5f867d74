/** `volume rebalance`: files go to where their names hash to. */
import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import { UndecidedError } from '../pool/errors.ts';
import type { ReplyData } from '../protocol/replies.ts';
import type { RequestOf } from '../protocol/requests.ts';
import { execute, type Operation } from '../transaction/operation.ts';
import { setCount, type VolumeInfo, type VolumeTask } from '../volume.ts';
import { awaitedOf } from './late-clients.ts';
import { endTask, newTask, startTask, stopTask, takingPart, taskData, withTaskNow } from './tasks.ts';
import { commitVolume, volumeNamed } from './volumes.ts';

type Reply = ReplyData['volume.rebalance'];

export async function volumeRebalance(context: Context, request: RequestOf<'volume.rebalance'>): Promise<Reply> {
  const { volume: name, operation } = request;
  volumeNamed(context, name);
  if (operation === 'status') {
    const volume = await withTaskNow(context, name);
    return { task: taskData(context, ownTask(name, volume.task)), ...(await awaitedOf(context, volume)) };
  }
  return execute(context, operation === 'stop' ? stop(name) : start(name, operation));
}

function ownTask(name: string, task: VolumeTask | undefined): VolumeTask {
  if (task?.kind === 'remove-brick') throw notCommitted(name);
  if (!task) throw new OperationError(`Rebalance not started for volume ${name}.`);
  return task;
}

function notCommitted(name: string): OperationError {
  return new OperationError(
    `A remove-brick task on volume ${name} is not yet committed. Either commit or stop the remove-brick task.`,
  );
}

function start(name: string, operation: 'fix-layout' | 'start' | 'force'): Operation<VolumeInfo, Reply> {
  return {
    name: 'volume rebalance',
    subject: name,
    async stage(context) {
      const volume = await withTaskNow(context, name);
      if (setCount(volume) < 2)
        throw new OperationError(
          `Volume ${name} is not a distribute volume or contains only 1 brick.\nNot performing rebalance`,
        );
      if (volume.status !== 'started')
        throw new OperationError(`Volume ${name} needs to be started to perform rebalance`);
      if (volume.task?.kind === 'remove-brick') throw notCommitted(name);
      if (volume.task?.state === 'running') throw new OperationError(`Rebalance on ${name} is already started`);
      return volume;
    },
    async commit(context, volume) {
      const nodes = takingPart(context, volume, volume.bricks);
      const task = newTask(context, 'rebalance', operation === 'start' ? 'migrate' : operation, [], nodes);
      const moving = { ...volume, task };
      await startTask(context, moving);
      try {
        await commitVolume(context, moving);
      } catch (error) {
        // Nobody would ever know of the processes.
        if (!(error instanceof UndecidedError)) await endTask(context, moving);
        throw error;
      }
      return { task: taskData(context, task) };
    },
  };
}

function stop(name: string): Operation<VolumeInfo, Reply> {
  return {
    name: 'volume rebalance stop',
    subject: name,
    async stage(context) {
      const volume = await withTaskNow(context, name);
      ownTask(name, volume.task);
      return volume;
    },
    async commit(context, volume) {
      const { task } = await stopTask(context, volume);
      return { task: taskData(context, task!) };
    },
  };
}
