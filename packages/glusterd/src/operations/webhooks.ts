/** Webhooks of the pool: added, changed, removed, tried (docs/events.md). */
import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import { withoutSecrets } from '../events/sender.ts';
import type { ReplyData } from '../protocol/replies.ts';
import type { RequestOf } from '../protocol/requests.ts';
import { type Webhook, webhooksMost } from '../store/documents.ts';
import type { Operation } from '../transaction/operation.ts';
import { commit } from './volumes.ts';

type Change = RequestOf<'events.webhook-add'> | RequestOf<'events.webhook-mod'> | RequestOf<'events.webhook-del'>;

export function changeWebhook(request: Change): Operation<readonly Webhook[], Record<string, never>> {
  return {
    name: request.verb.replace('.', ' '),
    subject: 'all',
    stage: async (context) => changed(context.store.state.globals.webhooks ?? [], request),
    async commit(context, webhooks) {
      const { globals } = context.store.state;
      await commit(context, { globals: { ...globals, version: globals.version + 1, webhooks: [...webhooks] } });
      return {};
    },
  };
}

function changed(webhooks: readonly Webhook[], request: Change): readonly Webhook[] {
  const { url } = request;
  const isKnown = webhooks.some((one) => one.url === url);
  const others = webhooks.filter((one) => one.url !== url);
  if (request.verb === 'events.webhook-del') {
    if (!isKnown) throw new OperationError('Webhook does not exists');
    return others;
  }
  if (request.verb === 'events.webhook-add') {
    if (isKnown) throw new OperationError('Webhook already exists');
    if (webhooks.length >= webhooksMost) throw new OperationError(`there are ${webhooksMost} webhooks already`);
  } else if (!isKnown) throw new OperationError('Webhook does not exists');
  return [...others, { url, ...(request.token !== undefined && { token: request.token }) }];
}

export async function testWebhook(
  context: Context,
  { url, token }: RequestOf<'events.webhook-test'>,
): Promise<ReplyData['events.webhook-test']> {
  if (!context.events) throw new OperationError('this process sends no events');
  return { result: await context.events.test({ url, ...(token !== undefined && { token }) }) };
}

export async function eventsStatus({ store, pool }: Context): Promise<ReplyData['events.status']> {
  const others = (pool?.others() ?? []).map(({ uuid }) => ({ node: pool!.nameOf(uuid), up: pool!.isConnected(uuid) }));
  return {
    webhooks: (store.state.globals.webhooks ?? []).map(({ url }) => withoutSecrets(url)),
    nodes: [...others, { node: 'localhost', up: true }],
  };
}
