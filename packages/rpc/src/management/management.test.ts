import { linkSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { RefusedError } from '../hello.ts';
import type { Address, Transport } from '../stream.ts';
import { CountingMetrics } from '../test-rig.ts';
import { MemoryTransport } from '../transports/memory.ts';
import { nodeClock } from '../transports/node-ports.ts';
import { tcpTransport } from '../transports/tcp.ts';
import { unixTransport } from '../transports/unix.ts';
import { CallMeter } from './call-meter.ts';
import { ManagementClient } from './client.ts';
import { ManagementError } from './protocol.ts';
import { ManagementServer } from './server.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'mortar-rpc-'));
  cleanups.push(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

const places: [string, () => { transport: Transport; address: Address }][] = [
  ['memory', () => ({ transport: new MemoryTransport(), address: { kind: 'memory', name: 'glusterd' } })],
  ['tcp', () => ({ transport: tcpTransport(), address: { kind: 'tcp', host: '127.0.0.1', port: 0 } })],
  ['unix', () => ({ transport: unixTransport(), address: { kind: 'unix', path: join(temporaryFolder(), 's') } })],
];

describe.each(places)('management calls over %s', (kind, place) => {
  async function start(prepare: (server: ManagementServer) => void = () => undefined) {
    const { transport, address } = place();
    const server = new ManagementServer({ clock: nodeClock, serverId: 'run-1' });
    server.method('add', z.object({ a: z.number(), b: z.number() }), ({ a, b }) => a + b);
    prepare(server);
    const listener = await server.listen(transport, address);
    const client = await ManagementClient.connect(transport, listener.address, {
      clock: nodeClock,
      program: 'gluster',
    });
    cleanups.push(() => server.close());
    return { server, client, listener, transport };
  }

  it('answers with the result of the method', async () => {
    const { client } = await start();
    await expect(client.call('add', { a: 2, b: 3 })).resolves.toBe(5);
    expect(client.welcome?.serverId).toBe('run-1');
  });

  it('counts calls by method and how they end, by a bounded number of names', async () => {
    const { transport, address } = place();
    const counted = [new CountingMetrics(), new CountingMetrics()] as const;
    const [ofServer, ofClient] = counted.map((metrics) => new CallMeter(metrics, nodeClock)) as [CallMeter, CallMeter];
    const server = new ManagementServer({ clock: nodeClock, calls: ofServer });
    server.method('yes', z.unknown(), () => 1);
    server.method('no', z.unknown(), () => Promise.reject(new ManagementError('ENO', 'no')));
    server.method('never', z.unknown(), () => new Promise(() => undefined));
    const listener = await server.listen(transport, address);
    cleanups.push(() => server.close());
    const options = { clock: nodeClock, program: 'gluster', calls: ofClient };
    const client = await ManagementClient.connect(transport, listener.address, options);
    await client.call('yes');
    await client.call('yes');
    await client.call('no').catch(() => undefined);
    await client.call('never', undefined, { timeoutMs: 20 }).catch(() => undefined);
    for (let i = 0; i < 300; i++) await client.call(`made-up-${i}`).catch(() => undefined);
    const lost = client.call('never').catch(() => undefined);
    client.close();
    await lost;
    const [inside, outside] = counted.map(({ counts }) => Object.fromEntries(counts)) as [object, object];
    expect(inside).toEqual({
      'management_calls_total:in:yes:ok': 2,
      'management_calls_total:in:no:error': 1,
      'management_calls_total:in:unknown:error': 300,
    });
    expect(outside).toMatchObject({
      'management_calls_total:out:yes:ok': 2,
      'management_calls_total:out:no:error': 1,
      'management_calls_total:out:never:timeout': 1,
      'management_calls_total:out:never:disconnected': 1,
      'management_calls_total:out:made-up-0:error': 1,
      'management_calls_total:out:other:error': 300 + 3 - 256,
    });
    expect(Object.keys(outside)).toHaveLength(256 + 2);
  });

  it('keeps calls apart and answers them in the order they finish', async () => {
    const release: (() => void)[] = [];
    const { client } = await start((server) =>
      server.method('wait', z.number(), async (n) => {
        if (n === 1) await new Promise<void>((resolve) => release.push(resolve));
        else release[0]?.();
        return n;
      }),
    );
    await expect(Promise.all([client.call('wait', 1), client.call('wait', 2)])).resolves.toEqual([1, 2]);
  });

  it('says which parameter is wrong, and of what', async () => {
    const { client } = await start();
    const error = await client.call('add', { a: 2, b: 'x' }).catch((e: unknown) => e as ManagementError);
    expect(error).toMatchObject({ code: 'BAD_PARAMS' });
    expect((error as ManagementError).message).toContain('b');
  });

  it('refuses an unknown method', async () => {
    const { client } = await start();
    await expect(client.call('nothing')).rejects.toMatchObject({ code: 'NO_METHOD' });
  });

  it('carries code, message and details of an expected error', async () => {
    const { client } = await start((server) =>
      server.method('start', z.undefined(), () => {
        throw new ManagementError('NO_VOLUME', 'Volume v1 does not exist', { volume: 'v1' });
      }),
    );
    await expect(client.call('start')).rejects.toMatchObject({
      code: 'NO_VOLUME',
      message: 'Volume v1 does not exist',
      details: { volume: 'v1' },
    });
  });

  it('turns a bug of a method into INTERNAL and goes on', async () => {
    const { client } = await start((server) =>
      server.method('bug', z.undefined(), () => {
        throw new TypeError('undefined is not a function');
      }),
    );
    await expect(client.call('bug')).rejects.toMatchObject({ code: 'INTERNAL' });
    await expect(client.call('add', { a: 1, b: 1 })).resolves.toBe(2);
  });

  it('carries parameters and results of megabytes', async () => {
    const { client } = await start((server) => server.method('echo', z.string(), (text) => text));
    const large = 'x'.repeat(7 << 20);
    expect(await client.call('echo', large)).toBe(large);
    await expect(client.call('echo', 'x'.repeat(9 << 20))).rejects.toMatchObject({ code: 'TOO_LARGE' });
    await expect(client.call('add', { a: 1, b: 1 })).resolves.toBe(2);
  });

  it('sends notices to the clients that are wanted', async () => {
    const { server, client } = await start();
    const got = new Promise((resolve) => client.onNotice('volfile-changed', resolve));
    server.notifyAll('volfile-changed', { volume: 'no' }, (caller) => caller.hello.program !== 'gluster');
    server.notifyAll('volfile-changed', { volume: 'v1' });
    await expect(got).resolves.toEqual({ volume: 'v1' });
  });

  it('takes notices of a client', async () => {
    let seen: (value: unknown) => void = () => undefined;
    const got = new Promise((resolve) => {
      seen = resolve;
    });
    const { client } = await start((server) =>
      server.onNotice('signed-in', z.object({ port: z.number() }), (params, { caller }) =>
        seen({ ...params, program: caller.hello.program }),
      ),
    );
    client.notify('signed-in', { port: 49152 });
    await expect(got).resolves.toEqual({ port: 49152, program: 'gluster' });
  });

  it('tells a method when its caller gave up', async () => {
    let aborted: () => void = () => undefined;
    const stopped = new Promise<void>((resolve) => {
      aborted = resolve;
    });
    const { client } = await start((server) =>
      server.method('long', z.undefined(), (_params, { signal }) => {
        signal.addEventListener('abort', aborted);
        return new Promise(() => undefined);
      }),
    );
    const abort = new AbortController();
    const call = client.call('long', undefined, { signal: abort.signal });
    abort.abort();
    await expect(call).rejects.toMatchObject({ code: 'CANCELLED' });
    await stopped;
  });

  it('gives up after the time that the caller gave', async () => {
    const { client } = await start((server) =>
      server.method('never', z.undefined(), () => new Promise(() => undefined)),
    );
    await expect(client.call('never', undefined, { timeoutMs: 20 })).rejects.toMatchObject({ code: 'TIMEOUT' });
  });

  it('fails open calls when the server goes, and later ones at once', async () => {
    const { server, client } = await start((s) => s.method('never', z.undefined(), () => new Promise(() => undefined)));
    const call = client.call('never');
    call.catch(() => undefined);
    await server.close();
    await expect(call).rejects.toMatchObject({ code: 'DISCONNECTED' });
    await client.closed;
    await expect(client.call('add', { a: 1, b: 1 })).rejects.toMatchObject({ code: 'DISCONNECTED' });
  });

  it('knows who calls', async () => {
    const { client } = await start((server) =>
      server.method('who', z.undefined(), (_params, { caller }) => ({ ...caller.peer })),
    );
    const who = (await client.call('who')) as { kind: string; isLocalRoot: boolean; isLocal: boolean };
    expect(who).toMatchObject({ kind, isLocal: true, isLocalRoot: kind !== 'tcp' });
  });

  it('can refuse a client with the reason', async () => {
    const { transport, address } = place();
    const server = new ManagementServer({ clock: nodeClock, admit: () => ({ errno: 13, reason: 'not a friend' }) });
    const listener = await server.listen(transport, address);
    cleanups.push(() => server.close());
    const refused = ManagementClient.connect(transport, listener.address, { clock: nodeClock, program: 'x' });
    await expect(refused).rejects.toThrow(RefusedError);
    await expect(refused).rejects.toMatchObject({ message: 'not a friend', errno: 13 });
  });
});

describe('a unix socket of the management', () => {
  it('takes the place of one that nobody listens on', async () => {
    const folder = temporaryFolder();
    const first = await unixTransport().listen({ kind: 'unix', path: join(folder, 'a') }, () => undefined);
    linkSync(join(folder, 'a'), join(folder, 'stale'));
    await first.close();
    const server = new ManagementServer({ clock: nodeClock });
    await server.listen(unixTransport(), { kind: 'unix', path: join(folder, 'stale') });
    await server.close();
  });

  it('is open to its owner only, and not taken from who listens', async () => {
    const path = join(temporaryFolder(), 'glusterd.socket');
    const server = new ManagementServer({ clock: nodeClock });
    await server.listen(unixTransport(), { kind: 'unix', path });
    cleanups.push(() => server.close());
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const second = new ManagementServer({ clock: nodeClock });
    await expect(second.listen(unixTransport(), { kind: 'unix', path })).rejects.toMatchObject({ code: 'EADDRINUSE' });
  });
});
