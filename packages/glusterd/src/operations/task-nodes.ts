/** A task is the work of one process on each of several nodes: whose share is what, and what they come to together. Pure. */
import type { BrickInfo, TaskProgress, VolumeInfo, VolumeTask } from '../volume.ts';
import { setSize } from '../volume.ts';

export const nothingYet: TaskProgress = {
  state: 'running',
  movedFiles: 0,
  movedBytes: 0,
  scanned: 0,
  failures: 0,
  skipped: 0,
  seconds: 0,
};

/** What each node's process came to. A task of the version before had one, of its node or else of this one. */
export function nodesOf(task: VolumeTask, own: string): Record<string, TaskProgress> {
  if (task.nodes) return task.nodes;
  const { state, movedFiles, movedBytes, scanned, failures, skipped, seconds, secondsLeft } = task;
  const left = secondsLeft === undefined ? {} : { secondsLeft };
  return { [task.node ?? own]: { state, movedFiles, movedBytes, scanned, failures, skipped, seconds, ...left } };
}

/** As GlusterFS sums states up: what still runs counts first, then what failed. */
const weights: readonly TaskProgress['state'][] = ['running', 'failed', 'stopped', 'reset', 'completed'];

/** The task with these rows, and with what they are together. */
export function withNodes(task: VolumeTask, nodes: Record<string, TaskProgress>): VolumeTask {
  const { secondsLeft: _left, node: _node, ...kept } = task;
  const rows = Object.values(nodes);
  const sum = (field: 'movedFiles' | 'movedBytes' | 'scanned' | 'failures' | 'skipped') =>
    rows.reduce((total, row) => total + row[field], 0);
  const state = weights.find((one) => rows.some((row) => row.state === one)) ?? 'completed';
  const lefts = rows.flatMap((row) => (row.state === 'running' ? (row.secondsLeft ?? []) : []));
  return {
    ...kept,
    nodes,
    state,
    movedFiles: sum('movedFiles'),
    movedBytes: sum('movedBytes'),
    scanned: sum('scanned'),
    failures: sum('failures'),
    skipped: sum('skipped'),
    seconds: Math.max(0, ...rows.map((row) => row.seconds)),
    ...(lefts.length > 0 && { secondsLeft: Math.max(...lefts) }),
  };
}

/** Bricks were exchanged: what it came to says nothing any more. */
export function resetTask(task: VolumeTask): VolumeTask {
  const nodes = Object.entries(task.nodes ?? {}).map(([node, row]) => [node, { ...row, state: 'reset' as const }]);
  return { ...task, state: 'reset', ...(task.nodes && { nodes: Object.fromEntries(nodes) }) };
}

/** The sets of a volume, each with the bricks that it has. */
export function setsOf(volume: VolumeInfo): BrickInfo[][] {
  const size = setSize(volume);
  return Array.from({ length: volume.bricks.length / size }, (_, i) => volume.bricks.slice(i * size, (i + 1) * size));
}

/** Nodes in the order of their bricks. */
export function nodesWith(bricks: readonly BrickInfo[]): string[] {
  return [...new Set(bricks.map((brick) => brick.hostUuid))];
}

/**
 * The option rebalance-share of a node's process: a set is shared by those of its nodes that take part, in the order of their bricks. Empty:
 * everything. Sets of others only are not looked after: `takingPart` has seen to it that there is nothing to do in them.
 */
export function shareOf(volume: VolumeInfo, taking: readonly string[], node: string): string {
  if (taking.length < 2) return '';
  const parts = setsOf(volume).flatMap((bricks, i) => {
    const sharing = nodesWith(bricks).filter((one) => taking.includes(one));
    const turn = sharing.indexOf(node);
    return turn < 0 ? [] : [`${i}:${turn}/${sharing.length}`];
  });
  if (parts.length === 0) throw new Error(`${node} has no share of ${volume.name}`);
  return parts.join(',');
}
