import { createSocket } from 'node:dgram';
import type { Clock, Random } from '@mortar/core';
import { SystemClock } from '@mortar/host/ports/clock.ts';
import { tcpTransport } from '@mortar/rpc/transports/tcp.ts';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { MemoryDevice } from '../device/memory.ts';
import { type Answer, decodeAnswer, decodeQuestion, encodeAnswer, encodeQuestion, questionBytes } from './discovery.ts';
import { ask } from './explorer/ask.ts';
import { type ExploreOptions, explore } from './explorer/explorer.ts';
import { broadcastOf } from './networks.ts';
import { exportsOf, quietLog, rigIdentity } from './rsio-rig.ts';
import { DiscoveryServer } from './server/discovery.ts';
import { RsioServer } from './server/server.ts';

const clock: Clock = new SystemClock();
const random: Random = {
  bytes: (count) => crypto.getRandomValues(new Uint8Array(count)),
  integer: (below) => Math.floor(Math.random() * below),
};
const ports = { clock, random, log: quietLog };
const nonce = Buffer.alloc(16, 7);

const name = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,127}$/);
const answers: fc.Arbitrary<Answer> = fc.record({
  namespace: name,
  namespaceId: fc.nat(65535),
  server: name,
  serverId: fc.nat(255),
  addresses: fc.array(fc.record({ address: fc.ipV6(), port: fc.integer({ min: 1, max: 65535 }) }), {
    minLength: 1,
    maxLength: 8,
  }),
});

describe('a question and its answer', () => {
  it('are read as they were written, and the answer is never the longer one', () => {
    fc.assert(
      fc.property(answers, name, (told, namespace) => {
        const question = encodeQuestion(nonce, { namespace });
        expect(question.length).toBe(questionBytes);
        expect(decodeQuestion(question)).toEqual({ nonce, asked: { namespace } });
        const answer = encodeAnswer(nonce, told);
        expect(answer.length).toBeLessThanOrEqual(question.length);
        const read = decodeAnswer(answer)!;
        expect(read.nonce).toEqual(nonce);
        expect(read.told).toEqual({ ...told, addresses: told.addresses.slice(0, read.told.addresses.length) });
      }),
    );
  });

  it('are nothing else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 1100 }), (bytes) => {
        expect(decodeQuestion(Buffer.from(bytes))).toBe(null);
        expect(decodeAnswer(Buffer.from(bytes))).toBe(null);
      }),
    );
    const question = encodeQuestion(nonce, { namespace: '' });
    expect(decodeQuestion(question.subarray(0, 200))).toBe(null);
    expect(decodeAnswer(question)).toBe(null);
    // An answer that is sent back to a server is no question.
    expect(decodeQuestion(encodeAnswer(nonce, { ...someServer, addresses: [{ address: '::1', port: 1 }] }))).toBe(null);
  });
});

const someServer = { namespace: 'osl', namespaceId: 200, server: 'big-9', serverId: 1 };

describe('a network of an interface', () => {
  it.each([
    ['192.168.45.10', '255.255.255.0', '192.168.45.255'],
    ['10.1.2.3', '255.255.252.0', '10.1.3.255'],
    ['127.0.0.1', '255.0.0.0', '127.255.255.255'],
    ['10.0.0.1', '255.255.255.255', null],
    ['10.0.0.1', '255.255.255.254', null],
    ['fe80::1', 'ffff::', null],
  ])('of %s with %s has the broadcast address %s', (address, netmask, all) => {
    expect(broadcastOf({ address, netmask })).toBe(all);
  });
});

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** A server at some addresses of this machine, with one port. */
async function server(
  discovery: 'off' | 'unicast' | 'broadcast',
  addresses: readonly string[],
  identity = rigIdentity,
) {
  const devices = new Map([['db', new MemoryDevice({ sizeBytes: 2 ** 20 })]]);
  const rsio = new RsioServer({ exports: exportsOf(devices), transport: tcpTransport(), identity, ...ports });
  ends.push(() => rsio.close());
  let port = 0;
  for (const host of addresses) {
    const bound = await rsio.listen({ kind: 'tcp', host, port });
    if (bound.kind === 'tcp') port = bound.port;
  }
  const answering = new DiscoveryServer({ clock, log: quietLog, introduce: () => rsio.introduction });
  ends.push(() => answering.close());
  await answering.listen(addresses.map((address, i) => ({ name: `if${i}`, address, port, discovery })));
  return { rsio, answering, port };
}

const options = (port: number, more: Partial<ExploreOptions> = {}): ExploreOptions => ({
  ports,
  interfaces: [{ name: 'lo', address: '127.0.0.1' }],
  seeds: [],
  discovery: 'off',
  networkPorts: [port],
  namespace: '',
  measure: 0,
  identities: [],
  timeoutMs: 600,
  bandwidthMs: 50,
  ...more,
});

describe('the explorer', { timeout: 30_000 }, () => {
  it('finds a server at an address that it is given, and by UDP the other ones', async () => {
    const { port } = await server('unicast', ['127.0.0.1', '127.0.0.2']);
    const seeds = [{ address: '127.0.0.1', port }];
    const one = { ...someServer, addresses: seeds, ways: [] };
    expect((await explore(options(port, { seeds }))).servers).toEqual([one]);
    const both = [...seeds, { address: '127.0.0.2', port }];
    const found = await explore(options(port, { seeds, discovery: 'unicast' }));
    expect(found.servers).toEqual([{ ...one, addresses: both }]);
    expect(found.interfaces).toMatchObject([{ name: 'lo', address: '127.0.0.1' }]);
  });

  it('finds all servers of a network, if they hear it, and only the namespace that is meant', async () => {
    const { port } = await server('broadcast', ['127.0.0.1']);
    expect((await explore(options(port, { discovery: 'unicast' }))).servers).toEqual([]);
    const found = await explore(options(port, { discovery: 'broadcast' }));
    expect(found.servers.map((one) => one.server)).toEqual(['big-9']);
    expect((await explore(options(port, { discovery: 'broadcast', namespace: 'other' }))).servers).toEqual([]);
  });

  it('is not told anything by a server that is not configured to', async () => {
    const { port } = await server('off', ['127.0.0.1']);
    expect((await explore(options(port, { discovery: 'broadcast' }))).servers).toEqual([]);
  });

  it('measures each way, and says which cannot be used', async () => {
    const { port } = await server('off', ['127.0.0.1', '127.0.0.2']);
    const seeds = [{ address: '127.0.0.1', port }];
    const identities = [{ namespace: 'osl', client: 'big-2', key: '0xbig2', tls: null }];
    const faces = [
      { name: 'lo', address: '127.0.0.1' },
      { name: 'gone', address: '192.0.2.77' },
    ];
    const found = await explore(options(port, { seeds, identities, measure: 2, interfaces: faces }));
    const [good, bad] = found.servers[0]!.ways;
    expect(good).toMatchObject({ interface: 'lo', problem: null });
    expect(good!.mtu).toBeGreaterThan(1000);
    expect(good!.rttMs).toBeGreaterThan(0);
    expect(good!.bandwidth!.sent).toBeGreaterThan(0);
    expect(good!.bandwidth!.received).toBeGreaterThan(0);
    expect(bad).toMatchObject({ interface: 'gone', rttMs: null, bandwidth: null });
    expect(bad!.problem).toMatch(/EADDRNOTAVAIL/);
    expect(found.problems).toEqual(['interface gone: this machine has no address 192.0.2.77']);
    const other = await explore(
      options(port, { seeds, measure: 2, identities: [{ ...identities[0]!, key: 'wrong' }] }),
    );
    expect(other.servers[0]!.ways[0]).toMatchObject({ problem: null, bandwidth: null });
  });

  it('does not believe an answer that nobody stands behind', async () => {
    const liar = createSocket('udp4');
    ends.push(() => new Promise((resolve) => liar.close(() => resolve())));
    await new Promise<void>((resolve) => liar.bind(0, '127.0.0.1', resolve));
    const { port } = liar.address();
    liar.on('message', (bytes, from) => {
      const told = { ...someServer, server: 'evil', addresses: [{ address: '127.0.0.1', port: 1 }] };
      liar.send(encodeAnswer(decodeQuestion(bytes)!.nonce, told), from.port, from.address);
      const other = { ...told, server: 'eviler' };
      liar.send(encodeAnswer(Buffer.alloc(16), other), from.port, from.address);
    });
    const seeds = [{ address: '127.0.0.1', port }];
    const asked = { ...ports, seeds, broadcasts: [], namespace: '', timeoutMs: 200 };
    expect((await ask(asked)).answers.map(({ server: one }) => one)).toEqual(['evil']);
    expect((await explore(options(port, { seeds, discovery: 'unicast' }))).servers).toEqual([]);
  });
});

describe('a server that is asked', { timeout: 30_000 }, () => {
  it('answers so many questions and no more', async () => {
    const { answering, port } = await server('unicast', ['127.0.0.1']);
    const socket = createSocket('udp4');
    let got = 0;
    socket.on('message', () => got++);
    await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
    for (let i = 0; i < 50; i++) socket.send(encodeQuestion(nonce, { namespace: '' }), port, '127.0.0.1');
    socket.send(Buffer.alloc(questionBytes), port, '127.0.0.1');
    socket.send('short', port, '127.0.0.1');
    while (answering.answered + answering.dropped < 52) await clock.sleep(5);
    await clock.sleep(50);
    expect(got).toBe(answering.answered);
    expect(got).toBeGreaterThanOrEqual(10);
    // Ten at once, and five a second while the test runs.
    expect(got).toBeLessThan(50);
    await new Promise<void>((resolve) => socket.close(() => resolve()));
  });
});
