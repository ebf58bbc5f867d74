import type { Handler } from '../commands.ts';
import { line } from '../io.ts';
import { fail, succeedXml } from '../outcome.ts';
import { element } from '../xml.ts';
import { parseCreate } from './create-words.ts';

export const volumeCreate: Handler = async (session, words) => {
  const parsed = await parseCreate(words, (question) => session.ask(question));
  const { flags } = session;
  const request = { ...parsed, force: parsed.force || flags.ignoreWarnings, ignorePartition: flags.ignorePartition };
  const reply = await session.request(words, request);
  if (!reply.ok) return fail(session, `volume create: ${request.volume}: failed: `, reply.error);
  if (flags.xml) {
    const volume = element('volume', [element('name', reply.data.volume), element('id', reply.data.id)]);
    return succeedXml(session, [element('volCreate', [volume])]);
  }
  line(session.io, `volume create: ${request.volume}: success: please start the volume to access data`);
  return 0;
};
