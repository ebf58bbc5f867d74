import type { Stream, StreamSink } from '@mortar/rpc/stream.ts';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { FrameType } from './frame.ts';
import { FrameStream } from './frame-stream.ts';

/** Keeps what is sent, and gives what is to be received in pieces of any length. */
class Pipe implements Stream {
  readonly peer = { kind: 'memory', address: 'pipe', port: 0, isLocal: true, isLocalRoot: false } as const;
  readonly queuedBytes = 0;
  readonly sent: Uint8Array[] = [];
  sink: StreamSink | null = null;
  isDestroyed = false;

  start(sink: StreamSink): void {
    this.sink = sink;
  }

  write(chunks: readonly Uint8Array[], done: () => void): void {
    this.sent.push(...chunks.map((chunk) => Buffer.from(chunk)));
    done();
  }

  receive(bytes: Uint8Array, pieces: readonly number[]): void {
    for (let at = 0, i = 0; at < bytes.length && !this.isDestroyed; i++) {
      const space = this.sink!.space();
      expect(space.length).toBeGreaterThan(0);
      const count = Math.min(space.length, bytes.length - at, pieces[i % pieces.length]!);
      space.set(bytes.subarray(at, at + count));
      at += count;
      this.sink!.received(count);
    }
  }

  pause(): void {}
  resume(): void {}
  close(): void {}
  destroy(): void {
    this.isDestroyed = true;
  }
}

/** What a frame costs that has a payload: with `extended` its range is in bytes. */
const write = (tag: number, length: number) => ({
  type: FrameType.WRITE,
  flags: 0,
  device: 1,
  tag,
  offset: 512,
  length,
});
const reply = (tag: number, length: number) => ({ type: FrameType.READ, flags: 0, device: 1, tag, errno: 0, length });

it('receives frames of any length in pieces of any length, also while it is told of others', async () => {
  const lengths = fc.array(fc.oneof(fc.nat(300), fc.integer({ min: 60_000, max: 70_000 }), fc.nat(300_000)), {
    minLength: 1,
    maxLength: 6,
  });
  const small = fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 4 });
  const pieces = fc
    .tuple(small, fc.integer({ min: 10_000, max: 200_000 }), small)
    .map(([before, large, after]) => [...before, large, ...after]);
  const kinds = fc.array(fc.constantFrom('request', 'reply'), { minLength: 6, maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(lengths, kinds, pieces, fc.boolean(), async (all, kind, cuts, checked) => {
      const from = new Pipe();
      const sender = new FrameStream(from, { request: () => {}, reply: () => {}, ended: () => {} });
      sender.checked = checked;
      const payloads = all.map((length, i) => Buffer.alloc(length, `${i} ${length} `));
      payloads.forEach((payload, tag) => {
        if (kind[tag] === 'reply') sender.sendReply(reply(tag, payload.length), [payload]);
        else sender.sendRequest(write(tag, payload.length), [payload.subarray(0, 100), payload.subarray(100)]);
      });
      await new Promise((resolve) => setImmediate(resolve));
      const to = new Pipe();
      const got: { kind: string; tag: number; payload: Buffer }[] = [];
      const kept: { payload: Buffer; copy: Buffer }[] = [];
      const tell = (kind: string) => (frame: { tag: number }, payload: Buffer, isOwn: boolean) => {
        got.push({ kind, tag: frame.tag, payload: Buffer.from(payload) });
        if (isOwn) kept.push({ payload, copy: Buffer.from(payload) });
      };
      const receiver = new FrameStream(to, {
        request: tell('request'),
        reply: tell('reply'),
        ended: (why) => expect(why).toBe(null),
      });
      receiver.checked = checked;
      receiver.start();
      to.receive(Buffer.concat(from.sent), cuts);
      expect(got.map(({ kind, tag }) => [kind, tag])).toEqual(payloads.map((_payload, tag) => [kind[tag], tag]));
      for (const [i, { payload }] of got.entries()) expect(payload.equals(payloads[i]!)).toBe(true);
      // What is its own is not written to by what came afterwards.
      for (const { payload, copy } of kept) expect(payload.equals(copy)).toBe(true);
    }),
    { numRuns: 60 },
  );
});

it.each([
  ['within its payload', 200_000],
  ['in its header', 3],
  ['in its checksum', 300_016],
])('notices that a long frame was changed on its way: %s', (_where, at) => {
  const from = new Pipe();
  const sender = new FrameStream(from, { request: () => {}, reply: () => {}, ended: () => {} });
  sender.checked = true;
  sender.sendRequest(write(1, 300_032), [Buffer.alloc(300_032, 'x')]);
  const bytes = Buffer.concat(from.sent);
  bytes[at] = bytes[at]! ^ 0x10;
  const to = new Pipe();
  const told: (string | null)[] = [];
  const receiver = new FrameStream(to, {
    request: () => told.push('a request'),
    reply: () => told.push('a reply'),
    ended: (why) => told.push(why),
  });
  receiver.checked = true;
  receiver.start();
  to.receive(bytes, [1000]);
  expect(told).toEqual(['a frame with a wrong checksum']);
});

it('sends what is long at once, and what is short with all else of its turn', async () => {
  const pipe = new Pipe();
  let writes = 0;
  const { write: plain } = pipe;
  pipe.write = (chunks, done) => {
    writes++;
    plain.call(pipe, chunks, done);
  };
  const frames = new FrameStream(pipe, { request: () => {}, reply: () => {}, ended: () => {} });
  for (let tag = 0; tag < 10; tag++) frames.sendRequest(write(tag, 512), [Buffer.alloc(512)]);
  expect(writes).toBe(0);
  await new Promise((resolve) => setImmediate(resolve));
  expect(writes).toBe(1);
  for (let tag = 0; tag < 3; tag++) frames.sendRequest(write(tag, 300_032), [Buffer.alloc(300_032)]);
  expect(writes).toBe(4);
});

it('says that a connection ended within a reply', () => {
  const from = new Pipe();
  const told: (string | null)[] = [];
  const frames = new FrameStream(from, { request: () => {}, reply: () => {}, ended: (why) => told.push(why) });
  frames.start();
  const head = Buffer.alloc(16);
  head.set([FrameType.READ, 1], 0);
  head.writeUInt32LE(100_000, 12);
  from.receive(Buffer.concat([head, Buffer.alloc(500)]), [1000]);
  from.sink!.closed(null);
  expect(told).toEqual(['it ended within a frame']);
});
