/** What moves the files of a volume: a process on each of its nodes, and what is kept of them when they are gone. */
import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import { onSite } from '../pool/sites.ts';
import type { TaskData, TaskNodeData } from '../protocol/replies.ts';
import { newUuid } from '../uuid.ts';
import type { BrickInfo, TaskProgress, VolumeInfo, VolumeTask } from '../volume.ts';
import { nodesOf, nodesWith, nothingYet, setsOf, withNodes } from './task-nodes.ts';
import { commitLatest, commitVolume, volumeNamed } from './volumes.ts';

const statusTimeoutMs = 10_000;

/**
 * The nodes that are to move files: those of these bricks' sets that can be reached. Who cannot be takes no part, and the others of its sets do
 * what would be its share. Throws OperationError when none of a set can be: its bricks tell nobody where they listen.
 */
export function takingPart(context: Context, volume: VolumeInfo, bricks: readonly BrickInfo[]): string[] {
  const { pool } = context;
  const { uuid } = context.store.state.node;
  const isThere = (node: string) => node === uuid || pool?.isConnected(node) === true;
  const sets = setsOf(volume);
  const lost = sets.find((set) => !nodesWith(set).some(isThere));
  if (lost) throw new OperationError(`Host ${lost[0]!.host} not connected`);
  const having = nodesWith(sets.filter((set) => set.some((brick) => bricks.includes(brick))).flat());
  for (const node of having.filter((one) => !isThere(one))) {
    const name = pool?.nameOf(node) ?? node;
    context.log.write('WARNING', 'management', `${name} is not connected: others move its share of ${volume.name}`);
  }
  return having.filter(isThere);
}

export function newTask(
  context: Context,
  kind: VolumeTask['kind'],
  command: VolumeTask['command'],
  bricks: string[],
  nodes: readonly string[],
): VolumeTask {
  const { state: _, ...numbers } = nothingYet;
  const task: VolumeTask = { kind, command, bricks, id: newUuid(context.random), state: 'running', ...numbers };
  return withNodes(task, Object.fromEntries(nodes.map((node) => [node, nothingYet])));
}

/** A copy for the command line. */
export function taskData(context: Context, task: VolumeTask): TaskData {
  const { store, pool } = context;
  const { uuid } = store.state.node;
  const { nodes: _, ...data } = task;
  const rows = Object.entries(nodesOf(task, uuid)).map(
    ([node, row]): TaskNodeData => ({
      ...row,
      node,
      name: node === uuid ? 'localhost' : (pool?.nameOf(node) ?? node),
    }),
  );
  const others = rows.filter(({ node }) => node !== uuid).sort((a, b) => compare(a.name, b.name));
  const nodes = [...others, ...rows.filter(({ node }) => node === uuid)];
  return { ...data, nodes, nodeCount: Math.max(nodes.length, 1 + (pool?.others().length ?? 0)) };
}

/** 10.0.0.9 comes before 10.0.0.10. */
function compare(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}

/** Starts the process of every node of the task; if one does not start, none runs. Throws OperationError. */
export async function startTask(context: Context, volume: VolumeInfo): Promise<void> {
  const nodes = Object.keys(volume.task?.nodes ?? {});
  const results = await Promise.allSettled(nodes.map((node) => onSite(context, node, 'startTask', { volume })));
  const at = results.findIndex(({ status }) => status === 'rejected');
  if (at < 0) return;
  await endTask(context, volume);
  const { reason } = results[at] as PromiseRejectedResult;
  if (!(reason instanceof OperationError) || nodes[at] === context.store.state.node.uuid) throw reason;
  throw new OperationError(`${context.pool?.nameOf(nodes[at]!) ?? nodes[at]}: ${reason.message}`);
}

/** Ends what was started for a task that does not come about, wherever it can be reached. */
export async function endTask(context: Context, volume: VolumeInfo): Promise<void> {
  const nodes = Object.keys(volume.task?.nodes ?? {});
  const end = async (node: string) => {
    try {
      await onSite(context, node, 'endTask', { volume });
    } catch (error) {
      context.log.write('WARNING', 'management', `rebalance of ${volume.name}: ${(error as Error).message}`);
    }
  };
  await Promise.all(nodes.map(end));
}

/** The volume with its task as it is now; what each process was last seen at counts when it cannot be asked. */
export async function withTaskNow(context: Context, name: string): Promise<VolumeInfo> {
  const volume = volumeNamed(context, name);
  const { task } = volume;
  if (task?.state !== 'running') return volume;
  return keepTask(context, volume, await rows(context, task, (node, row) => lookAt(context, volume, task, node, row)));
}

/** Ends all processes, after the files that they are at; what they did so far is told. */
export async function stopTask(context: Context, volume: VolumeInfo): Promise<VolumeInfo> {
  const { task } = volume;
  if (task?.state !== 'running') return volume;
  const { pool, store } = context;
  const { uuid } = store.state.node;
  for (const [node, row] of Object.entries(nodesOf(task, uuid)))
    if (row.state === 'running' && isMember(context, node) && node !== uuid && !pool?.isConnected(node))
      throw new OperationError(`Host ${pool?.nameOf(node) ?? node} not connected`);
  const stop = async (node: string, row: TaskProgress): Promise<TaskProgress> => {
    if (!isMember(context, node)) return { ...row, state: 'failed' };
    return onSite(context, node, 'task', { volume: volume.name, id: task.id, method: 'stop' });
  };
  return keepTask(context, volume, await rows(context, task, stop));
}

/** Those that run are asked, all at once. */
async function rows(
  context: Context,
  task: VolumeTask,
  ask: (node: string, row: TaskProgress) => Promise<TaskProgress>,
): Promise<Record<string, TaskProgress>> {
  const known = Object.entries(nodesOf(task, context.store.state.node.uuid));
  const now = known.map(async ([node, row]) => [node, row.state === 'running' ? await ask(node, row) : row] as const);
  return Object.fromEntries(await Promise.all(now));
}

async function keepTask(
  context: Context,
  volume: VolumeInfo,
  nodes: Record<string, TaskProgress>,
): Promise<VolumeInfo> {
  const { name, task } = volume;
  // While the processes were asked, the volume may have changed.
  const now = context.store.state.volumes.get(name);
  if (!now?.task || now.task.id !== task?.id) return now ?? volume;
  seen(context).set(now.task.id, nodes);
  const kept = withRows(context, now, nodes);
  if (!hasOtherStates(context, now, kept)) return kept;
  try {
    if (context.propose) await commitVolume(context, kept);
    else
      await commitLatest(context, name, (latest) => {
        if (!latest?.task || latest.task.id !== task.id) return null;
        const next = withRows(context, latest, nodes);
        return hasOtherStates(context, latest, next) ? next : null;
      });
  } catch (error) {
    // Who only looks needs no majority, and no lock that another operation holds; the next one to look keeps it.
    if (context.propose || !(error instanceof OperationError)) throw error;
  }
  return kept;
}

/** A row that has come to its end stays as it is. */
function withRows(context: Context, volume: VolumeInfo, nodes: Record<string, TaskProgress>): VolumeInfo {
  const task = volume.task!;
  const ended = Object.entries(nodesOf(task, context.store.state.node.uuid)).filter(
    ([, row]) => row.state !== 'running',
  );
  return { ...volume, task: withNodes(task, { ...nodes, ...Object.fromEntries(ended) }) };
}

function hasOtherStates(context: Context, { task: before }: VolumeInfo, { task: after }: VolumeInfo): boolean {
  const known = nodesOf(before!, context.store.state.node.uuid);
  return Object.entries(after!.nodes ?? {}).some(([node, row]) => row.state !== known[node]?.state);
}

function isMember(context: Context, node: string): boolean {
  const { pool, store } = context;
  // Alone: bricks of others are there only if they were adopted, and their task came with this node's own store.
  if (node === store.state.node.uuid) return true;
  return pool?.others().some(({ uuid }) => uuid === node) === true;
}

/** Who cannot be asked is taken to go on. */
async function lookAt(
  context: Context,
  volume: VolumeInfo,
  task: VolumeTask,
  node: string,
  row: TaskProgress,
): Promise<TaskProgress> {
  // Detached while it worked: its process, if it lives, has no say any more.
  if (!isMember(context, node)) return { ...row, state: 'failed', reason: 'the node has left the pool' };
  try {
    return await onSite(context, node, 'task', { volume: volume.name, id: task.id, method: 'status' }, statusTimeoutMs);
  } catch (error) {
    if (!(error instanceof OperationError)) throw error;
    const { secondsLeft: _, ...last } = seen(context).get(task.id)?.[node] ?? row;
    return { ...last, state: 'running' };
  }
}

/** What each process was last seen at from here, by task; of the latest ones. */
const lastSeen = new WeakMap<Context['store'], Map<string, Record<string, TaskProgress>>>();
const seenMax = 256;

function seen({ store }: Context): Map<string, Record<string, TaskProgress>> {
  const map = lastSeen.get(store) ?? new Map<string, Record<string, TaskProgress>>();
  lastSeen.set(store, map);
  for (const oldest of [...map.keys()].slice(0, Math.max(0, map.size - seenMax))) map.delete(oldest);
  return map;
}

/** While files are moved, bricks neither come nor go. */
export async function refuseWhileMoving(context: Context, name: string): Promise<VolumeInfo> {
  const volume = await withTaskNow(context, name);
  if (volume.task?.state === 'running')
    throw new OperationError(`Volume name ${name} rebalance is in progress. Please retry after completion`);
  return volume;
}
