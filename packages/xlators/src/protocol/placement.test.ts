/** Clients tell bricks where they take files to be, and who is late is not let in. */
import { parseOptions } from '@mortar/core';
import { decodeHello, encodeHello, type Hello } from '@mortar/rpc';
import { nodeClock, nodeRandom } from '@mortar/rpc/transports/node-ports.ts';
import { nodeTransport } from '@mortar/rpc/transports/node-transport-port.ts';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { options } from './client/options.ts';
import { type Brick, type Client, startBrick, startClient } from './rig.ts';

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

const ports = { clock: nodeClock, random: nodeRandom, transport: { transport: nodeTransport() } };

async function brick(): Promise<Brick> {
  const started = await startBrick(ports);
  ends.push(() => started.stop());
  return started;
}

async function client({ server }: Brick, placement: string, version = 0): Promise<Client> {
  const [address] = server.addresses;
  const options = {
    'remote-port': `${address?.kind === 'tcp' ? address.port : 0}`,
    placement,
    'placement-version': `${version}`,
  };
  const started = await startClient({ ...ports, client: options });
  ends.push(() => started.stop());
  return started;
}

async function isLetIn(to: Brick, placement: string, version: number): Promise<boolean> {
  const { saw, events } = await client(to, placement, version);
  await Promise.race([saw('child-up'), saw('child-down')]);
  return events.some(({ type }) => type === 'child-up');
}

describe('a brick', () => {
  it('tells of each client who it is and where it takes files to be', async () => {
    const to = await brick();
    for (const placement of ['a', '']) await (await client(to, placement)).saw('child-up');
    const dump = to.server.dump();
    const told = [0, 1].map((i) =>
      ['host', 'process-id', 'placement'].map((key) => dump[`server.client[${i}].${key}`]),
    );
    expect(told).toEqual([
      ['node1', 4711, 'a'],
      ['node1', 4711, ''],
    ]);
  });

  it('is not fenced while a client is there that takes files to be elsewhere', async () => {
    const to = await brick();
    const old = await client(to, 'old', 3);
    await old.saw('child-up');
    await (await client(to, '')).saw('child-up');
    expect(to.server.fencePlacement('new', 4)).toBe(false);
    expect(await isLetIn(to, 'old', 3)).toBe(true);
    for (const end of ends.splice(1).reverse()) await end();
    await vi.waitFor(() => expect(to.server.fencePlacement('new', 4)).toBe(true));
  });

  it.each([
    ['late', 'old', 3, false],
    ['where it moved to', 'new', 3, true],
    ['newer than the rebalance', 'newest', 5, true],
    ['of the version of the rebalance', 'old', 4, true],
    ['that does not tell its version', 'old', 0, true],
    ['that distributes nothing', '', 3, true],
  ])('that moved files lets a client in that is %s: %s, %i → %s', async (_, placement, version, isIn) => {
    const to = await brick();
    expect(to.server.fencePlacement('new', 4)).toBe(true);
    expect(await isLetIn(to, placement, version)).toBe(isIn);
  });

  it('lets a client in that hears of a newer version of the volume by which its graph is right again', async () => {
    const to = await brick();
    to.server.fencePlacement('new', 4);
    const { graph, saw, events } = await client(to, 'old', 3);
    await saw('child-down');
    const xlator = graph.xlators.get('vol1-client-0')!;
    const texts = new Map([...xlator.texts, ['placement-version', '5']]);
    xlator.reconfigure(parseOptions(options, texts).values, texts);
    await saw('child-up');
    expect(events.filter(({ type }) => type === 'child-up')).toHaveLength(1);
  });

  it('does not let an earlier rebalance take the word of a later one back', async () => {
    const to = await brick();
    to.server.fencePlacement('newest', 5);
    to.server.fencePlacement('new', 4);
    expect(await isLetIn(to, 'new', 4)).toBe(false);
  });
});

describe('a handshake', () => {
  const hello: Hello = {
    protocols: [1],
    kind: 'session',
    program: 'p',
    processId: 1,
    clientId: 'c',
    subvolume: 'b',
    volumeId: '',
    subdirectory: '',
    user: '',
    password: '',
    opVersion: 0,
    sessionId: '',
    features: [],
  };

  it('need not have a placement, and none that is too long', () => {
    expect(decodeHello(encodeHello(hello))).toMatchObject({ placement: '', placementVersion: 0 });
    const told = { ...hello, placement: 'p'.repeat(64), placementVersion: 9 };
    expect(decodeHello(encodeHello(told))).toMatchObject(told);
    expect(() => decodeHello(encodeHello({ ...hello, placement: 'p'.repeat(65) }))).toThrow("'placement'");
    expect(() => decodeHello(encodeHello({ ...hello, placementVersion: -1 }))).toThrow("'placementVersion'");
  });
});
