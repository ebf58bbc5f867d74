import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Decoded,
  FrameFlag as Flag,
  framePayloadMaxBytes,
  headerBytes,
  putReply,
  putRequest,
  type ReplyFrame,
  type RequestFrame,
  readFrame,
  FrameType as Type,
} from './frame.ts';

const hex = (bytes: Buffer) => bytes.toString('hex');
const requestBytes = (frame: RequestFrame) => {
  const bytes = Buffer.alloc(32, 0xaa);
  return bytes.subarray(0, putRequest(bytes, 0, frame));
};
const replyBytes = (frame: ReplyFrame) => {
  const bytes = Buffer.alloc(16, 0xaa);
  return bytes.subarray(0, putReply(bytes, 0, frame));
};
const read = (bytes: Buffer) => readFrame(bytes, 0, bytes.length);

const types = Object.values(Type);
const request: fc.Arbitrary<RequestFrame> = fc.record({
  type: fc.constantFrom(...types),
  flags: fc.constantFrom(0, Flag.CHECKED, Flag.FUA, Flag.AGAIN, Flag.OPTION | Flag.FUA),
  device: fc.nat(65535),
  tag: fc.nat(2 ** 32 - 1),
  offset: fc.oneof(
    fc.maxSafeNat(),
    fc.nat(2 ** 20).map((n) => n * 512),
    fc.constant(2 ** 49 - 512),
  ),
  length: fc.oneof(
    fc.nat(framePayloadMaxBytes),
    fc.nat(32768).map((n) => n * 512),
  ),
});

describe('frames', () => {
  it('have these bytes', () => {
    const write = {
      type: Type.WRITE,
      flags: Flag.FUA,
      device: 0x0102,
      tag: 0x0a0b0c0d,
      offset: 0x0504030201 * 512,
      length: 8192,
    };
    expect(hex(requestBytes(write))).toBe('0708' + '0201' + '0d0c0b0a' + '0102030405' + '100000');
    expect(hex(requestBytes({ ...write, flags: 0, offset: 1, length: 3 }))).toBe(
      '0702' + '0201' + '0d0c0b0a' + '0000000000000000' + '0100000000000000' + '0300000000000000',
    );
    const reply = { type: Type.READ, flags: Flag.CHECKED, device: 1, tag: 2, errno: 5, length: 0 };
    expect(hex(replyBytes(reply))).toBe('0605' + '0100' + '02000000' + '05000000' + '00000000');
  });

  it('have 16 bytes before a usual request, and say what follows', () => {
    const write = requestBytes({
      type: Type.WRITE,
      flags: Flag.CHECKED,
      device: 1,
      tag: 1,
      offset: 2 ** 49 - 512,
      length: 65536,
    });
    expect(write.length).toBe(headerBytes);
    expect(read(write)).toMatchObject({ kind: 'request', headBytes: 16, bodyBytes: 65540 });
    const trim = requestBytes({ type: Type.TRIM, flags: 0, device: 1, tag: 1, offset: 0, length: 2 ** 40 });
    expect(trim.length).toBe(32);
    expect(read(trim)).toMatchObject({ kind: 'request', frame: { length: 2 ** 40 }, bodyBytes: 0 });
  });

  it('come back as they were', () => {
    fc.assert(
      fc.property(request, (frame) => {
        const bytes = requestBytes(frame);
        for (let end = 0; end < bytes.length; end++) expect(readFrame(bytes, 0, end)).toEqual({ kind: 'more' });
        const decoded = read(bytes);
        expect(decoded).toMatchObject({ kind: 'request', frame, headBytes: bytes.length });
      }),
    );
    const reply = request.map(({ offset, ...rest }) => ({ ...rest, errno: offset % 200 }));
    fc.assert(
      fc.property(reply, (frame) => {
        expect(read(replyBytes(frame))).toMatchObject({ kind: 'reply', frame, headBytes: 16 });
      }),
    );
  });

  it.each<[string, string]>([
    ['00000000000000000000000000000000', 'there is no frame of type 0'],
    ['10000000000000000000000000000000', 'there is no frame of type 16'],
    ['06400000000000000000000000000000', 'flags 0x40 are not known'],
    ['06030000000000000000000000000000', 'a reply is never extended'],
    ['06010000000000000000000001000001', 'a reply of 16777217 bytes'],
    ['070000000000000000000000000180'.padEnd(32, '0'), 'a request of 16777728 bytes'],
    [`06020000000000000100000000000000${'0'.repeat(32)}`, 'an extended request has its range twice'],
    [`06020000000000000000000000000000${'ff'.repeat(16)}`, 'a range beyond 2^53'],
  ])('%s is refused: %s', (text, why) => {
    expect(read(Buffer.from(text, 'hex'))).toEqual({ kind: 'bad', why });
  });

  it('of any bytes are read within bounds', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const decoded: Decoded = read(Buffer.from(bytes));
        if (decoded.kind === 'more') expect(bytes.length).toBeLessThan(32);
        else if (decoded.kind !== 'bad') {
          expect(decoded.headBytes).toBeLessThanOrEqual(bytes.length);
          expect(decoded.bodyBytes).toBeLessThanOrEqual(framePayloadMaxBytes + 4);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
