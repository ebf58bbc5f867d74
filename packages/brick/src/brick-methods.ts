/** What a brick tells and does for glusterd, over the socket of the process (docs/management.md). */
import type { Xlator } from '@mortar/core';
import type { GraphKeeper, Host } from '@mortar/host';
import { memoryNumbers } from '@mortar/host/control/memory.ts';
import type { ManagementServer } from '@mortar/rpc';
import { newbornCount } from '@mortar/xlators/cluster/replicate/changelog.ts';
import type { IoStats } from '@mortar/xlators/debug/io-stats/index.ts';
import type { ProtocolServer } from '@mortar/xlators/protocol/server/index.ts';
import { z } from 'zod';
import { blameAtRoot } from './blame.ts';
import { clearLocks } from './clear-locks.ts';
import { writeSpeed } from './disk-speed.ts';

import { brickProfile } from './profile.ts';

const anything = z.unknown();
const profileParams = z.object({ what: z.enum(['all', 'cumulative', 'incremental', 'clear']), peek: z.boolean() });
const clearParams = z.object({ path: z.string(), name: z.string() });
const fenceParams = z.object({ placement: z.string().min(1).max(64), version: z.int().min(0) });
const changelogName = z.string().regex(/^trusted\.afr\.[^\0]{1,240}$/);
/** More than what says that there is nothing is never added. */
const addend = z.int().min(-newbornCount).max(newbornCount);
const blameParams = z.object({
  names: z.array(changelogName).min(1).max(64),
  counters: z.tuple([addend, addend, addend]),
  of: z.array(changelogName).max(64).default([]),
});
const topParams = z.object({
  operation: z.enum(['open', 'read', 'write', 'opendir', 'readdir', 'read-perf', 'write-perf', 'clear']),
  count: z.int().min(1).max(100),
  measure: z.object({ blockSize: z.int().min(1), blocks: z.int().min(1) }).optional(),
});

export function addBrickMethods(server: ManagementServer, host: Host, keeper: GraphKeeper): void {
  const servers = () => ofType<ProtocolServer>(keeper, 'protocol/server');
  const statistics = () => ofType<IoStats>(keeper, 'debug/io-stats');
  server.method('brick.clients', anything, () => clients(servers()));
  server.method('brick.fencePlacement', fenceParams, ({ placement, version }) => ({
    fenced: servers().every((one) => one.fencePlacement(placement, version)),
  }));
  server.method('brick.memory', anything, () => memoryNumbers());
  server.method('brick.inodes', anything, () => {
    const { active, lru, limit } = host.services.inodes.stats();
    return [{ lruLimit: limit, active, lru, purge: 0 }];
  });
  server.method('brick.fds', anything, () => servers().flatMap((one) => one.fdTables()));
  server.method('brick.calls', anything, () => servers().flatMap((one) => one.calls()));
  server.method('brick.profile', profileParams, ({ what, peek }) => brickProfile(statistics(), what, peek));
  server.method('brick.top', topParams, async ({ operation, count, measure }) => {
    const [stats] = statistics();
    const answer = (await stats?.top(operation, count)) ?? { openNow: 0, openMax: 0, openMaxTime: '', members: [] };
    const directory = ofType<Xlator>(keeper, 'storage/posix')[0]?.texts.get('directory');
    if (!measure || directory === undefined) return answer;
    return { ...answer, measured: await writeSpeed(directory, measure.blockSize, measure.blocks) };
  });
  server.method('brick.blame', blameParams, (params) => blameAtRoot(servers()[0], host.services.clock, params));
  server.method('brick.clearLocks', clearParams, ({ path, name }) =>
    clearLocks(servers()[0], host.services.clock, path, name),
  );
}

export function ofType<X>(keeper: GraphKeeper, type: string): X[] {
  return [...keeper.current.graph.xlators.values()].filter((xlator) => xlator.type === type) as unknown as X[];
}

export interface BrickClient {
  /** `ADDRESS:PORT`, or the path of a socket. */
  hostname: string;
  /** By the brick, from the client: what it received. */
  bytesRead: number;
  bytesWritten: number;
  opVersion: number;
  name: string;
  host: string;
  processId: number;
  /** Digest of where it takes files to be; empty: it does not say. */
  placement: string;
}

/** The servers' state dumps have a group of keys for every client. */
function clients(servers: readonly ProtocolServer[]): BrickClient[] {
  return servers.flatMap((server) => {
    const dump = server.dump();
    const count = Number(dump['server.total-clients'] ?? 0);
    return Array.from({ length: count }, (_, i) => {
      const value = (key: string) => dump[`server.client[${i}].${key}`];
      return {
        hostname: `${value('address') ?? ''}`,
        bytesRead: Number(value('bytes-received') ?? 0),
        bytesWritten: Number(value('bytes-sent') ?? 0),
        opVersion: Number(value('op-version') ?? 0),
        name: `${value('program') ?? value('id') ?? ''}`,
        host: `${value('host') ?? ''}`,
        processId: Number(value('process-id') ?? 0),
        placement: `${value('placement') ?? ''}`,
      };
    });
  });
}
