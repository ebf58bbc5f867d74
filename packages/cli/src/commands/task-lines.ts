/** The words for tasks, and how `volume status` shows them. */
import type { TaskData } from '@mortar/glusterd/protocol/replies.ts';

export const stateWords = {
  running: 'in progress',
  completed: 'completed',
  stopped: 'stopped',
  failed: 'failed',
  reset: 'reset',
} as const;

/** Below the processes in `volume status`. */
export function taskLines(task: TaskData): string {
  const row = (label: string, value: string) => `${label.padEnd(20)} : ${value.padEnd(20)}\n`;
  const removed = task.bricks.length > 0 ? `${'Removed bricks:'.padEnd(20)}\n${task.bricks.join('\n')}\n` : '';
  const name = task.kind === 'rebalance' ? 'Rebalance' : 'Remove brick';
  return `${row('Task', name)}${row('ID', task.id)}${removed}${row('Status', stateWords[task.state])}`;
}
