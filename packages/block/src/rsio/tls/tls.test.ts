import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Clock, Random } from '@mortar/core';
import { SystemClock } from '@mortar/host/ports/clock.ts';
import { tcpTransport } from '@mortar/rpc/transports/tcp.ts';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { bytesOf } from '../../device/conformance.ts';
import { MemoryDevice } from '../../device/memory.ts';
import { type TlsFiles, TlsServer } from '../../nbd/tls.ts';
import { dial } from '../client/dial.ts';
import { RemoteDevice } from '../client/remote-device.ts';
import { ClientSession } from '../client/session.ts';
import { exportsOf, quietLog, rigTimes } from '../rsio-rig.ts';
import { RsioServer } from '../server/server.ts';
import type { ClientTls } from './client.ts';
import { tlsTransport } from './server-transport.ts';

const clock: Clock = new SystemClock();
const random: Random = {
  bytes: (count) => crypto.getRandomValues(new Uint8Array(count)),
  integer: (below) => Math.floor(Math.random() * below),
};
const folder = mkdtempSync(join(tmpdir(), 'mortar-rsio-tls-'));
const at = (name: string) => join(folder, name);
const newKey = (name: string) => [
  ...['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', at(`${name}.key`)],
  ...['-subj', `/CN=${name}`, '-out', at(`${name}.pem`), '-days', '2'],
];

function certificate(name: string, by?: string): void {
  const signed = by === undefined ? [] : ['-CA', at(`${by}.pem`), '-CAkey', at(`${by}.key`)];
  const leaf = by === undefined ? [] : ['-addext', 'basicConstraints=critical,CA:FALSE'];
  execFileSync('openssl', ['req', '-x509', ...newKey(name), ...signed, ...leaf], { stdio: 'pipe' });
}

beforeAll(() => {
  for (const name of ['ca', 'other']) certificate(name);
  for (const name of ['big-9', 'big-8', 'big-2', 'venus']) certificate(name, 'ca');
  certificate('mallory', 'other');
  writeFileSync(at('keys'), `big-2:${'ab'.repeat(16)}\n`);
  writeFileSync(at('wrong-keys'), `big-2:${'cd'.repeat(16)}\n`);
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const files = (name: string, authority: string | null = 'ca'): TlsFiles => ({
  certificate: at(`${name}.pem`),
  key: at(`${name}.key`),
  ...(authority === null ? {} : { authority: at(`${authority}.pem`) }),
});
const asClient = (name: string, more: Partial<ClientTls> = {}): ClientTls => ({
  mode: 'required',
  files: files(name),
  client: 'big-2',
  ...more,
});

const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

interface Rig {
  server: RsioServer;
  port: number;
  refused: string[];
}

async function serve(
  mode: 'off' | 'allowed' | 'required',
  own: TlsFiles = files('big-9'),
  clients: ReadonlyMap<string, string> = new Map([['big-2', '0xbig2']]),
): Promise<Rig> {
  const refused: string[] = [];
  const devices = new Map([['db', new MemoryDevice({ sizeBytes: 4 * 2 ** 20 })]]);
  const identity = { namespace: { name: 'osl', id: 200 }, server: { name: 'big-9', id: 1 }, clients };
  const log = { ...quietLog, write: (_level: string, _origin: string, text: string) => void refused.push(text) };
  const server = new RsioServer({
    exports: exportsOf(devices),
    clock,
    random,
    log,
    transport: tcpTransport(),
    identity,
  });
  ends.push(() => server.close());
  const tls = mode === 'off' ? null : new TlsServer(own);
  const transport =
    mode === 'off'
      ? undefined
      : tlsTransport({ clock, mode, tls: () => tls!, refused: (_who, why) => refused.push(why) });
  const bound = await server.listen({ kind: 'tcp', host: '127.0.0.1', port: 0 }, transport);
  return { server, port: bound.kind === 'tcp' ? bound.port : 0, refused };
}

function clientOf(port: number, tls: ClientTls | null, key = '0xbig2', name = 'big-2', paths = 1): ClientSession {
  const place = {
    name: 'p',
    wantsTls: tls !== null,
    dial: () => dial({ host: '127.0.0.1', port, ...(tls ? { tls } : {}) }),
  };
  const session = new ClientSession({
    clock,
    random,
    log: quietLog,
    namespace: 'osl',
    client: name,
    key,
    paths: Array.from({ length: paths }, () => place),
    times: { ...rigTimes, suspectMs: 2000, deadMs: 4000, connectMs: 5000 },
  });
  ends.push(() => session.close());
  session.start();
  return session;
}

/** `up`, or why it is not let in. */
async function outcome(session: ClientSession): Promise<string> {
  for (;;) {
    if (session.isUp) return 'up';
    const { why } = session.status[0]!;
    if (why !== '') return why;
    await clock.sleep(5);
  }
}

describe('a session over TLS', { timeout: 60_000 }, () => {
  it.each(['allowed', 'required'] as const)('carries what is written, over several paths (%s)', async (mode) => {
    const { port } = await serve(mode);
    const session = clientOf(port, asClient('big-2'), '0xbig2', 'big-2', 3);
    expect(await outcome(session)).toBe('up');
    const opened = await RemoteDevice.open(
      { name: 'db', sessions: [session], mode: 'exclusive', clock, log: quietLog },
      5000,
    );
    if (!opened.ok) throw new Error(`errno ${opened.errno}`);
    const data = Buffer.alloc(2 ** 20, 'secret data');
    expect(await opened.device.write(4096, data, true)).toEqual({ ok: true });
    expect(bytesOf(await opened.device.read(4096, data.length)).equals(data)).toBe(true);
    await opened.device.close();
  });

  it('goes in the clear only where both sides allow it', async () => {
    const allowed = await serve('allowed');
    expect(await outcome(clientOf(allowed.port, null))).toBe('up');
    expect(await outcome(clientOf((await serve('off')).port, asClient('big-2', { mode: 'allowed' })))).toBe('up');
    const off = await serve('off');
    expect(await outcome(clientOf(off.port, asClient('big-2')))).toMatch(/^TLS with 127\.0\.0\.1:\d+ failed/);
    const required = await serve('required');
    expect(await outcome(clientOf(required.port, null))).not.toBe('up');
    expect(required.refused).toContain('it does not speak TLS, which is required here');
  });

  it('is refused to who has the certificate of another authority, of another name, or none', async () => {
    const { port, refused } = await serve('required');
    expect(await outcome(clientOf(port, asClient('mallory')))).not.toBe('up');
    expect(refused.at(-1)).toMatch(/certificate/);
    const { authority } = files('big-2');
    expect(await outcome(clientOf(port, asClient('big-2', { files: { authority: authority! } })))).not.toBe('up');
    expect(refused.at(-1)).toMatch(/certificate was refused/);
    expect(await outcome(clientOf(port, asClient('venus')))).toMatch(/refuses/);
    expect(refused.join('\n')).toContain("it says to be 'big-2', but its certificate is of 'venus'");
    expect(await outcome(clientOf(port, asClient('big-2'), 'another key'))).toMatch(/refuses/);
  });

  it('is begun with no server of another authority, or of another name', async () => {
    const mallory = await serve('required', files('mallory', 'other'));
    const trusting = asClient('big-2');
    expect(await outcome(clientOf(mallory.port, trusting))).toMatch(/signed by nobody in the list of authorities/);
    // Its own certificate does not make one server another.
    const other = await serve('required', files('big-8'));
    expect(await outcome(clientOf(other.port, trusting))).toBe(
      "the server says to be 'big-9', but its certificate is of 'big-8'",
    );
  });

  it('needs no key where the certificate is to prove the name', async () => {
    const clients = new Map([
      ['big-2', '-'],
      ['venus', '0xvenus'],
    ]);
    const { port } = await serve('allowed', files('big-9'), clients);
    expect(await outcome(clientOf(port, asClient('big-2'), ''))).toBe('up');
    expect(await outcome(clientOf(port, asClient('big-2'), '-'))).not.toBe('up');
    // Without it nobody is that one, whatever key he shows.
    for (const key of ['', '-']) expect(await outcome(clientOf(port, null, key))).toMatch(/refuses/);
    expect(await outcome(clientOf(port, asClient('venus', { client: 'venus' }), '0xvenus', 'venus'))).toBe('up');
    expect(await outcome(clientOf(port, asClient('venus', { client: 'venus' }), '', 'venus'))).not.toBe('up');
  });

  it('goes with shared keys instead of certificates', async () => {
    const { port } = await serve('required', { keys: at('keys') }, new Map([['big-2', '-']]));
    const shared = (keys: string): ClientTls => ({ mode: 'required', files: { keys: at(keys) }, client: 'big-2' });
    expect(await outcome(clientOf(port, shared('keys'), ''))).toBe('up');
    expect(await outcome(clientOf(port, shared('wrong-keys'), ''))).not.toBe('up');
    expect(await outcome(clientOf(port, { ...shared('keys'), client: 'venus' }, '', 'venus'))).toMatch(
      /has no key of 'venus'/,
    );
  });

  /** Somebody on the way, who passes on what `change` makes of the first bytes. */
  async function between(port: number, change: (first: Buffer) => Buffer | null): Promise<number> {
    const sockets = new Set<Socket>();
    const server: Server = createServer((near) => {
      sockets.add(near);
      near.on('error', () => undefined);
      near.once('data', (first) => {
        const passed = change(first);
        if (passed === null) {
          near.destroy();
          return;
        }
        const far = connect(port, '127.0.0.1');
        sockets.add(far);
        far.on('error', () => undefined);
        far.write(passed);
        near.pipe(far);
        far.pipe(near);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    ends.push(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    const address = server.address();
    return typeof address === 'object' && address ? address.port : 0;
  }

  it('is not brought down to clear text by somebody on the way', async () => {
    const { port, refused } = await serve('allowed');
    const isTls = (first: Buffer) => first[0] === 22;
    // Whoever drops what is TLS makes a client that allows clear text go on in it: the server says no.
    const dropping = await between(port, (first) => (isTls(first) ? null : first));
    const wanting = asClient('big-2', { mode: 'allowed' });
    expect(await outcome(clientOf(dropping, wanting))).toBe('the server speaks TLS, but somebody keeps it from us');
    expect(refused.join('\n')).toContain('it wanted TLS, and somebody has kept that from us');
    // Whoever takes the wish out of the hello as well is found by the proof.
    const forging = await between(port, (first) =>
      isTls(first) ? null : Buffer.from(first.toString('latin1').replace(',"tls":true', '           '), 'latin1'),
    );
    expect(await outcome(clientOf(forging, wanting))).toMatch(/refuses to let it join/);
    // One who asks for TLS and nothing else is not impressed.
    expect(await outcome(clientOf(dropping, asClient('big-2')))).toMatch(/^TLS with/);
  });

  it('goes on when a server has got other certificates, for who comes from then on', async () => {
    const devices = new Map([['db', new MemoryDevice({ sizeBytes: 2 ** 20 })]]);
    const identity = {
      namespace: { name: 'osl', id: 200 },
      server: { name: 'big-9', id: 1 },
      clients: new Map<string, string>(),
    };
    const server = new RsioServer({
      exports: exportsOf(devices),
      clock,
      random,
      log: quietLog,
      transport: tcpTransport(),
      identity,
    });
    ends.push(() => server.close());
    let tls = new TlsServer(files('big-8'));
    const transport = tlsTransport({ clock, mode: 'required', tls: () => tls, refused: () => undefined });
    const bound = await server.listen({ kind: 'tcp', host: '127.0.0.1', port: 0 }, transport);
    const session = clientOf(bound.kind === 'tcp' ? bound.port : 0, asClient('big-2'), '');
    expect(await outcome(session)).toMatch(/its certificate is of 'big-8'/);
    tls = new TlsServer(files('big-9'));
    while (!session.isUp) await clock.sleep(10);
  });

  it.each(['allowed', 'required'] as const)('ends with its server, which waits for no client (%s)', async (mode) => {
    const { server, port, refused } = await serve(mode);
    const session = clientOf(port, asClient('big-2'));
    expect(await outcome(session)).toBe('up');
    const silent = connect(port, '127.0.0.1');
    silent.on('error', () => undefined);
    // Its handshake is under way: the server has taken it before who comes after it.
    expect(await outcome(clientOf(port, asClient('big-2')))).toBe('up');
    let isClosed = false;
    const closing = server.close().then(() => {
      isClosed = true;
    });
    for (let i = 0; i < 400 && !isClosed; i++) await clock.sleep(5);
    expect(isClosed).toBe(true);
    await closing;
    while (session.isUp) await clock.sleep(5);
    expect(refused).toContain('the server ends');
    expect(server.sessions).toEqual([]);
    silent.destroy();
  });

  it.each([
    ['TLS', () => asClient('big-2')],
    ['clear text', () => null],
  ])('is given up when its machine is gone without a word: the kernel asks (%s)', async (_, tls) => {
    const { port } = await serve('allowed');
    expect(await outcome(clientOf(port, tls()))).toBe('up');
    // /proc/net/tcp: the timer of the server's end of the connection, 02 when it is that of the questions.
    const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
    const timers = () =>
      readFileSync('/proc/net/tcp', 'utf8')
        .split('\n')
        .map((line) => line.trim().split(/\s+/))
        .filter(([, at, , state]) => at?.endsWith(local) && state === '01')
        .map(([, , , , , timer]) => timer?.slice(0, 2));
    let seen = timers();
    expect(seen.length).toBeGreaterThan(0);
    // While an answer is on its way the timer is that of the answer.
    for (let i = 0; i < 400 && !seen.every((timer) => timer === '02'); i++) {
      await clock.sleep(5);
      seen = timers();
    }
    expect(new Set(seen)).toEqual(new Set(['02']));
  });

  it('leaves others alone when somebody says nothing, or nonsense', async () => {
    const { port, refused } = await serve('allowed');
    const idle = connect(port, '127.0.0.1');
    const odd = connect(port, '127.0.0.1', () => odd.write(Buffer.from([22, 3, 1, 0xff, 0xff, 1, 2, 3])));
    for (const socket of [idle, odd]) socket.on('error', () => undefined);
    expect(await outcome(clientOf(port, asClient('big-2')))).toBe('up');
    idle.destroy();
    odd.destroy();
    while (refused.filter((line) => /went before|TLS failed|ECONNRESET/.test(line)).length < 2) await clock.sleep(5);
  });
});
