import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { emptyIatt, Fd, rootGfid } from '@mortar/core';
import * as fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { ByteWriter } from './byte-writer.ts';
import { type BadFrameReason, Channel, Control, flagsOf, Kind } from './frame.ts';
import { frameOf, fuzzHello, helloFrame, randomFrame, throwBytes } from './fuzz.ts';
import { packMessage } from './message.ts';
import { writeCallHead } from './session/call-head.ts';
import { ClientSession } from './session/client.ts';
import { SessionServer } from './session/server.ts';
import type { Address, Transport } from './stream.ts';
import { CountingMetrics, LinesLog, seededRandom, someCall } from './test-rig.ts';
import { MemoryTransport } from './transports/memory.ts';
import { nodeClock } from './transports/node-ports.ts';
import { unixTransport } from './transports/unix.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

const places: [string, () => { transport: Transport; address: Address }][] = [
  ['memory', () => ({ transport: new MemoryTransport(), address: { kind: 'memory', name: 'b' } })],
  [
    'unix',
    () => {
      const folder = mkdtempSync(join(tmpdir(), 'mortar-fuzz-'));
      cleanups.push(() => rmSync(folder, { recursive: true, force: true }));
      return { transport: unixTransport(), address: { kind: 'unix', path: join(folder, 's') } };
    },
  ],
];

const patienceMs = 3000;
const request = flagsOf(Kind.request, Channel.fop);

function meta(write: (out: ByteWriter) => void): Buffer {
  const out = new ByteWriter();
  writeCallHead(out, someCall, 0);
  write(out);
  return Buffer.from(out.buffer.subarray(0, out.position));
}

const goodStat = meta((out) => {
  out.u8(0);
  out.u8(1);
  out.gfid(rootGfid);
});

/** What a peer sends, and what it is closed for. `first`: instead of a proper handshake. */
const violations: [string, BadFrameReason, Buffer, first?: boolean][] = [
  ['a request before the handshake', 'handshake', frameOf({ meta: goodStat }), true],
  [
    'a handshake that is no dictionary',
    'handshake',
    frameOf({ op: Control.hello, flags: 0, meta: packMessage(7) }),
    true,
  ],
  [
    'a handshake with a field of another type',
    'handshake',
    frameOf({ op: 1, flags: 0, meta: packMessage({ ...fuzzHello, user: {} }) }),
    true,
  ],
  ['a handshake with a payload', 'payload', frameOf({ op: 1, flags: 0, payload: Buffer.from('x') }), true],
  ['a meta part of 64 KiB before the handshake', 'meta', frameOf({ op: 1, flags: 0, metaBytes: (1 << 16) + 1 }), true],
  ['a second handshake', 'handshake', helloFrame()],
  ['a meta part above 1 MiB', 'meta', frameOf({ metaBytes: (1 << 20) + 1 })],
  ['a payload above 4 MiB', 'payload', frameOf({ payloadBytes: (4 << 20) + 1 })],
  ['a length that is not the sum', 'length', frameOf({ length: 33 })],
  ['flags that nobody knows', 'flags', frameOf({ flags: request | (1 << 9) })],
  ['a management call to a brick', 'channel', frameOf({ flags: flagsOf(Kind.request, Channel.management) })],
  ['a reply from a client', 'channel', frameOf({ flags: flagsOf(Kind.reply, Channel.fop) })],
  ['a meta part that ends early', 'decode', frameOf({ meta: goodStat.subarray(0, -1) })],
  ['a meta part with something behind it', 'decode', frameOf({ meta: Buffer.concat([goodStat, Buffer.from([0])]) })],
  ['a payload that the fop does not have', 'decode', frameOf({ meta: goodStat, payload: Buffer.from('x') })],
  ['a sequence number beyond 2^53', 'sequence', frameOf({ meta: goodStat, cookieHigh: 2 ** 22 })],
  ['an acknowledgement of what never was', 'sequence', frameOf({ id: 1, cookieLow: 9, meta: goodStat })],
  [
    'a compound of compounds',
    'decode',
    frameOf({ op: 49, meta: meta((out) => [0, 1, 49, 0, 0, 0].map((byte) => out.u8(byte))) }),
  ],
];

describe.each(places)('a server over %s', (_kind, place) => {
  async function start() {
    const { transport, address } = place();
    const throwAt = (bytes: Uint8Array, afterHello: boolean, patience = patienceMs) =>
      throwBytes({ transport, address, clock: nodeClock, bytes, afterHello, patienceMs: patience });
    const metrics = new CountingMetrics();
    const log = new LinesLog();
    const server = new SessionServer({
      clock: nodeClock,
      random: seededRandom(),
      metrics,
      log,
      name: 'server',
      graceMs: 10,
      admit: () => ({ isTrusted: false }),
      run: async () => ({ ok: true, iatt: emptyIatt() }) as never,
    });
    await server.listen(transport, address);
    cleanups.push(() => server.close());
    return { transport, address, metrics, log, server, throwAt };
  }

  /** An honest client is served all the same. */
  async function expectAlive(transport: Transport, address: Address): Promise<void> {
    let up: () => void = () => undefined;
    const ready = new Promise<void>((resolve) => {
      up = resolve;
    });
    const client = new ClientSession({
      clock: nodeClock,
      random: seededRandom(),
      name: 'honest',
      transport,
      resolve: async () => address,
      identity: { ...fuzzHello, clientId: 'honest' },
      fds: { idOf: () => 0, opened: () => undefined },
      events: { up: () => up() },
    });
    client.start();
    await ready;
    await expect(client.fop('fstat', someCall, { fd: new Fd(rootGfid) })).resolves.toMatchObject({ ok: true });
    client.stop();
  }

  it('takes a good frame', async () => {
    const { metrics, throwAt } = await start();
    expect(await throwAt(helloFrame(), false, 50)).toBe('open');
    expect(metrics.sum('rpc_bad_frames_total')).toBe(0);
  });

  it.each(violations)(
    'closes the connection for %s, counts it and says so once',
    async (_what, reason, bytes, first) => {
      const { transport, address, metrics, log, throwAt } = await start();
      expect(await throwAt(bytes, !first)).toBe('closed');
      expect([...metrics.counts.keys()].filter((name) => name.startsWith('rpc_bad'))).toEqual([
        `rpc_bad_frames_total:${reason}`,
      ]);
      expect(metrics.sum('rpc_bad_frames_total')).toBe(1);
      expect(log.lines.filter((line) => line.includes('bad frame'))).toHaveLength(1);
      await expectAlive(transport, address);
    },
  );

  it('refuses a wrong protocol version without calling it broken', async () => {
    const { metrics, throwAt } = await start();
    expect(await throwAt(helloFrame({ ...fuzzHello, protocols: [99] }), false)).toBe('closed');
    expect(metrics.sum('rpc_bad_frames_total')).toBe(0);
    expect(metrics.sum('rpc_handshakes_refused_total')).toBe(1);
  });

  it('survives any bytes as the first ones', async () => {
    const { transport, address, throwAt } = await start();
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 32, maxLength: 300 }), async (bytes) => {
        // 32 bytes of chance are no valid header: the odds are below 2^-64.
        expect(await throwAt(bytes, false)).toBe('closed');
      }),
      { numRuns: 50 },
    );
    await expectAlive(transport, address);
  });

  it('survives 10,000 random frames and holds nothing afterwards', async () => {
    const { transport, address, metrics, server, throwAt } = await start();
    const random = seededRandom(99);
    for (let sent = 0; sent < 10_000; ) {
      const frames = Array.from({ length: 40 }, () => randomFrame(random));
      sent += frames.length;
      await throwAt(Buffer.concat(frames), true, 20);
    }
    expect(metrics.sum('rpc_bad_frames_total')).toBeGreaterThan(200);
    expect(metrics.sum('rpc_bugs_total')).toBe(0);
    await expectAlive(transport, address);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(server.sessions().filter((session) => session.isConnected)).toEqual([]);
  });
});
