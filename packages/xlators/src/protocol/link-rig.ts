/** For tests: a client and its brick over a link in memory that can be cut, under a clock that stands until moved. */
import { emptyIatt, type Fd, locOf, rootCall, rootGfid } from '@mortar/core';
import { MemoryTransport, type TransportPort } from '@mortar/rpc';
import { LinesLog, ManualClock, seededRandom, settle } from '@mortar/rpc/test-rig.ts';
import { afterEach } from 'vitest';
import { type Brick, type Client, startBrick, startClient } from './rig.ts';

/** What a test has begun, to be ended after it. */
export const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

export interface Setup {
  server?: Record<string, string>;
  client?: Record<string, string>;
  port?: Partial<TransportPort>;
}

export async function start(setup: Setup = {}) {
  const clock = new ManualClock();
  const log = new LinesLog();
  const network = new MemoryTransport();
  const transport = { transport: network, ...setup.port };
  const options = { clock, random: seededRandom(5), transport, log };
  const startOwn = async (): Promise<Brick> => {
    const brick = await startBrick({
      ...options,
      random: seededRandom(clock.nowMs() + 9),
      server: { 'listen-port': '49152', 'grace-timeout': '10', ...setup.server },
    });
    brick.child.answer = async (_fop, _call, args) => {
      opened.push((args as unknown as { fd: Fd }).fd);
      return { ok: true, iatt: emptyIatt() } as never;
    };
    return brick;
  };
  const opened: Fd[] = [];
  const brick = await startOwn();
  cleanups.push(() => brick.stop());
  const client: Client = await startClient({ ...options, client: { 'remote-port': '49152', ...setup.client } });
  cleanups.push(() => client.stop());
  await settle();
  const cut = async () => {
    for (const link of network.links) link.cut();
    network.links.clear();
    await settle();
  };
  const types = () => client.events.map((event) => event.type);
  return { clock, log, network, brick, client, cut, types, opened, startOwn, call: rootCall(clock) };
}

export const root = locOf(rootGfid);
