/** rsiod looks for namespaces, servers and ways, as its configuration allows. */
import type { Host } from '@mortar/host/host.ts';
import { z } from 'zod';
import type { ClientConfig } from '../config/client-config.ts';
import { type Explored, explore } from '../rsio/explorer/explorer.ts';

export const exploreParams = z.strictObject({
  /** Beside those of the configuration. */
  seeds: z.array(z.strictObject({ address: z.string().max(255), port: z.int().min(1).max(65535).optional() })).max(256),
  measure: z.union([z.literal(0), z.literal(1), z.literal(2)]),
});

export function exploreFor(
  { services, log }: Pick<Host, 'services' | 'log'>,
  config: ClientConfig,
  { seeds, measure }: z.infer<typeof exploreParams>,
): Promise<Explored> {
  const { clock, random } = services;
  const { interfaces, namespaces, discovery, port } = config;
  const known = namespaces.flatMap(({ servers }) => servers);
  return explore({
    ports: { clock, random, log },
    interfaces,
    seeds: [...known, ...seeds].map((seed) => ({ address: seed.address, port: seed.port ?? port })),
    discovery,
    networkPorts: [...new Set([port, ...known.map((server) => server.port)])],
    namespace: '',
    measure,
    identities: namespaces.map(({ name, nodeName, nodeKey, tls }) => ({
      namespace: name,
      client: nodeName,
      key: nodeKey,
      tls,
    })),
  });
}
