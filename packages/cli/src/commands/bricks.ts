/** volume add-brick, remove-brick, replace-brick, reset-brick. */
import type { RemoveAction } from '@mortar/glusterd/protocol/requests.ts';
import type { Handler } from '../commands.ts';
import { line } from '../io.ts';
import { fail, succeedXml } from '../outcome.ts';
import type { Session } from '../session.ts';
import { element } from '../xml.ts';
import { awaitedElements, awaitedLine } from './awaited-text.ts';
import { parseAddBrick, parseRemoveBrick, parseReplaceBrick, parseResetBrick } from './bricks-words.ts';
import { statusElements, taskTable } from './task-text.ts';

const questions: Partial<Record<RemoveAction, string>> = {
  force:
    'Remove-brick force will not migrate files from the removed bricks, so they will no longer be available on the ' +
    'volume.\nDo you want to continue?',
  start:
    'It is recommended that remove-brick be run with cluster.force-migration option disabled to prevent possible ' +
    'data corruption. Doing so will ensure that files that receive writes during migration will not be migrated and ' +
    'will need to be manually copied after the remove-brick commit operation. Please check the value of the option ' +
    'and update accordingly. \nDo you want to continue with your current cluster.force-migration settings?',
};

const removalStopped =
  "'remove-brick' process may be in the middle of a file migration.\n" +
  'The process will be fully stopped once the migration of the file is complete.\n' +
  'Please check remove-brick process for completion before doing any further brick related tasks on the volume.\n';

const checkRemoved =
  'Check the removed bricks to ensure all files are migrated.\n' +
  'If files with data are found on the brick path, copy them via a gluster mount point before re-purposing the ' +
  'removed brick. \n';

function succeed(session: Session, text: string): number {
  if (session.flags.xml) return succeedXml(session, []);
  line(session.io, text);
  return 0;
}

export const addBrick: Handler = async (session, words) => {
  const { flags } = session;
  const parsed = await parseAddBrick(words, (question) => session.ask(question));
  const request = { ...parsed, force: parsed.force || flags.ignoreWarnings, ignorePartition: flags.ignorePartition };
  const reply = await session.request(words, request);
  if (!reply.ok) return fail(session, 'volume add-brick: failed: ', reply.error);
  return succeed(session, 'volume add-brick: success');
};

export const removeBrick: Handler = async (session, words) => {
  const request = await parseRemoveBrick(words, (question) => session.ask(question));
  const question = questions[request.action];
  if (question !== undefined && !(await session.ask(question))) return 0;
  const reply = await session.request(words, request);
  const command = `volume remove-brick ${request.action === 'force' ? 'commit force' : request.action}`;
  if (!reply.ok) return fail(session, `${command}: failed: `, reply.error);
  const { task, awaited } = reply.data;
  if (session.flags.xml) {
    const content = task
      ? [
          element('task-id', task.id),
          ...(request.action === 'start' ? [] : [...statusElements(task), ...awaitedElements(session, awaited)]),
        ]
      : [];
    return succeedXml(session, task ? [element('volRemoveBrick', content)] : []);
  }
  const looks = request.action === 'status' || request.action === 'stop';
  if (task && looks) session.io.out(taskTable(task) + awaitedLine(task, awaited));
  if (request.action === 'stop') session.io.out(removalStopped);
  if (looks) return 0;
  line(session.io, `${command}: success`);
  if (task) line(session.io, `ID: ${task.id}`);
  if (request.action === 'commit') session.io.out(checkRemoved);
  return 0;
};

export const replaceBrick: Handler = async (session, words) => {
  const { ignorePartition } = session.flags;
  const reply = await session.request(words, { ...parseReplaceBrick(words), ignorePartition });
  if (!reply.ok) return fail(session, 'volume replace-brick: failed: ', reply.error);
  return succeed(session, 'volume replace-brick: success: replace-brick commit force operation successful');
};

export const resetBrick: Handler = async (session, words) => {
  const { ignorePartition } = session.flags;
  const request = { ...parseResetBrick(words), ignorePartition };
  const reply = await session.request(words, request);
  if (!reply.ok) return fail(session, 'volume reset-brick: failed: ', reply.error);
  const what = `${request.action}${request.force ? ' force' : ''}`;
  return succeed(session, `volume reset-brick: success: reset-brick ${what} operation successful`);
};
