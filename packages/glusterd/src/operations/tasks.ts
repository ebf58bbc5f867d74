/** What moves the files of a volume: a process with a status, and what is kept of it when it is gone. */
import type { z } from 'zod';
import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import { rebalanceStatusFile } from '../paths.ts';
import type { TaskData } from '../protocol/replies.ts';
import { newUuid } from '../uuid.ts';
import { taskSchema, type VolumeInfo, type VolumeTask } from '../volume.ts';
import { commitVolume, volumeNamed } from './volumes.ts';

const statusTimeoutMs = 10_000;
const stopTimeoutMs = 120_000;

export type RebalanceMethod = 'rebalance.status' | 'rebalance.stop';

export const answer = taskSchema.pick({
  state: true,
  movedFiles: true,
  movedBytes: true,
  scanned: true,
  failures: true,
  skipped: true,
  seconds: true,
  secondsLeft: true,
});

export function newTask(context: Context, kind: VolumeTask['kind'], command: VolumeTask['command'], bricks: string[]) {
  const numbers = { movedFiles: 0, movedBytes: 0, scanned: 0, failures: 0, skipped: 0, seconds: 0 };
  const node = context.pool?.isShared ? { node: context.store.state.node.uuid } : {};
  return {
    kind,
    ...node,
    command,
    bricks,
    id: newUuid(context.random),
    state: 'running',
    ...numbers,
  } satisfies VolumeTask;
}

/** A copy for the command line. */
export function taskData(context: Context, task: VolumeTask): TaskData {
  return { ...task, node: task.node ?? context.store.state.node.uuid };
}

/** The volume with its task as it is now; what the process was last seen at counts when it is gone. */
export async function withTaskNow(context: Context, name: string): Promise<VolumeInfo> {
  const volume = volumeNamed(context, name);
  const { task } = volume;
  if (task?.state !== 'running') return volume;
  const { secondsLeft: _, ...known } = task;
  return keepTask(context, volume, {
    ...known,
    ...(await lookAt(context, volume, 'rebalance.status', statusTimeoutMs)),
  });
}

/** Ends the process, after the file that it is at; what it did so far is told. */
export async function stopTask(context: Context, volume: VolumeInfo): Promise<VolumeInfo> {
  const { task } = volume;
  if (task?.state !== 'running') return volume;
  const last = await lookAt(context, volume, 'rebalance.stop', stopTimeoutMs);
  if (isHere(context, task)) await context.supervisor.endRebalance(volume, context.store.state.node.uuid);
  return keepTask(context, volume, { ...task, ...last, state: last.state === 'running' ? 'stopped' : last.state });
}

async function keepTask(context: Context, volume: VolumeInfo, task: VolumeTask): Promise<VolumeInfo> {
  // While the process was asked, the volume may have changed.
  const now = context.store.state.volumes.get(volume.name);
  if (now?.task?.id !== task.id) return now ?? volume;
  const kept = { ...now, task };
  if (task.state === 'running') return kept;
  try {
    await commitVolume(context, kept);
  } catch (error) {
    // Who only looks needs no majority, and no lock that another operation holds; the next one to look keeps it.
    if (context.propose || !(error instanceof OperationError)) throw error;
  }
  return kept;
}

function isHere(context: Context, { node }: VolumeTask): boolean {
  return node === undefined || node === context.store.state.node.uuid;
}

/** The process may be another node's: who cannot be asked is taken to go on. */
async function lookAt(
  context: Context,
  volume: VolumeInfo,
  method: RebalanceMethod,
  timeoutMs: number,
): Promise<z.infer<typeof answer>> {
  const { task } = volume;
  if (!task || isHere(context, task)) return lookHere(context, volume, method, timeoutMs);
  const { pool } = context;
  // Detached while it worked: its process, if it lives, has no say any more.
  if (pool && !pool.others().some(({ uuid }) => uuid === task.node)) return answer.parse({ ...task, state: 'failed' });
  try {
    if (!pool) throw new OperationError('this node is alone');
    return answer.parse(await pool.ask(task.node!, 'site.task', { volume: volume.name, method }, timeoutMs));
  } catch (error) {
    const name = pool?.nameOf(task.node!) ?? task.node!;
    context.log.write('WARNING', 'management', `rebalance of ${volume.name} on ${name}: ${(error as Error).message}`);
    if (method === 'rebalance.stop') throw new OperationError(`Host ${name} not connected`);
    return answer.parse(task);
  }
}

export async function lookHere(
  context: Context,
  volume: VolumeInfo,
  method: RebalanceMethod,
  timeoutMs: number,
): Promise<z.infer<typeof answer>> {
  try {
    return answer.parse(await context.supervisor.askRebalance(volume, method, timeoutMs));
  } catch (error) {
    const left = await readStatus(context, volume.name);
    if (left) return left;
    const { task } = volume;
    const runs = await context.supervisor.isRebalancing(volume, context.store.state.node.uuid);
    context.log.write('WARNING', 'management', `rebalance of ${volume.name}: ${(error as Error).message}`);
    return answer.parse({ ...task, state: runs ? 'running' : 'failed' });
  }
}

async function readStatus(context: Context, volume: string): Promise<z.infer<typeof answer> | undefined> {
  const text = await context.files.read(rebalanceStatusFile(context.directories, volume));
  if (text === null) return undefined;
  try {
    return answer.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/** While files are moved, bricks neither come nor go. */
export async function refuseWhileMoving(context: Context, name: string): Promise<VolumeInfo> {
  const volume = await withTaskNow(context, name);
  if (volume.task?.state === 'running')
    throw new OperationError(`Volume name ${name} rebalance is in progress. Please retry after completion`);
  return volume;
}
