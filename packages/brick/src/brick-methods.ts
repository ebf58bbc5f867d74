/** What a brick tells glusterd of itself, for `volume status VOLUME clients|mem|inode`. */
import type { GraphKeeper, Host } from '@mortar/host';
import type { ManagementServer } from '@mortar/rpc';
import { z } from 'zod';

const anything = z.unknown();

export function addBrickMethods(server: ManagementServer, host: Host, keeper: GraphKeeper): void {
  server.method('brick.clients', anything, () => clients(keeper));
  server.method('brick.memory', anything, () => memory());
  server.method('brick.inodes', anything, () => {
    const { active, lru, limit } = host.services.inodes.stats();
    return [{ lruLimit: limit, active, lru, purge: 0 }];
  });
}

export interface BrickClient {
  /** `ADDRESS:PORT`, or the path of a socket. */
  hostname: string;
  bytesRead: number;
  bytesWritten: number;
  opVersion: number;
  name: string;
}

/** The servers' state dumps have a group of keys for every client. */
function clients(keeper: GraphKeeper): BrickClient[] {
  const servers = [...keeper.current.graph.xlators.values()].filter(({ type }) => type === 'protocol/server');
  return servers.flatMap((server) => {
    const dump = server.dump();
    const count = Number(dump['server.total-clients'] ?? 0);
    return Array.from({ length: count }, (_, i) => {
      const value = (key: string) => dump[`server.client[${i}].${key}`];
      return {
        hostname: `${value('address') ?? ''}`,
        bytesRead: Number(value('bytes-sent') ?? 0),
        bytesWritten: Number(value('bytes-received') ?? 0),
        opVersion: Number(value('op-version') ?? 0),
        name: `${value('id') ?? ''}`,
      };
    });
  });
}

/** In bytes. */
function memory(): Record<string, number> {
  const { rss, heapTotal, heapUsed, external, arrayBuffers } = process.memoryUsage();
  return { rss, heapTotal, heapUsed, external, arrayBuffers };
}
