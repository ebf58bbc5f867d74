import type { VolumeStatusData } from '@mortar/glusterd/protocol/replies.ts';
import type { StatusSection } from '@mortar/glusterd/protocol/requests.ts';
import type { Handler } from '../commands.ts';
import { fail, operation, succeedXml } from '../outcome.ts';
import { element } from '../xml.ts';
import * as text from './status-text.ts';
import { parseStatus } from './status-words.ts';
import { statusElement } from './status-xml.ts';

const printers: Record<StatusSection, (status: VolumeStatusData) => string> = {
  detail: text.detailsText,
  clients: text.clientsText,
  'client-list': text.clientListText,
  mem: text.memoryText,
  inode: text.inodesText,
  fd: text.fdsText,
  callpool: text.callsText,
  tasks: text.tasksText,
};

export const volumeStatus: Handler = async (session, words) => {
  const request = parseStatus(words);
  const { section } = request;
  const reply = await session.request(words, request);
  if (!reply.ok) return fail(session, '', reply.error, operation('volStatus', reply.error.text));
  const { volumes } = reply.data;
  const isWhole = request.brick === undefined && request.daemon === undefined;
  if (session.flags.xml) {
    const withTasks = isWhole && section === undefined;
    const content = volumes.map((status) => statusElement(status, section, withTasks));
    return succeedXml(session, [element('volStatus', [element('volumes', content, 'volume')])]);
  }
  if (volumes.length === 0) {
    session.io.err('No volumes present\n');
    return 0;
  }
  for (const status of volumes)
    session.io.out(section ? printers[section](status) : text.processesText(status, isWhole));
  return 0;
};
