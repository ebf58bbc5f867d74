import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { FrameError, fopLimits, helloLimits } from './frame.ts';
import { FrameReader, firstSlabBytes, slabBytes } from './frame-reader.ts';
import { Output } from './output.ts';

interface Message {
  id: number;
  meta: Buffer;
  payload: Buffer;
}

const sizes = fc.oneof(
  { weight: 6, arbitrary: fc.nat({ max: 300 }) },
  { weight: 1, arbitrary: fc.nat({ max: 2 * slabBytes }) },
);

function filled(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + seed) & 0xff;
  return bytes;
}

const messages: fc.Arbitrary<Message[]> = fc.array(
  fc.record({ id: fc.nat(), meta: sizes, payload: sizes }).map(({ id, meta, payload }) => ({
    id,
    meta: filled(meta, id),
    payload: filled(payload, id + 1),
  })),
  { minLength: 1, maxLength: 12 },
);

function bytesOf(list: readonly Message[]): Buffer {
  const output = new Output();
  for (const { id, meta, payload } of list) {
    output.beginFrame();
    output.raw(meta);
    output.endFrame(fopLimits, 0, 7, id, 0, 1, 2, payload.length > 0 ? [payload] : null);
  }
  return Buffer.concat(output.take());
}

it('gives back what was sent, however the stream is cut', () => {
  fc.assert(
    fc.property(
      messages,
      fc.array(fc.integer({ min: 1, max: 100_000 }), { minLength: 1 }),
      fc.nat(8),
      (sent, cuts, trusted) => {
        const stream = bytesOf(sent);
        const got: Message[] = [];
        const reader = new FrameReader(fopLimits, (header, meta, payload) => {
          got.push({ id: header.id, meta: meta.raw(meta.left), payload: Buffer.from(payload) });
          if (got.length === trusted) reader.limits = fopLimits;
          return true;
        });
        for (let at = 0, cut = 0; at < stream.length; cut++) {
          const space = reader.space();
          expect(space.length).toBeGreaterThan(0);
          const count = Math.min(space.length, cuts[cut % cuts.length]!, stream.length - at);
          stream.copy(space, 0, at, at + count);
          at += count;
          reader.received(count);
        }
        expect(got.map(({ id }) => id)).toEqual(sent.map(({ id }) => id));
        got.forEach((message, i) => {
          expect(message.meta.equals(sent[i]!.meta)).toBe(true);
          expect(message.payload.equals(sent[i]!.payload)).toBe(true);
        });
      },
    ),
    { numRuns: 40 },
  );
});

it('keeps chunks apart that the stream has not sent yet from those written later', () => {
  const output = new Output();
  const put = (text: string) => {
    output.beginFrame();
    output.raw(Buffer.from(text));
    output.endFrame(fopLimits, 0, 1, 1, 0, 0, 0, null);
  };
  put('first');
  const chunks = output.take();
  output.inFlight = 1;
  const before = Buffer.concat(chunks).toString('hex');
  for (let i = 0; i < 5000; i++) put('second, which is longer');
  expect(Buffer.concat(chunks).toString('hex')).toBe(before);
});

it('takes back a frame that turned out too large, and goes on', () => {
  const output = new Output();
  const limits = { metaBytes: 10, payloadBytes: 10 };
  output.beginFrame();
  output.raw(Buffer.alloc(11));
  expect(() => output.endFrame(limits, 0, 1, 1, 0, 0, 0, null)).toThrow('too large');
  expect(output.pendingBytes).toBe(0);
});

it('holds a few KiB for who is not trusted yet, grows with a frame that is allowed, and refuses a larger one by its header', () => {
  const seen: number[] = [];
  const reader = new FrameReader(helloLimits, (_header, meta) => seen.push(meta.left) > 0);
  const put = (bytes: Buffer) => {
    for (let at = 0; at < bytes.length; ) {
      const space = reader.space();
      const count = Math.min(space.length, bytes.length - at);
      bytes.copy(space, 0, at, at + count);
      at += count;
      reader.received(count);
    }
  };
  const hello = (metaBytes: number) => bytesOf([{ id: 1, meta: filled(metaBytes, 1), payload: Buffer.alloc(0) }]);
  expect(reader.space()).toHaveLength(firstSlabBytes);
  put(hello(helloLimits.metaBytes));
  expect([seen, reader.space().length]).toEqual([[helloLimits.metaBytes], firstSlabBytes]);
  expect(() => put(hello(helloLimits.metaBytes + 1).subarray(0, 64))).toThrow(FrameError);
  expect(firstSlabBytes + helloLimits.metaBytes).toBeLessThanOrEqual(20 * 1024);
  const open = new FrameReader(helloLimits, () => true);
  open.limits = fopLimits;
  expect(open.space()).toHaveLength(slabBytes);
});
