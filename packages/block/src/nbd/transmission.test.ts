import { Errno, poisonReturnedBytes } from '@mortar/core';
import { type MemoryPolicy, MemoryStream } from '@mortar/rpc/transports/memory.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { pattern } from '../device/conformance.ts';
import { type Answer, type BlockDevice, refuse, type Traits } from '../device/device.ts';
import { MemoryDevice } from '../device/memory.ts';
import { PassingDevice } from '../device/passing.ts';
import { type Answered, ReplyReader, type RequestFields, requestBytesOf } from './client-rig.ts';
import { Allocation, Command, CommandFlag as Flag } from './constants.ts';
import { receiveBytes } from './receive-buffer.ts';
import type { Style } from './replies.ts';
import { Transmission, type TransmissionLimits } from './transmission.ts';

const sizeBytes = 2 * 1024 * 1024;

/** Answers some turns later, in an order of its own; does not take pieces of writes. */
class LateDevice extends PassingDevice {
  readonly #streams: boolean;
  #seed = 1;
  underWay = 0;

  constructor(below: BlockDevice, streams: boolean) {
    super(below);
    this.#streams = streams;
  }

  override get traits(): Traits {
    return { ...this.below.traits, streams: this.#streams };
  }

  async #late<T>(run: () => Answer<T>): Promise<T> {
    this.underWay++;
    this.#seed = (this.#seed * 75 + 74) % 65537;
    for (let turns = this.#seed % 5; turns > 0; turns--) await new Promise(setImmediate);
    const answer = await run();
    this.underWay--;
    return answer;
  }

  override read(offset: number, length: number) {
    return this.#late(() => this.below.read(offset, length));
  }

  override write(offset: number, bytes: Uint8Array, fua: boolean) {
    return this.#late(() => this.below.write(offset, bytes, fua));
  }

  override zero(offset: number, length: number, how: Parameters<BlockDevice['zero']>[2]) {
    return this.#late(() => this.below.zero(offset, length, how));
  }

  override flush() {
    return this.#late(() => this.below.flush());
  }
}

interface RigOptions {
  style?: Style;
  device?: BlockDevice;
  allocation?: boolean;
  limits?: TransmissionLimits;
  policy?: MemoryPolicy;
  rest?: Buffer;
}

function rig(options: RigOptions = {}) {
  const { style = 'simple', device = new MemoryDevice({ sizeBytes, pageBytes: 4096 }), allocation = true } = options;
  const [near, far] = options.policy ? MemoryStream.pair('test', options.policy) : MemoryStream.pair('test');
  const lengths = new Map<number, number>();
  const reader = new ReplyReader((cookie) => lengths.get(cookie) ?? 0);
  const end: { why: string | null | undefined; released: number } = { why: undefined, released: 0 };
  const opened = { name: 'vol', description: '', device, mayResize: true, release: () => undefined };
  const transmission = new Transmission({
    agreement: { opened, structured: style !== 'simple', extended: style === 'extended', allocation },
    stream: far,
    later: setImmediate,
    ...(options.limits ? { limits: options.limits } : {}),
    ended: (why) => {
      end.why = why;
      end.released++;
    },
  });
  transmission.start(options.rest ?? Buffer.alloc(0));
  const received = { bytes: 0 };
  const buffer = Buffer.alloc(65536);
  near.start({
    space: () => buffer,
    received: (count) => {
      received.bytes += count;
      reader.feed(Buffer.from(buffer.subarray(0, count)));
    },
    drained: () => undefined,
    closed: () => undefined,
  });
  const bytesOf = (fields: RequestFields) => {
    if (fields.type === Command.READ) lengths.set(fields.cookie, fields.length ?? 0);
    return requestBytesOf(fields, style === 'extended');
  };
  const send = (...bytes: Uint8Array[]) => near.write(bytes, () => undefined);
  const until = async (count: number) => {
    for (let turns = 0; reader.order.length < count && turns < 5000; turns++) await new Promise(setImmediate);
    expect(reader.order.length).toBe(count);
  };
  const ask = async (fields: Omit<RequestFields, 'cookie'>): Promise<Answered> => {
    const cookie = reader.order.length + 1000;
    send(bytesOf({ ...fields, cookie }));
    await until(reader.order.length + 1);
    return reader.answers.get(cookie)!;
  };
  const ended = async () => {
    for (let turns = 0; end.why === undefined && turns < 5000; turns++) await new Promise(setImmediate);
    return end.why;
  };
  return { near, reader, send, bytesOf, until, ask, end, ended, device, transmission, received };
}

/** The bytes of a read, of chunks that lie next to each other in any order. */
function dataOf(answer: Answered, offset: number, length: number): Buffer {
  const whole = Buffer.alloc(length);
  let got = 0;
  for (const part of answer.parts) {
    part.bytes.copy(whole, part.offset < 0 ? 0 : part.offset - offset);
    got += part.bytes.length;
  }
  expect(got).toBe(length);
  return whole;
}

const styles: readonly Style[] = ['simple', 'structured', 'extended'];
const devices: readonly (readonly [string, () => BlockDevice])[] = [
  ['that answers at once', () => new MemoryDevice({ sizeBytes, pageBytes: 4096 })],
  ['that answers late', () => new LateDevice(new MemoryDevice({ sizeBytes, pageBytes: 4096 }), false)],
  ['that takes pieces late', () => new LateDevice(new MemoryDevice({ sizeBytes, pageBytes: 4096 }), true)],
];

/** Requests of ranges that do not meet, so that their order is free; each unit is written, then read. */
const unit = 290_000;
const step = fc.record({
  length: fc.oneof(fc.nat(5000), fc.integer({ min: 60_000, max: unit })),
  kind: fc.constantFrom('write', 'write', 'zero', 'bad'),
  fua: fc.boolean(),
});

describe.each(styles)('%s replies', (style) => {
  it.each(devices)(
    'of a device %s are right, whatever the requests and the pieces they come in',
    async (_name, make) => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(step, { minLength: 1, maxLength: 6 }),
          fc.array(fc.integer({ min: 1, max: 100_000 }), { minLength: 1, maxLength: 5 }),
          async (steps, sizes) => {
            const { send, bytesOf, until, reader, near, ended } = rig({ style, device: make() });
            const model = Buffer.alloc(sizeBytes);
            const changes = steps.map(({ kind, length, fua }, i) => {
              const base = { cookie: i, flags: fua ? Flag.FUA : 0, offset: i * unit, length };
              if (kind === 'zero') return bytesOf({ ...base, type: Command.WRITE_ZEROES });
              const payload = pattern(length, i + 1);
              if (kind === 'bad')
                return bytesOf({ ...base, type: Command.WRITE, payload, offset: sizeBytes - length + 1 });
              model.set(payload, i * unit);
              return bytesOf({ ...base, type: Command.WRITE, payload });
            });
            const sendInPieces = (bytes: Buffer) => {
              for (let at = 0, i = 0; at < bytes.length; i++) {
                // A million pieces of a byte each would tell no more than the first thousand.
                const size = i < 1000 ? sizes[i % sizes.length]! : Math.max(20_000, sizes[i % sizes.length]!);
                send(Buffer.from(bytes.subarray(at, at + size)));
                at += size;
              }
            };
            sendInPieces(Buffer.concat(changes));
            await until(steps.length);
            steps.forEach(({ kind }, i) => {
              expect(reader.answers.get(i)!.error).toBe(kind === 'bad' ? 28 : 0);
            });
            const reads = steps.map((_, i) =>
              bytesOf({ type: Command.READ, cookie: 100 + i, offset: i * unit, length: unit }),
            );
            sendInPieces(Buffer.concat(reads));
            await until(2 * steps.length);
            steps.forEach((_, i) => {
              const answer = reader.answers.get(100 + i)!;
              expect(dataOf(answer, i * unit, unit).equals(model.subarray(i * unit, (i + 1) * unit))).toBe(true);
            });
            near.close();
            expect(await ended()).toBe(null);
          },
        ),
        { numRuns: 6 },
      );
    },
  );

  it('refuse what was not agreed on or is outside, and go on', async () => {
    const { ask } = rig({ style, allocation: false });
    const beyond = { offset: sizeBytes - 10, length: 11 };
    const plain = { offset: 0, length: 512 };
    const cases: [Omit<RequestFields, 'cookie'>, number][] = [
      [{ type: Command.READ, ...beyond }, 22],
      [{ type: Command.WRITE, offset: beyond.offset, payload: Buffer.alloc(11) }, 28],
      [{ type: Command.WRITE, offset: 2 ** 52, payload: Buffer.alloc(100_000) }, 28],
      [{ type: Command.WRITE_ZEROES, ...beyond }, 28],
      [{ type: Command.TRIM, ...beyond }, 22],
      [{ type: Command.CACHE, ...beyond }, 22],
      [{ type: Command.READ, ...plain, flags: 1 << 9 }, 22],
      [{ type: Command.WRITE, offset: 0, payload: Buffer.alloc(300_000), flags: Flag.DF }, 22],
      [{ type: Command.TRIM, ...plain, flags: Flag.NO_HOLE }, 22],
      [{ type: Command.BLOCK_STATUS, ...plain }, 22],
      [{ type: 77, ...plain }, 22],
      [{ type: Command.READ, ...plain, flags: Flag.DF }, style === 'simple' ? 22 : 0],
      [{ type: Command.READ, offset: 0, length: 33 * 1024 * 1024 }, 22],
      [{ type: Command.FLUSH }, 0],
      [{ type: Command.READ, ...plain, length: 0 }, 0],
      [{ type: Command.READ, ...plain, flags: Flag.FUA }, 0],
    ];
    for (const [fields, error] of cases) expect([fields, (await ask(fields)).error]).toEqual([fields, error]);
  });

  it('keep their form over thousands of them', async () => {
    const { send, bytesOf, until, reader } = rig({ style });
    const count = 3000;
    const all = Array.from({ length: count }, (_, cookie) => {
      const type = cookie % 3 === 0 ? Command.READ : Command.FLUSH;
      return bytesOf({ type, cookie, ...(type === Command.READ ? { length: 8 } : {}) });
    });
    send(Buffer.concat(all));
    await until(count);
    expect(reader.order).toEqual(all.map((_, cookie) => cookie));
  });

  it('of a resize take effect for who comes next', async () => {
    const { ask, device } = rig({ style });
    expect((await ask({ type: Command.RESIZE, offset: sizeBytes + 4096 })).error).toBe(0);
    expect(device.sizeBytes).toBe(sizeBytes + 4096);
    const answer = await ask({ type: Command.READ, offset: sizeBytes, length: 4096 });
    expect(dataOf(answer, sizeBytes, 4096)).toEqual(Buffer.alloc(4096));
  });
});

describe.each(['structured', 'extended'] as const)('%s replies', (style) => {
  it('have holes as such, unless one chunk was asked for', async () => {
    const { ask } = rig({ style });
    await ask({ type: Command.WRITE, offset: 8192, payload: Buffer.alloc(4096, 7) });
    const range = { offset: 4000, length: 12_000 };
    const answer = await ask({ type: Command.READ, ...range });
    expect(answer.parts.map(({ offset, bytes, hole }) => [offset, bytes.length, hole])).toEqual([
      [4000, 4192, true],
      [8192, 4096, false],
      [12_288, 3712, true],
    ]);
    const whole = await ask({ type: Command.READ, ...range, flags: Flag.DF });
    expect(whole.parts.length).toBe(1);
    expect(dataOf(whole, 4000, 12_000)).toEqual(dataOf(answer, 4000, 12_000));
  });

  it('tell what a range consists of', async () => {
    const { ask } = rig({ style });
    await ask({ type: Command.WRITE, offset: 8192, payload: Buffer.alloc(4096, 7) });
    const range = { type: Command.BLOCK_STATUS, offset: 0, length: 16384 };
    const hole = Allocation.HOLE | Allocation.ZERO;
    expect((await ask(range)).extents).toEqual([
      { length: 8192, flags: hole },
      { length: 4096, flags: 0 },
      { length: 4096, flags: hole },
    ]);
    expect((await ask({ ...range, flags: Flag.REQ_ONE })).extents).toEqual([{ length: 8192, flags: hole }]);
    expect((await ask({ ...range, length: 0 })).error).toBe(22);
  });
});

describe('extended headers', () => {
  it('consume a payload that nobody asked for, and want one of a write', async () => {
    const { ask } = rig({ style: 'extended' });
    expect((await ask({ type: Command.BLOCK_STATUS, payload: Buffer.alloc(12) })).error).toBe(22);
    expect((await ask({ type: Command.READ, payload: Buffer.alloc(100_000) })).error).toBe(22);
    expect((await ask({ type: Command.WRITE, offset: 0, length: 512 })).error).toBe(22);
    expect((await ask({ type: Command.FLUSH })).error).toBe(0);
  });

  it('zero and tell of more than 32 bits at once', async () => {
    const device = new MemoryDevice({ sizeBytes: 2 ** 41 });
    const { ask } = rig({ style: 'extended', device });
    expect((await ask({ type: Command.WRITE_ZEROES, offset: 4096, length: 2 ** 40 })).error).toBe(0);
    expect((await ask({ type: Command.TRIM, offset: 1, length: 2 ** 41 - 2 })).error).toBe(0);
  });
});

describe('Transmission', () => {
  it('begins with what came behind the last option', async () => {
    const rest = Buffer.concat([1, 2, 3].map((cookie) => requestBytesOf({ type: Command.FLUSH, cookie })));
    const { until, reader } = rig({ rest });
    await until(3);
    expect(reader.order).toEqual([1, 2, 3]);
  });

  it.each([
    ['as they come', 200_000, 'more'],
    ['whole', 300_000, 'one'],
    ['as they come', 1_500_000, 'more'],
  ])('writes long payloads %s: %i bytes', async (_how, length, expected) => {
    const seen: number[] = [];
    const device = new MemoryDevice({ sizeBytes });
    const { write } = device;
    device.write = (offset, bytes, fua) => {
      seen.push(bytes.length);
      return write.call(device, offset, bytes, fua);
    };
    const { ask, send, bytesOf, until } = rig({ device });
    const payload = pattern(length, 5);
    const bytes = bytesOf({ type: Command.WRITE, cookie: 1, offset: 512, payload });
    for (let at = 0; at < bytes.length; at += 70_000) send(bytes.subarray(at, at + 70_000));
    await until(1);
    expect(seen.reduce((sum, one) => sum + one, 0)).toBe(length);
    expect(seen.length > 1 ? 'more' : 'one').toBe(expected);
    const answer = await ask({ type: Command.READ, offset: 512, length });
    expect(dataOf(answer, 512, length).equals(payload)).toBe(true);
  });

  it('uses the memory of a payload again when its write was done, not when it failed', async () => {
    poisonReturnedBytes(true);
    try {
      for (const errno of [0, Errno.EIO] as const) {
        const seen: Uint8Array[] = [];
        const device = new MemoryDevice({ sizeBytes });
        device.write = async (_offset, bytes) => {
          seen.push(bytes);
          return errno === 0 ? { ok: true } : refuse(errno);
        };
        const { send, bytesOf, until } = rig({ device });
        send(bytesOf({ type: Command.WRITE, cookie: 1, offset: 0, payload: Buffer.alloc(300_000, 7) }));
        await until(1);
        expect(seen[0]!.every((byte) => byte === 7)).toBe(errno !== 0);
      }
    } finally {
      poisonReturnedBytes(false);
    }
  });

  it('begins with more than the receive buffer holds', async () => {
    const payload = pattern(receiveBytes, 3);
    const rest = Buffer.concat([
      requestBytesOf({ type: Command.WRITE, cookie: 1, offset: 7, payload }),
      requestBytesOf({ type: Command.FLUSH, cookie: 2 }),
    ]);
    for (const cut of [0, 1, 28, 5000]) {
      const { until, ask, send } = rig({ rest: rest.subarray(0, rest.length - cut) });
      send(rest.subarray(rest.length - cut));
      await until(2);
      const answer = await ask({ type: Command.READ, offset: 7, length: payload.length });
      expect(dataOf(answer, 7, payload.length).equals(payload)).toBe(true);
    }
  });

  it.each([
    ['another magic', Buffer.alloc(28, 1), 'what came is no request'],
    [
      'a payload of 4 GiB',
      requestBytesOf({ type: 1, cookie: 1, length: 2 ** 32 - 1 }),
      'a payload of 4294967295 bytes',
    ],
  ])('ends for %s, after it has answered what came before', async (_what, bytes, why) => {
    const device = new LateDevice(new MemoryDevice({ sizeBytes }), false);
    const { send, until, ended, reader } = rig({ device });
    send(requestBytesOf({ type: Command.FLUSH, cookie: 5 }), bytes, requestBytesOf({ type: Command.FLUSH, cookie: 6 }));
    await until(1);
    expect(await ended()).toBe(why);
    expect(reader.order).toEqual([5]);
  });

  it('answers all before DISC, and says nothing of it', async () => {
    const device = new LateDevice(new MemoryDevice({ sizeBytes }), false);
    const { send, ended, reader, end } = rig({ device });
    const flushes = [1, 2, 3, 4].map((cookie) => requestBytesOf({ type: Command.FLUSH, cookie }));
    send(...flushes, requestBytesOf({ type: Command.DISC, cookie: 9 }));
    expect(await ended()).toBe(null);
    expect(reader.order.toSorted()).toEqual([1, 2, 3, 4]);
    expect(end.released).toBe(1);
  });

  it('lets go of the export only when the last request of a lost connection has ended', async () => {
    const device = new LateDevice(new MemoryDevice({ sizeBytes }), false);
    const { send, near, ended, end } = rig({ device });
    send(...[1, 2, 3, 4, 5].map((cookie) => requestBytesOf({ type: Command.FLUSH, cookie })));
    send(requestBytesOf({ type: Command.WRITE, cookie: 7, length: 500_000 }), Buffer.alloc(1000));
    while (device.underWay === 0) await new Promise(setImmediate);
    near.cut();
    expect(await ended()).toBe('the link was cut');
    expect(device.underWay).toBe(0);
    expect(end.released).toBe(1);
  });

  it('takes no more than its bounds of a client that does not read, and goes on when he does', async () => {
    let isStuck = true;
    const stuck: (() => void)[] = [];
    let toClient: MemoryStream | undefined;
    const policy: MemoryPolicy = {
      transfer: (from, _bytes, deliver) => {
        toClient ??= from;
        // The first to send is the client.
        if (from !== toClient && isStuck) stuck.push(deliver);
        else queueMicrotask(deliver);
      },
    };
    const limits = { requestsMax: 8, heldBytesMax: 1024 * 1024 };
    const { send, bytesOf, until, transmission, received } = rig({ limits, policy });
    const count = 200;
    for (let cookie = 0; cookie < count; cookie++)
      send(bytesOf({ type: Command.READ, cookie, offset: 0, length: 65536 }));
    for (let turns = 0; turns < 300; turns++) await new Promise(setImmediate);
    expect(transmission.underWay.bytes).toBeGreaterThan(limits.heldBytesMax / 2);
    expect(transmission.underWay.bytes).toBeLessThan(limits.heldBytesMax * 1.2);
    isStuck = false;
    for (const deliver of stuck.splice(0)) deliver();
    await until(count);
    expect(received.bytes).toBe(count * (65536 + 16));
  });

  it('has no more requests under way than its bound', async () => {
    const late = new LateDevice(new MemoryDevice({ sizeBytes }), false);
    const limits = { requestsMax: 4, heldBytesMax: 1024 * 1024 };
    const { send, until } = rig({ device: late, limits });
    let most = 0;
    for (let cookie = 0; cookie < 100; cookie++)
      send(requestBytesOf({ type: Command.WRITE, cookie, offset: cookie * 512, payload: Buffer.alloc(512, 1) }));
    const watch = setInterval(() => undefined, 1000);
    for (let turns = 0; turns < 200; turns++) {
      most = Math.max(most, late.underWay);
      await new Promise(setImmediate);
    }
    clearInterval(watch);
    await until(100);
    expect(most).toBe(4);
  });

  it('is not impressed by any bytes', async () => {
    const request = fc
      .record({
        type: fc.integer({ min: 0, max: 9 }),
        flags: fc.integer({ min: 0, max: 63 }),
        cookie: fc.nat(1000),
        offset: fc.oneof(fc.nat(sizeBytes), fc.maxSafeNat()),
        length: fc.oneof(fc.nat(70_000), fc.integer({ min: 0, max: 2 ** 32 - 1 })),
      })
      .map((fields) => requestBytesOf(fields));
    const piece = fc.oneof(
      request,
      fc.uint8Array({ maxLength: 100 }).map(Buffer.from),
      fc.nat(70_000).map((n) => Buffer.alloc(n)),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 10 }), fc.constantFrom(...styles), async (pieces, style) => {
        const [near, far] = MemoryStream.pair('fuzz');
        let isEnded = false;
        const opened = {
          name: 'v',
          description: '',
          device: new MemoryDevice({ sizeBytes, pageBytes: 4096 }),
          mayResize: false,
          release: () => undefined,
        };
        const transmission = new Transmission({
          agreement: { opened, structured: style !== 'simple', extended: style === 'extended', allocation: true },
          stream: far,
          later: setImmediate,
          ended: () => {
            isEnded = true;
          },
        });
        transmission.start(Buffer.alloc(0));
        const buffer = Buffer.alloc(65536);
        near.start({
          space: () => buffer,
          received: () => undefined,
          drained: () => undefined,
          closed: () => undefined,
        });
        for (const bytes of pieces) near.write([Buffer.from(bytes)], () => undefined);
        for (let turns = 0; turns < 10; turns++) await new Promise(setImmediate);
        near.close();
        for (let turns = 0; turns < 100 && !isEnded; turns++) await new Promise(setImmediate);
        expect(isEnded).toBe(true);
      }),
      { numRuns: 60 },
    );
  });
});
