/** Both sides prove that they have the client's key; it is never sent. What is proven names both sides and both challenges. */
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Hello, HelloReply, Join } from './messages.ts';

type Joining = Pick<Join, 'session' | 'path' | 'generation' | 'checked'>;

function proof(
  side: 'client' | 'server',
  key: string,
  asked: Hello,
  told: HelloReply,
  joining: Joining,
  channel: string,
): string {
  const { session, path, generation, checked } = joining;
  const { namespace, namespaceId, server, serverId } = told;
  const facts = [side, asked.version, asked.client, asked.nonce, told.nonce, namespace, namespaceId, server, serverId];
  return createHmac('sha256', `mortar-rsio-1 ${key}`)
    .update(JSON.stringify([...facts, session, path, generation, checked, asked.tls ?? false, channel]))
    .digest('hex');
}

/** `channel`: of the TLS connection (tls/secured.ts); empty: it is in the clear. */
export const clientProof = (key: string, asked: Hello, told: HelloReply, joining: Joining, channel = ''): string =>
  proof('client', key, asked, told, joining, channel);

/** `joining` with the session's real id. */
export const serverProof = (key: string, asked: Hello, told: HelloReply, joining: Joining, channel = ''): string =>
  proof('server', key, asked, told, joining, channel);

export function isSameProof(one: string, other: string): boolean {
  return one.length === other.length && timingSafeEqual(Buffer.from(one), Buffer.from(other));
}
