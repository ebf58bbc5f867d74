/** volume rebalance. */
import type { RebalanceOperation } from '@mortar/glusterd/protocol/requests.ts';
import type { Handler } from '../commands.ts';
import { line } from '../io.ts';
import { fail, succeedXml } from '../outcome.ts';
import { UsageError } from '../session.ts';
import { element } from '../xml.ts';
import { awaitedElements, awaitedLine } from './awaited-text.ts';
import { statusElements, taskTable } from './task-text.ts';

/** `VOLNAME {fix-layout start | start [force] | stop | status}` */
function parse(words: readonly string[]): { volume: string; operation: RebalanceOperation } {
  const [, , volume, ...rest] = words;
  const operations: Readonly<Record<string, RebalanceOperation>> = {
    'fix-layout start': 'fix-layout',
    start: 'start',
    'start force': 'force',
    stop: 'stop',
    status: 'status',
  };
  const operation = operations[rest.join(' ')];
  if (volume === undefined || operation === undefined) throw new UsageError();
  return { volume, operation };
}

const opNumbers: Readonly<Record<RebalanceOperation, number>> = {
  start: 1,
  stop: 2,
  status: 3,
  'fix-layout': 4,
  force: 5,
};

const stopped =
  'rebalance process may be in the middle of a file migration.\n' +
  'The process will be fully stopped once the migration of the file is complete.\n' +
  'Please check rebalance process for completion before doing any further brick related tasks on the volume.\n';

export const volumeRebalance: Handler = async (session, words) => {
  const { volume, operation } = parse(words);
  const reply = await session.request(words, { verb: 'volume.rebalance', volume, operation });
  const prefix = `volume rebalance: ${volume}: `;
  if (!reply.ok) return fail(session, `${prefix}failed: `, reply.error);
  const { task, awaited } = reply.data;
  const looks = operation === 'stop' || operation === 'status';
  if (session.flags.xml) {
    const head = [element('task-id', task.id), element('op', opNumbers[operation])];
    return succeedXml(session, [
      element('volRebalance', looks ? [...head, ...statusElements(task), ...awaitedElements(session, awaited)] : head),
    ]);
  }
  if (looks) session.io.out(taskTable(task) + awaitedLine(task, awaited));
  if (operation === 'status') line(session.io, `${prefix}success`);
  else if (operation === 'stop') line(session.io, `${prefix}success: ${stopped}`);
  else {
    line(
      session.io,
      `${prefix}success: Rebalance on ${volume} has been started successfully. ` +
        'Use rebalance status command to check status of the rebalance process.',
    );
    line(session.io, `ID: ${task.id}`);
  }
  return 0;
};
