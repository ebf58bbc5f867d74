/** Rebalance and remove-brick: tables, tasks of `volume status`, XML. */
import type { TaskData } from '@mortar/glusterd/protocol/replies.ts';
import { type Element, element } from '../xml.ts';
import { sizeText } from './status-text.ts';
import { stateWords } from './task-lines.ts';

/** GlusterFS's numbers of them; those of a layout fix are four higher. */
const numbers = { running: 1, stopped: 2, completed: 3, failed: 4, reset: 9 } as const;

function stateText({ command, state }: TaskData): string {
  return command === 'fix-layout' ? `fix-layout ${stateWords[state]}` : stateWords[state];
}

function stateNumber({ command, state }: TaskData): number {
  return numbers[state] + (command === 'fix-layout' && state !== 'reset' ? 4 : 0);
}

function timeText(seconds: number): string {
  const two = (value: number) => String(value).padStart(2, '0');
  return `${String(Math.floor(seconds / 3600)).padStart(8)}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
}

const columns = ['Rebalanced-files', 'size', 'scanned', 'failures', 'skipped'];

/** One row a node; there is one. */
export function taskTable(task: TaskData): string {
  if (task.command === 'fix-layout') return layoutTable(task);
  const row = (node: string, cells: readonly string[], status: string) =>
    `${node.padStart(40)} ${cells[0]!.padStart(16)}${cells
      .slice(1)
      .map((cell) => ` ${cell.padStart(13)}`)
      .join('')} ${status.padStart(20)}`;
  const dashes = ['-----------', ...columns.slice(1).map(() => '-----------')];
  const { movedFiles, movedBytes, scanned, failures, skipped } = task;
  const cells = [`${movedFiles}`, sizeText(movedBytes), `${scanned}`, `${failures}`, `${skipped}`];
  return [
    `${row('Node', columns, 'status')} ${'run time in h:m:s'.padStart(18)}`,
    `${row('---------', dashes, '------------')} ${'--------------'.padStart(18)}`,
    `${row('localhost', cells, stateText(task))} ${timeText(task.seconds)}`,
    ...leftLines(task),
    '',
  ].join('\n');
}

/** Nothing as long as it is not known. */
function leftLines({ state, secondsLeft }: TaskData): string[] {
  if (state !== 'running' || secondsLeft === undefined) return [];
  return [`Estimated time left for rebalance to complete : ${timeText(secondsLeft)}`];
}

function layoutTable(task: TaskData): string {
  return [
    `${'Node'.padStart(35)} ${'status'.padStart(41)} ${'run time in h:m:s'.padStart(27)}`,
    `${'---------'.padStart(35)} ${'-----------'.padStart(41)} ${'------------'.padStart(27)}`,
    `${'localhost'.padStart(35)} ${stateText(task).padStart(50)} ${timeText(task.seconds)}`,
    '',
  ].join('\n');
}

export function taskElement(task: TaskData): Element {
  const bricks = task.bricks.map((brick) => element('brick', brick));
  return element('task', [
    element('type', task.kind === 'rebalance' ? 'Rebalance' : 'Remove brick'),
    element('id', task.id),
    ...(bricks.length > 0 ? [element('params', bricks)] : []),
    element('status', stateNumber(task)),
    element('statusStr', stateWords[task.state]),
  ]);
}

/** `<volRebalance>`, `<volRemoveBrick>`. */
export function statusElements(task: TaskData): Element[] {
  const counts = [
    element('files', task.movedFiles),
    element('size', task.movedBytes),
    element('lookups', task.scanned),
    element('failures', task.failures),
    element('skipped', task.skipped),
    element('status', stateNumber(task)),
    element('statusStr', stateText(task)),
    element('runtime', task.seconds.toFixed(2)),
  ];
  return [
    element('nodeCount', 1),
    element('node', [element('nodeName', 'localhost'), element('id', task.node), ...counts]),
    element('aggregate', counts),
  ];
}
