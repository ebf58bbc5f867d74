/** system:: lock show, break; system:: pool recover. */
import type { LockData } from '@mortar/glusterd/protocol/replies.ts';
import type { Handler } from '../commands.ts';
import { line } from '../io.ts';
import { fail, succeedXml } from '../outcome.ts';
import { UsageError } from '../session.ts';
import { type Element, element } from '../xml.ts';

const nobody = 'No operation holds the cluster lock';

export const show: Handler = async (session, words) => {
  if (words.length !== 3) throw new UsageError();
  const reply = await session.request(words, { verb: 'system.lock.show' });
  if (!reply.ok) return fail(session, 'lock show: failed: ', reply.error);
  const { locks } = reply.data;
  if (session.flags.xml) return succeedXml(session, [element('locks', locks.map(lockElement), 'lock')]);
  if (locks.length === 0) line(session.io, nobody);
  for (const [i, lock] of locks.entries()) session.io.out((i > 0 ? '\n' : '') + lockText(lock));
  return 0;
};

export const breakIt: Handler = async (session, words) => {
  if (words.length !== 3) throw new UsageError();
  const question =
    'Breaking the cluster lock makes the operation that holds it fail, and may leave its work half done. ' +
    'Do you want to continue?';
  if (!(await session.ask(question))) return 0;
  const reply = await session.request(words, { verb: 'system.lock.break' });
  if (!reply.ok) return fail(session, 'lock break: failed: ', reply.error);
  const { locks } = reply.data;
  if (session.flags.xml) return succeedXml(session, [element('locks', locks.map(lockElement), 'lock')]);
  line(session.io, 'lock break: success');
  if (locks.length === 0) line(session.io, nobody);
  for (const { operation, hostname, ageSeconds } of locks)
    line(session.io, `Taken from ${hostname}: ${operation}, after ${ageSeconds} s`);
  return 0;
};

/** `[force]` */
export const recover: Handler = async (session, words) => {
  const force = words[3];
  if (words.length > 4 || (force !== undefined && force !== 'force')) throw new UsageError();
  const question =
    'Changes that only the lost members knew of are lost for good. Are their disks gone, and do you want to continue?';
  if (force !== undefined && !(await session.ask(question))) return 0;
  const reply = await session.request(words, { verb: 'system.pool.recover', force: force !== undefined });
  if (!reply.ok) return fail(session, 'pool recover: failed: ', reply.error);
  const { members, version } = reply.data;
  if (session.flags.xml) {
    const names = members.map((name) => element('hostname', name));
    return succeedXml(session, [element('recovered', [element('version', version), ...names], 'hostname')]);
  }
  line(session.io, `pool recover: success: ${members.join(', ')} took the state of this node (change ${version})`);
  return 0;
};

function lockText({ subject, hostname, uuid, operation, ageSeconds, expiresInSeconds }: LockData): string {
  return (
    `Lock: ${subject}\nHolder: ${hostname} (${uuid})\nOperation: ${operation}\n` +
    `Age: ${ageSeconds} s\nExpires in: ${expiresInSeconds} s\n`
  );
}

function lockElement(lock: LockData): Element {
  return element('lock', [
    element('subject', lock.subject),
    element('hostname', lock.hostname),
    element('uuid', lock.uuid),
    element('operation', lock.operation),
    element('age', lock.ageSeconds),
    element('expiresIn', lock.expiresInSeconds),
  ]);
}
