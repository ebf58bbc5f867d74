/** What clients that mean harm, or are broken, can do to a server: end their own connection. */
import { createHmac } from 'node:crypto';
import type { Clock, Random } from '@mortar/core';
import { SystemClock } from '@mortar/host/ports/clock.ts';
import type { Stream } from '@mortar/rpc/stream.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { BlockDevice } from '../../device/device.ts';
import { MemoryDevice } from '../../device/memory.ts';
import { clientProof } from '../authentication.ts';
import { payloadsMax, requestsMax } from '../bounds.ts';
import { RemoteDevice } from '../client/remote-device.ts';
import { FrameFlag, FrameType, putRequest, readFrame } from '../frame.ts';
import { decodeMessage, encodeMessage, helloReply, joinReply } from '../messages.ts';
import { quietLog, RigNetwork, rigServer, rigSession } from '../rsio-rig.ts';
import { WatchedDevice } from '../session-rig.ts';

const clock: Clock = new SystemClock();
const random: Random = {
  bytes: (count) => crypto.getRandomValues(new Uint8Array(count)),
  integer: (below) => Math.floor(Math.random() * below),
};

interface Line {
  send(bytes: Buffer): void;
  received(): Buffer;
  isEnded(): boolean;
  stream: Stream;
}

async function lineTo(network: RigNetwork): Promise<Line> {
  const stream = await network.dial('a');
  const got: Buffer[] = [];
  const room = Buffer.alloc(64 * 1024);
  let isEnded = false;
  stream.start({
    space: () => room,
    received: (count) => void got.push(Buffer.from(room.subarray(0, count))),
    drained: () => undefined,
    closed: () => {
      isEnded = true;
    },
  });
  const send = (bytes: Buffer) => stream.write([bytes], () => undefined);
  return { send, received: () => Buffer.concat(got), isEnded: () => isEnded, stream };
}

function frame(
  type: FrameType,
  payload: Buffer,
  more: { flags?: number; tag?: number; device?: number; offset?: number } = {},
) {
  const head = Buffer.alloc(32);
  const { flags = 0, tag = 1, device = 0, offset = 0 } = more;
  const size = putRequest(head, 0, { type, flags, device, tag, offset, length: payload.length });
  return Buffer.concat([head.subarray(0, size), payload]);
}

async function pass(ms = 5): Promise<void> {
  await clock.sleep(ms);
}

/** A connection that has joined a session. */
async function joined(network: RigNetwork, session = '', generation = 1): Promise<Line & { session: string }> {
  const line = await lineTo(network);
  const asked = { version: 1, namespace: 'osl', client: 'venus', nonce: 'ab'.repeat(16) };
  line.send(frame(FrameType.HELLO, encodeMessage(asked)));
  await pass();
  const decoded = readFrame(line.received(), 0, line.received().length);
  const helloBytes = decoded.kind === 'reply' ? decoded.headBytes + decoded.bodyBytes : 0;
  const told = decodeMessage(helloReply, line.received().subarray(decoded.kind === 'reply' ? decoded.headBytes : 0))!;
  const joining = { session, path: 0, generation, checked: false };
  line.send(frame(FrameType.JOIN, encodeMessage({ ...joining, proof: clientProof('0xvenus', asked, told, joining) })));
  await pass();
  const answer = line.received().subarray(helloBytes);
  const joinedAs = readFrame(answer, 0, answer.length);
  const reply = decodeMessage(joinReply, answer.subarray(joinedAs.kind === 'reply' ? joinedAs.headBytes : 0))!;
  return { ...line, session: reply.session };
}

async function withServer(
  work: (network: RigNetwork) => Promise<void>,
  device: BlockDevice = new MemoryDevice({ sizeBytes: 2 ** 20 }),
): Promise<void> {
  const network = new RigNetwork();
  const server = await rigServer(network, ['a'], new Map([['db', device]]), { clock, random });
  const session = rigSession(network, ['a'], { clock, random });
  session.start();
  const opened = await RemoteDevice.open(
    { name: 'db', sessions: [session], mode: 'shared', clock, log: quietLog },
    2000,
  );
  if (!opened.ok) throw new Error(`errno ${opened.errno}`);
  try {
    await work(network);
    // Nobody else has noticed.
    expect(await opened.device.write(0, Buffer.alloc(512, 1), true)).toEqual({ ok: true });
    expect(session.status[0]!.state).toBe('connected');
  } finally {
    session.close();
    await server.close();
  }
}

describe('a server', () => {
  it('ends the connection of whoever sends anything else, and nobody else', () =>
    withServer((network) =>
      fc.assert(
        fc.asyncProperty(fc.uint8Array({ minLength: 40, maxLength: 300 }), fc.boolean(), async (bytes, isIn) => {
          const line = isIn ? await joined(network) : await lineTo(network);
          line.send(Buffer.from(bytes));
          await pass(1);
          line.stream.close();
        }),
        { numRuns: 60 },
      ),
    ));

  it('answers or refuses any request of a session', () =>
    withServer(async (network) => {
      const request = fc.record({
        type: fc.constantFrom(...Object.values(FrameType)),
        flags: fc.constantFrom(0, FrameFlag.FUA, FrameFlag.OPTION, FrameFlag.AGAIN),
        tag: fc.nat(2 ** 32 - 1),
        device: fc.nat(3),
        offset: fc.oneof(fc.nat(4096), fc.maxSafeNat()),
        payload: fc.oneof(
          fc.uint8Array({ maxLength: 600 }).map((bytes) => Buffer.from(bytes)),
          fc.constant(encodeMessage({ name: 'db', mode: 'shared', force: false })),
        ),
      });
      await fc.assert(
        fc.asyncProperty(fc.array(request, { minLength: 1, maxLength: 20 }), async (all) => {
          const line = await joined(network);
          for (const { type, payload, ...more } of all) line.send(frame(type, payload, more));
          await pass(1);
          line.stream.close();
        }),
        { numRuns: 60 },
      );
    }));

  it('takes no large message before it knows who sends it, and none cut short', () =>
    withServer(async (network) => {
      const line = await lineTo(network);
      line.send(frame(FrameType.HELLO, Buffer.alloc(70_000)));
      await pass();
      expect(line.isEnded()).toBe(true);
      const other = await joined(network);
      other.send(frame(FrameType.WRITE, Buffer.alloc(4096), { device: 1 }).subarray(0, 1000));
      await pass();
      expect(other.isEnded()).toBe(false);
      other.stream.close();
      const wrong = await joined(network);
      const bytes = frame(FrameType.PING, Buffer.alloc(0), { flags: FrameFlag.CHECKED });
      wrong.send(Buffer.concat([bytes, createHmac('sha256', 'x').digest().subarray(0, 4)]));
      await pass();
      expect(wrong.isEnded()).toBe(true);
    }));

  it.each([
    ['requests', 512, requestsMax + 1],
    ['payloads', 2 ** 19, payloadsMax / 2 ** 19 + 1],
  ])(
    'takes no more %s than it may have of who asks on and on, and all of them in the end',
    async (_of, bytes, most) => {
      const device = new WatchedDevice(new MemoryDevice({ sizeBytes: 2 ** 20 }));
      await withServer(async (network) => {
        const line = await joined(network);
        line.send(frame(FrameType.OPEN, encodeMessage({ name: 'db', mode: 'shared', force: false })));
        await pass();
        device.held = [];
        const before = device.writes;
        for (let tag = 2; tag < most + 102; tag++)
          line.send(frame(FrameType.WRITE, Buffer.alloc(bytes), { device: 1, tag }));
        await pass(300);
        expect(device.writes - before).toBe(most);
        while (device.writes - before < most + 100) {
          device.release();
          await pass(1);
        }
        expect(line.isEnded()).toBe(false);
      }, device);
    },
  );

  it('takes no more payloads from who leaves them behind and comes again than from who stays', async () => {
    const device = new WatchedDevice(new MemoryDevice({ sizeBytes: 2 ** 20 }));
    await withServer(async (network) => {
      const bytes = 2 ** 19;
      const before = device.writes;
      device.held = [];
      let session = '';
      for (let times = 1; times <= 6; times++) {
        const line = await joined(network, session, times);
        session = line.session;
        if (times === 1) line.send(frame(FrameType.OPEN, encodeMessage({ name: 'db', mode: 'shared', force: false })));
        await pass();
        for (let i = 0; i < 80; i++)
          line.send(frame(FrameType.WRITE, Buffer.alloc(bytes), { device: 1, tag: 100 * times + i }));
        await pass(50);
        line.stream.close();
        await pass();
      }
      // A connection's worth for the one that is there, and one for what others left.
      expect((device.writes - before) * bytes).toBeLessThanOrEqual(2 * payloadsMax + 2 * bytes);
      device.release();
    }, device);
  });
});
