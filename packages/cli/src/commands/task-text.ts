/** Rebalance and remove-brick: tables, tasks of `volume status`, XML. */
import type { TaskData, TaskNumbers } from '@mortar/glusterd/protocol/replies.ts';
import { type Element, element } from '../xml.ts';
import { sizeText } from './status-text.ts';
import { stateWords } from './task-lines.ts';

/** GlusterFS's numbers of them; those of a layout fix are four higher. */
const numbers = { running: 1, stopped: 2, completed: 3, failed: 4, reset: 9 } as const;

type Command = TaskData['command'];

function stateText(command: Command, { state }: TaskNumbers): string {
  return command === 'fix-layout' ? `fix-layout ${stateWords[state]}` : stateWords[state];
}

function stateNumber(command: Command, { state }: TaskNumbers): number {
  return numbers[state] + (command === 'fix-layout' && state !== 'reset' ? 4 : 0);
}

function timeText(seconds: number): string {
  const two = (value: number) => String(value).padStart(2, '0');
  return `${String(Math.floor(seconds / 3600)).padStart(8)}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
}

const columns = ['Rebalanced-files', 'size', 'scanned', 'failures', 'skipped'];

/** One row a node, `localhost` last. */
export function taskTable(task: TaskData): string {
  if (task.command === 'fix-layout') return layoutTable(task);
  const row = (node: string, cells: readonly string[], status: string) =>
    `${node.padStart(40)} ${cells[0]!.padStart(16)}${cells
      .slice(1)
      .map((cell) => ` ${cell.padStart(13)}`)
      .join('')} ${status.padStart(20)}`;
  const dashes = ['-----------', ...columns.slice(1).map(() => '-----------')];
  const rows = task.nodes.map((node) => {
    const { name, movedFiles, movedBytes, scanned, failures, skipped, seconds } = node;
    const cells = [`${movedFiles}`, sizeText(movedBytes), `${scanned}`, `${failures}`, `${skipped}`];
    return `${row(name, cells, stateText(task.command, node))} ${timeText(seconds)}`;
  });
  return [
    `${row('Node', columns, 'status')} ${'run time in h:m:s'.padStart(18)}`,
    `${row('---------', dashes, '------------')} ${'--------------'.padStart(18)}`,
    ...rows,
    ...leftLines(task),
    ...reasonLines(task),
    '',
  ].join('\n');
}

/** Nothing as long as it is not known. */
function leftLines({ state, secondsLeft }: TaskData): string[] {
  if (state !== 'running' || secondsLeft === undefined) return [];
  return [`Estimated time left for rebalance to complete : ${timeText(secondsLeft)}`];
}

/** Of processes that management gave up; what others failed at is in their logs. */
function reasonLines({ nodes }: TaskData): string[] {
  return nodes.flatMap(({ name, reason }) => (reason === undefined ? [] : [`${name}: ${reason}`]));
}

function layoutTable(task: TaskData): string {
  const rows = task.nodes.map(
    (node) => `${node.name.padStart(35)} ${stateText(task.command, node).padStart(50)} ${timeText(node.seconds)}`,
  );
  return [
    `${'Node'.padStart(35)} ${'status'.padStart(41)} ${'run time in h:m:s'.padStart(27)}`,
    `${'---------'.padStart(35)} ${'-----------'.padStart(41)} ${'------------'.padStart(27)}`,
    ...rows,
    ...reasonLines(task),
    '',
  ].join('\n');
}

export function taskElement(task: TaskData): Element {
  const bricks = task.bricks.map((brick) => element('brick', brick));
  return element('task', [
    element('type', task.kind === 'rebalance' ? 'Rebalance' : 'Remove brick'),
    element('id', task.id),
    ...(bricks.length > 0 ? [element('params', bricks)] : []),
    element('status', stateNumber(task.command, task)),
    element('statusStr', stateWords[task.state]),
  ]);
}

/** `<volRebalance>`, `<volRemoveBrick>`. GlusterFS counts the nodes of the pool, also those that have no part in it. */
export function statusElements(task: TaskData): Element[] {
  const counts = (numbers: TaskNumbers) => [
    element('files', numbers.movedFiles),
    element('size', numbers.movedBytes),
    element('lookups', numbers.scanned),
    element('failures', numbers.failures),
    element('skipped', numbers.skipped),
    element('status', stateNumber(task.command, numbers)),
    element('statusStr', stateText(task.command, numbers)),
    element('runtime', numbers.seconds.toFixed(2)),
  ];
  const rows = task.nodes.map((node) =>
    element('node', [element('nodeName', node.name), element('id', node.node), ...counts(node)]),
  );
  return [element('nodeCount', task.nodeCount), ...rows, element('aggregate', counts(task))];
}
