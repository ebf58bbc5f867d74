/** Real sockets: what a hostile or broken client does is the affair of its own connection. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { SystemClock } from '@mortar/host/ports/clock.ts';
import { LineLog, silentTarget } from '@mortar/host/ports/log.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { exportOf, exportsOf, infoData, optionBytes, RawClient, requestBytesOf } from './client-rig.ts';
import { Command, Option } from './constants.ts';
import { NbdServer, type NbdServerOptions } from './server.ts';
import { parseKeys, TlsServer } from './tls.ts';

const clock = new SystemClock();
const log = new LineLog(silentTarget, clock);
let server: NbdServer;
let clients: RawClient[] = [];
let port = 0;

async function start(options: Partial<NbdServerOptions> = {}) {
  server = new NbdServer({ exports: exportsOf(exportOf('vol', 64 * 1024 * 1024)), clock, log, ...options });
  const address = await server.listen({ kind: 'tcp', host: '127.0.0.1', port: 0 });
  port = address.kind === 'tcp' ? address.port : 0;
}

async function client(): Promise<RawClient> {
  const one = await RawClient.connect(port);
  clients.push(one);
  return one;
}

/** The server serves whoever comes. */
async function isAlive(): Promise<boolean> {
  const one = await client();
  await one.go();
  const { error, data } = await one.request({ type: Command.READ, offset: 0, length: 512 });
  one.end();
  return error === 0 && data.length === 512;
}

beforeEach(() => {
  clients = [];
});
afterEach(async () => {
  for (const one of clients) one.end();
  await server.close();
});

describe('NbdServer', () => {
  it('serves reads and writes, and a flush of one connection covers the writes of another', async () => {
    await start();
    const [one, two] = [await client(), await client()];
    await one.go();
    await two.go('');
    expect(await one.request({ type: Command.WRITE, offset: 4096, payload: Buffer.from('hello') })).toMatchObject({
      error: 0,
    });
    expect(await two.request({ type: Command.FLUSH })).toMatchObject({ error: 0 });
    expect((await two.request({ type: Command.READ, offset: 4096, length: 5 })).data.toString()).toBe('hello');
    const large = Buffer.alloc(5_000_000, 'abcdefg');
    expect(await one.request({ type: Command.WRITE, offset: 1, payload: large })).toMatchObject({ error: 0 });
    expect((await two.request({ type: Command.READ, offset: 1, length: large.length })).data.equals(large)).toBe(true);
  });

  it('takes bytes one by one, and requests that came together with the last option', async () => {
    await start();
    const one = await client();
    await one.take(18);
    const bytes = Buffer.concat([
      Buffer.from([0, 0, 0, 3]),
      optionBytes(Option.EXPORT_NAME, Buffer.from('vol')),
      requestBytesOf({ type: Command.WRITE, cookie: 1, offset: 3, payload: Buffer.from('xyz') }),
      requestBytesOf({ type: Command.READ, cookie: 2, offset: 3, length: 3 }),
    ]);
    for (const byte of bytes) {
      one.send(Buffer.from([byte]));
      await new Promise(setImmediate);
    }
    await one.take(10 + 16);
    expect((await one.take(19)).subarray(16).toString()).toBe('xyz');
    const two = await client();
    await two.take(18);
    two.send(bytes);
    await two.take(10 + 16);
    expect((await two.take(19)).subarray(16).toString()).toBe('xyz');
  });

  it.each([
    ['another magic instead of an option', [Buffer.alloc(16, 7)]],
    ['a huge option', [Buffer.from('49484156454f5054000000070fffffff', 'hex')]],
    ['flags that nobody knows', []],
  ])('closes the connection for %s, and no other', async (what, bytes) => {
    await start();
    const one = await client();
    await one.greet(what.startsWith('flags') ? 0xf0 : 3);
    one.send(...bytes);
    await one.closed();
    expect(await isAlive()).toBe(true);
  });

  it('survives clients that leave in the middle of anything', async () => {
    await start();
    const write = requestBytesOf({ type: Command.WRITE, cookie: 1, payload: Buffer.alloc(400_000) });
    for (const length of [1, 27, 28, 29, 5000, 399_999]) {
      const one = await client();
      await one.go();
      one.send(write.subarray(0, length));
      await new Promise(setImmediate);
      one.end();
    }
    const silent = await client();
    silent.end();
    expect(await isAlive()).toBe(true);
  });

  it('is not stopped by a client that asks for much and reads nothing', async () => {
    await start();
    const one = await client();
    await one.go();
    one.duplex.pause();
    const read = { type: Command.READ, offset: 0, length: 32 * 1024 * 1024 };
    for (let cookie = 0; cookie < 64; cookie++) one.send(requestBytesOf({ ...read, cookie }));
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(await isAlive()).toBe(true);
    const [held] = [...server.connections].map(({ underWay }) => underWay.bytes);
    expect(held).toBeLessThan(49 * 1024 * 1024);
  });

  it('gives who says nothing a while, and his place to another when there is no room', async () => {
    await start({ negotiationMs: 200, connectionsMax: 3 });
    const idle = await client();
    await idle.closed();
    await start({ connectionsMax: 3 });
    const idlers = [await client(), await client(), await client()];
    for (const one of idlers) await one.take(18);
    expect(await isAlive()).toBe(true);
    await idlers[0]!.closed();
  });

  it('answers what is under way before it ends', async () => {
    await start();
    const one = await client();
    await one.go();
    one.send(requestBytesOf({ type: Command.FLUSH, cookie: 1 }));
    await one.take(16);
    await server.close();
    await one.closed();
    expect(server.connections.size).toBe(0);
  });

  it('listens on a unix socket that is the owner’s alone, also when one was left behind', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'mortar-nbd-'));
    const path = join(folder, 'nbd.sock');
    await start();
    expect(await server.listen({ kind: 'unix', path })).toEqual({ kind: 'unix', path });
    const other = new NbdServer({ exports: exportsOf(), clock, log });
    await expect(other.listen({ kind: 'unix', path })).rejects.toThrow(/EADDRINUSE/);
    rmSync(folder, { recursive: true });
  });
});

describe('TLS', () => {
  it('with a key is wanted, proves who it is, and carries everything', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'mortar-nbd-'));
    const file = join(folder, 'keys');
    const key = Buffer.alloc(32, 5);
    writeFileSync(file, `# clients\nvenus:${key.toString('hex')}\n`);
    const seen: (string | null)[] = [];
    const exports = exportsOf(exportOf('vol'));
    const open = exports.open;
    exports.open = (name, who) => {
      seen.push(who.identity);
      return open(name, who);
    };
    await start({ exports, tls: new TlsServer({ keys: file }), tlsMode: 'required' });
    rmSync(folder, { recursive: true });
    const secure = async (name: string, secret: Buffer) => {
      const one = await client();
      await one.greet();
      expect((await one.option(Option.GO, infoData('vol')))[0]!.type).toBe(2 ** 31 + 5);
      expect((await one.option(Option.STARTTLS))[0]!.type).toBe(1);
      one.detach();
      const tls = connectTls({
        socket: one.duplex as never,
        pskCallback: () => ({ identity: name, psk: secret }),
        ciphers: 'TLS_AES_128_GCM_SHA256:PSK',
        checkServerIdentity: () => undefined,
      });
      await new Promise<void>((resolve, reject) => tls.once('secureConnect', () => resolve()).once('error', reject));
      one.become(tls);
      return one;
    };
    const one = await secure('venus', key);
    expect((await one.option(Option.GO, infoData('vol'))).at(-1)!.type).toBe(1);
    const bytes = Buffer.alloc(700_000, 'tls');
    expect((await one.request({ type: Command.WRITE, offset: 5, payload: bytes })).error).toBe(0);
    expect((await one.request({ type: Command.READ, offset: 5, length: bytes.length })).data.equals(bytes)).toBe(true);
    expect(seen).toEqual(['venus']);
    await expect(secure('mars', key)).rejects.toThrow();
    await expect(secure('venus', Buffer.alloc(32, 6))).rejects.toThrow();
  });

  it('has keys in lines of NAME:HEX', () => {
    expect(() => parseKeys('a:00\n', 'file')).toThrow('file:1: NAME:KEY is expected');
    expect(() => parseKeys('\nnothing\n', 'file')).toThrow('file:2:');
    expect([...parseKeys(`a:${'0f'.repeat(16)}\n`, 'f').keys()]).toEqual(['a']);
  });
});
