/** eventsapi: webhooks of the pool. */
import type { Handler } from '../commands.ts';
import { line } from '../io.ts';
import { fail, succeedXml } from '../outcome.ts';
import { UsageError } from '../session.ts';
import { element } from '../xml.ts';

/** `<URL> [bearer-token <TOKEN>]` */
function webhookOf(words: readonly string[], mayHaveToken: boolean): { url: string; token?: string } {
  const [, , url, key, token] = words;
  if (url === undefined || !/^https?:\/\/[^/\s]+/i.test(url) || !URL.canParse(url))
    throw new UsageError(url === undefined ? [] : [`${url} is no http or https URL`]);
  if (key === undefined) return { url };
  if (!mayHaveToken || key !== 'bearer-token' || !token || words.length !== 5) throw new UsageError();
  return { url, token };
}

function changing(verb: 'webhook-add' | 'webhook-mod' | 'webhook-del'): Handler {
  return async (session, words) => {
    const { url, token } = webhookOf(words, verb !== 'webhook-del');
    const request = { verb: `events.${verb}`, url, ...(token !== undefined && { token }) } as const;
    // The line goes into the history.
    const reply = await session.request(words.slice(0, 3), request);
    if (!reply.ok) return fail(session, `${verb}: failed: `, reply.error);
    if (session.flags.xml) return succeedXml(session, []);
    line(session.io, `${verb}: success`);
    return 0;
  };
}

export const add = changing('webhook-add');
export const modify = changing('webhook-mod');
export const remove = changing('webhook-del');

export const test: Handler = async (session, words) => {
  const { url, token } = webhookOf(words, true);
  const request = { verb: 'events.webhook-test', url, ...(token !== undefined && { token }) } as const;
  const reply = await session.request(words.slice(0, 3), request);
  if (!reply.ok) return fail(session, 'webhook-test: failed: ', reply.error);
  const { result } = reply.data;
  if (session.flags.xml) return succeedXml(session, [element('webhookTest', [element('result', result)])]);
  line(session.io, table(['NODE', 'NODE STATUS', 'WEBHOOK STATUS'], [['localhost', 'UP', result]]));
  return result === 'OK' ? 0 : 1;
};

export const status: Handler = async (session, words) => {
  if (words.length !== 2) throw new UsageError();
  const reply = await session.request(words, { verb: 'events.status' });
  if (!reply.ok) return fail(session, 'status: failed: ', reply.error);
  const { webhooks, nodes } = reply.data;
  if (session.flags.xml) {
    const urls = webhooks.map((url) => element('webhook', url));
    const rows = nodes.map(({ node, up }) => element('node', [element('hostname', node), element('up', up ? 1 : 0)]));
    return succeedXml(session, [element('webhooks', urls, 'webhook'), element('nodes', rows, 'node')]);
  }
  line(session.io, `Webhooks: ${webhooks.length === 0 ? 'None' : ''}`);
  for (const url of webhooks) line(session.io, url);
  const rows = nodes.map(({ node, up }) => [node, up ? 'UP' : 'DOWN', up ? 'OK' : 'NOT OK']);
  line(session.io, `\n${table(['NODE', 'NODE STATUS', 'GLUSTEREVENTSD STATUS'], rows)}`);
  return 0;
};

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((text, i) => Math.max(text.length, ...rows.map((row) => row[i]!.length)));
  const rule = `+${widths.map((width) => '-'.repeat(width + 2)).join('+')}+`;
  const printed = (cells: readonly string[]) =>
    `|${cells.map((cell, i) => ` ${cell.padStart(widths[i]!)} `).join('|')}|`;
  return [rule, printed(head), rule, ...rows.map(printed), rule].join('\n');
}
