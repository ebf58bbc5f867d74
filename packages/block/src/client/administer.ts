/** What rsconfig has servers do with their devices: which servers are meant, and what each of them says. */
import { errnoName } from '@mortar/core';
import { ManagementError } from '@mortar/rpc/management/protocol.ts';
import { z } from 'zod';
import { administration } from '../rsio/administration.ts';
import type { KnownServer, NamespaceClient } from './namespace-client.ts';
import type { AdministerReply } from './protocol.ts';

export const administerParams = z.strictObject({
  asked: administration,
  /** Absent: any. */
  namespace: z.string().max(128).optional(),
  /** Name or number of a server; absent: those that offer the device, and for one that is to be made the only one. */
  at: z.string().max(128).optional(),
});
type Params = z.infer<typeof administerParams>;
type Place = { readonly space: NamespaceClient; readonly server: KnownServer };

/** Throws ManagementError when nobody is meant, or more than one where one is. */
export async function administer(spaces: readonly NamespaceClient[], params: Params): Promise<AdministerReply> {
  const { asked } = params;
  const places = await placesOf(spaces, params);
  const results: AdministerReply['results'] = [];
  // One after the other: what several servers offer is renamed and removed by the first of them, and found done by the others.
  for (const { space, server } of places) {
    const done = await space.administer(server, asked);
    const own = { namespace: space.config.name, server: server.name, name: 'name' in asked ? asked.name : '' };
    results.push({ ...own, error: done ? errorOf(done) : lost, pools: done?.reply.pools ?? [] });
  }
  return { results };
}

const lost = 'the server was lost meanwhile: whether it was done is to be looked up (rsconfig -q)';

function errorOf({ errno, reply }: NonNullable<Awaited<ReturnType<NamespaceClient['administer']>>>): string | null {
  if (errno === 0) return null;
  if (reply.text !== '') return reply.text;
  return errnoName(errno) === 'EBADF' ? 'this server is too old to be administered by clients' : errnoName(errno);
}

async function placesOf(spaces: readonly NamespaceClient[], { asked, namespace, at }: Params): Promise<Place[]> {
  const known = spaces
    .filter(({ config }) => namespace === undefined || config.name === namespace)
    .flatMap((space) => space.servers.map((server) => ({ space, server })))
    .filter(({ server }) => at === undefined || server.name === at || String(server.id) === at);
  const up = known.filter(({ server }) => server.session.isUp);
  const where = `${namespace === undefined ? '' : ` of namespace ${namespace}`}${at === undefined ? '' : ` called '${at}'`}`;
  if (up.length === 0)
    throw new ManagementError(
      'ENOTCONN',
      `no server${where} is ${known.length > 0 ? 'connected' : 'known'} (rsconfig -m status)`,
    );
  if (asked.action === 'pools') return up;
  if (asked.action === 'create') {
    const all = up.map(({ space, server }) => `${server.name} of ${space.config.name}`).join(', ');
    if (up.length > 1) throw new ManagementError('EINVAL', `--at SERVER has to say where it is to be made: ${all}`);
    return up;
  }
  const offers = await Promise.all(up.map(async ({ space, server }) => (await space.list(server)) ?? []));
  const offering = up.filter((_place, i) => offers[i]!.some(({ name }) => name === asked.name));
  const names = new Set(offering.map(({ space }) => space.config.name));
  if (names.size > 1)
    throw new ManagementError('EINVAL', `'${asked.name}' is in several namespaces: NAMESPACE:${asked.name} is needed`);
  // One that cannot be opened there is not offered, but can be removed: who is named is asked.
  if (offering.length === 0 && at !== undefined) return up;
  if (offering.length === 0) throw new ManagementError('ENOENT', `no server${where} offers '${asked.name}'`);
  return offering;
}
