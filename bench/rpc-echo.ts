/**
 * Round trips of 100 bytes over one unix socket, 64 outstanding, both ends in this process: through Mortar's connection
 * and through a bare socket that only counts bytes. `node bench/rpc-echo.ts [seconds]`. Prints rates and their ratio.
 */
import { fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { emptyIatt, Fd, type FopName, rootCall, rootGfid } from '@mortar/core';
import { Connection, type ConnectionHandler, type ConnectionOptions } from '@mortar/rpc/connection.ts';
import { Channel, Control, fopLimits, Kind } from '@mortar/rpc/frame.ts';
import { ClientSession } from '@mortar/rpc/session/client.ts';
import { SessionServer } from '@mortar/rpc/session/server.ts';
import { nodeClock, nodeRandom } from '@mortar/rpc/transports/node-ports.ts';
import { unixTransport } from '@mortar/rpc/transports/unix.ts';

const outstanding = 64;
const messageBytes = 100;
const seconds = Number(process.argv[2] ?? 3);
const role = process.argv[3];
const folder = process.argv[4] ?? '';
const body = Buffer.alloc(messageBytes, 'm');

const options = (isServer: boolean): ConnectionOptions => ({
  clock: nodeClock,
  name: 'bench',
  channel: Channel.fop,
  limits: fopLimits,
  isServer,
});

async function serveFrames(path: string): Promise<void> {
  await unixTransport().listen({ kind: 'unix', path }, (stream) => {
    const handler: ConnectionHandler = {
      hello: () => {
        connection.sendControl(Kind.reply, Control.hello, 0, 0, null);
        connection.opened();
      },
      frame: (header, meta) =>
        connection.send(Kind.reply, header.op, header.id, 0, 0, 0, 0, (output) => {
          output.raw(meta.buffer.subarray(meta.position, meta.end));
          return null;
        }),
      closed: () => process.exit(0),
    };
    const connection: Connection = new Connection(stream, handler, options(true));
  });
}

async function askFrames(path: string): Promise<number> {
  const stream = await unixTransport().connect({ kind: 'unix', path });
  const pending = new Map<number, () => void>();
  let id = 0;
  let answered = 0;
  const ask = (): void => {
    const now = id++;
    pending.set(now, ask);
    connection.send(Kind.request, 1, now, 0, 0, 0, 0, (output) => {
      output.raw(body);
      return null;
    });
  };
  let opened: () => void = () => undefined;
  const ready = new Promise<void>((resolve) => {
    opened = resolve;
  });
  const connection: Connection = new Connection(
    stream,
    {
      hello: () => {
        connection.opened();
        opened();
      },
      frame: (header) => {
        const next = pending.get(header.id)!;
        pending.delete(header.id);
        answered++;
        next();
      },
      closed: () => undefined,
    },
    options(false),
  );
  connection.sendControl(Kind.request, Control.hello, 0, 0, null);
  await ready;
  for (let i = 0; i < outstanding; i++) ask();
  const rate = await measure(() => answered);
  connection.close({ code: 'closed', message: 'done' }, true);
  return rate;
}

function serveRaw(path: string): void {
  createServer((socket) => {
    socket.on('data', (data) => socket.write(data));
    socket.on('error', () => undefined);
    socket.on('close', () => process.exit(0));
  }).listen(path);
}

/** As many bytes in a message as a frame has, sent in as large writes as the answers come in. */
async function askRaw(path: string): Promise<number> {
  const size = messageBytes + 32;
  const socket = new Socket();
  await new Promise<void>((resolve) => socket.connect({ path }, resolve));
  const many = Buffer.alloc(size * outstanding, 'm');
  let bytes = 0;
  let rest = 0;
  socket.on('data', (data) => {
    bytes += data.length;
    rest += data.length;
    const whole = Math.floor(rest / size);
    rest -= whole * size;
    for (let left = whole; left > 0; left -= outstanding)
      socket.write(many.subarray(0, Math.min(left, outstanding) * size));
  });
  socket.write(many);
  const rate = await measure(() => bytes / size);
  socket.destroy();
  return rate;
}

async function serveFops(path: string): Promise<void> {
  const data = Buffer.alloc(messageBytes, 'd');
  const iatt = emptyIatt(rootGfid);
  const answers: Partial<Record<FopName, unknown>> = {
    readv: { ok: true, data, iatt },
    writev: { ok: true, written: messageBytes, pre: iatt, post: iatt },
  };
  const server = new SessionServer({
    clock: nodeClock,
    random: nodeRandom,
    name: 'bench',
    graceMs: 0,
    admit: () => ({ isTrusted: false }),
    run: async (fop) => answers[fop] as never,
    onSessionEnd: () => process.exit(0),
  });
  await server.listen(unixTransport(), { kind: 'unix', path });
}

async function askFops(path: string, fop: 'readv' | 'writev'): Promise<number> {
  const fd = new Fd(rootGfid, 2);
  let up: () => void = () => undefined;
  const ready = new Promise<void>((resolve) => {
    up = resolve;
  });
  const session = new ClientSession({
    clock: nodeClock,
    random: nodeRandom,
    name: 'bench',
    transport: unixTransport(),
    resolve: async () => ({ kind: 'unix', path }),
    identity: {
      program: 'bench',
      processId: process.pid,
      clientId: 'bench',
      subvolume: 'b',
      volumeId: '',
      subdirectory: '',
      user: '',
      password: '',
      opVersion: 0,
    },
    fds: { idOf: () => 0, opened: () => undefined },
    events: { up: () => up() },
  });
  session.start();
  await ready;
  let answered = 0;
  let stopped = false;
  const call = { ...rootCall(nodeClock), lockOwner: '0011223344556677' };
  const worker = async (): Promise<void> => {
    while (!stopped) {
      if (fop === 'readv') await session.fop('readv', call, { fd, size: messageBytes, offset: 0 });
      else await session.fop('writev', call, { fd, offset: 0, data: body });
      answered++;
    }
  };
  for (let i = 0; i < outstanding; i++) void worker();
  const rate = await measure(() => answered);
  stopped = true;
  session.stop();
  return rate;
}

async function measure(count: () => number): Promise<number> {
  await nodeClock.sleep(1000);
  const before = count();
  const startMs = nodeClock.nowMs();
  await nodeClock.sleep(seconds * 1000);
  return ((count() - before) * 1000) / (nodeClock.nowMs() - startMs);
}

async function main(): Promise<void> {
  const place = mkdtempSync(join(tmpdir(), 'mortar-bench-'));
  const rates: Record<string, number> = {};
  for (const kind of ['raw', 'frames', 'readv', 'writev'] as const) {
    const path = join(place, kind);
    const child = fork(process.argv[1]!, [String(seconds), kind, path], { stdio: 'inherit' });
    await new Promise((resolve) => child.once('message', resolve));
    if (kind === 'raw') rates[kind] = await askRaw(path);
    else rates[kind] = kind === 'frames' ? await askFrames(path) : await askFops(path, kind);
    // It ends itself when its connection closes, and writes its profile if one was asked for.
    await new Promise((resolve) => child.once('exit', resolve));
  }
  rmSync(place, { recursive: true, force: true });
  const names = { raw: 'raw socket', frames: 'connection', readv: 'session, readv', writev: 'session, writev' };
  for (const [kind, name] of Object.entries(names)) {
    const rate = rates[kind]!;
    const share = (rate / rates.raw!).toFixed(2);
    console.log(
      `${name.padEnd(16)} ${Math.round(rate).toLocaleString('en').padStart(10)} round trips/s, ${share} of raw`,
    );
  }
}

if (role === 'raw') serveRaw(folder);
else if (role === 'frames') await serveFrames(folder);
else if (role !== undefined) await serveFops(folder);
if (role === undefined) await main();
else setTimeout(() => process.send?.('ready'), 200);
