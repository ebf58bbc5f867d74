/** volume add-brick, remove-brick, replace-brick, reset-brick. */
import type { RemoveAction } from '@mortar/glusterd/protocol/requests.ts';
import type { Handler } from '../commands.ts';
import { line } from '../io.ts';
import { fail, succeedXml } from '../outcome.ts';
import type { Session } from '../session.ts';
import { parseAddBrick, parseRemoveBrick, parseReplaceBrick, parseResetBrick } from './bricks-words.ts';

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
  return succeed(session, `${command}: success`);
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
