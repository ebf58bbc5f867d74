import { type Clock, Errno } from '@mortar/core';
import { tcpTransport } from '@mortar/rpc/transports/tcp.ts';
import { afterEach, describe, expect, it } from 'vitest';
import { parseClientConfig } from '../config/client-config.ts';
import { bytesOf, pattern } from '../device/conformance.ts';
import type { BlockDevice } from '../device/device.ts';
import { MemoryDevice } from '../device/memory.ts';
import { exportsOf, quietLog, rigIdentity } from '../rsio/rsio-rig.ts';
import { RsioServer } from '../rsio/server/server.ts';
import { clock, ports, until } from '../rsio/session-rig.ts';
import { NamespaceClient } from './namespace-client.ts';

/** Ten times as fast. */
const fast: Clock = {
  nowMs: () => clock.nowMs(),
  wall: () => clock.wall(),
  after: (ms, callback) => clock.after(ms / 10, callback),
  sleep: (ms) => clock.sleep(ms / 10),
};

const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** What both servers have, as with a volume. */
const shared = () => new Map<string, BlockDevice>([['db', new MemoryDevice({ sizeBytes: 2 ** 20 })]]);

/** On a port of the machine, 0 for any. */
async function serve(id: number, devices: ReadonlyMap<string, BlockDevice>, port = 0) {
  const identity = { ...rigIdentity, server: { name: `big-${id}`, id } };
  const transport = tcpTransport();
  const server = new RsioServer({ ...ports, exports: exportsOf(devices), log: quietLog, transport, identity });
  const bound = await server.listen({ kind: 'tcp', host: '127.0.0.1', port });
  ends.push(() => server.close());
  return { server, port: bound.kind === 'tcp' ? bound.port : 0 };
}

function clientOf(...servers: readonly number[]): NamespaceClient {
  const places = servers.map((port, i) => `[server ${i}]\naddress=127.0.0.1\nport=${port}\n`).join('');
  const { namespaces, interfaces } = parseClientConfig(
    `[namespace osl]\nnodename=big-2\nnodekey=0xbig2\n${places}`,
    'rscltcfg',
  );
  const client = new NamespaceClient(namespaces[0]!, interfaces, { ...ports, clock: fast, log: quietLog });
  ends.push(() => client.close());
  return client;
}

describe('a namespace of two servers', () => {
  it('keeps a device that was opened while one of them was away, when the other one is lost', async () => {
    const devices = shared();
    const one = await serve(1, devices);
    const away = await serve(2, devices);
    await away.server.close();
    const client = clientOf(one.port, away.port);
    await client.explore();
    const opened = await client.open('db', false);
    if (!opened.ok) throw new Error(`errno ${opened.errno}`);
    const { device } = opened;
    ends.push(() => device.close());
    expect(await device.write(0, pattern(4096, 1), false)).toEqual({ ok: true });
    expect(device.servers).toBe(1);
    await serve(2, devices, away.port);
    await until(() => client.servers.length === 2 && device.servers === 2);
    await one.server.close();
    expect(await device.write(4096, pattern(4096, 2), false)).toEqual({ ok: true });
    expect(bytesOf(await device.read(0, 8192))).toEqual(Buffer.concat([pattern(4096, 1), pattern(4096, 2)]));
    expect(device.server).toBe(1);
  });

  it('opens a device at none that does not offer it', async () => {
    const client = clientOf((await serve(1, shared())).port, (await serve(2, new Map())).port);
    await client.explore();
    await until(() => client.servers.every(({ session }) => session.isUp));
    const opened = await client.open('db', false);
    expect(opened.ok && opened.device.servers).toBe(1);
    if (opened.ok) await opened.device.close();
    expect(await client.open('other', false)).toEqual({ ok: false, errno: Errno.ENOENT });
  });
});
