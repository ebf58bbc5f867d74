import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { pattern } from '../device/conformance.ts';
import type { BlockDevice } from '../device/device.ts';
import { MemoryDevice } from '../device/memory.ts';
import type { RequestFields } from './client-rig.ts';
import { Allocation, Command, CommandFlag as Flag } from './constants.ts';
import { dataOf, LateDevice, sizeBytes, styles, transmissionRig } from './transmission-rig.ts';

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
            const { send, bytesOf, until, reader, near, ended } = transmissionRig({ style, device: make() });
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
    const { ask } = transmissionRig({ style, allocation: false });
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
    const { send, bytesOf, until, reader } = transmissionRig({ style });
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
    const { ask, device } = transmissionRig({ style });
    expect((await ask({ type: Command.RESIZE, offset: sizeBytes + 4096 })).error).toBe(0);
    expect(device.sizeBytes).toBe(sizeBytes + 4096);
    const answer = await ask({ type: Command.READ, offset: sizeBytes, length: 4096 });
    expect(dataOf(answer, sizeBytes, 4096)).toEqual(Buffer.alloc(4096));
  });
});

describe.each(['structured', 'extended'] as const)('%s replies', (style) => {
  it('have holes as such, unless one chunk was asked for', async () => {
    const { ask } = transmissionRig({ style });
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
    const { ask } = transmissionRig({ style });
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
    const { ask } = transmissionRig({ style: 'extended' });
    expect((await ask({ type: Command.BLOCK_STATUS, payload: Buffer.alloc(12) })).error).toBe(22);
    expect((await ask({ type: Command.READ, payload: Buffer.alloc(100_000) })).error).toBe(22);
    expect((await ask({ type: Command.WRITE, offset: 0, length: 512 })).error).toBe(22);
    expect((await ask({ type: Command.FLUSH })).error).toBe(0);
  });

  it('zero and tell of more than 32 bits at once', async () => {
    const device = new MemoryDevice({ sizeBytes: 2 ** 41 });
    const { ask } = transmissionRig({ style: 'extended', device });
    expect((await ask({ type: Command.WRITE_ZEROES, offset: 4096, length: 2 ** 40 })).error).toBe(0);
    expect((await ask({ type: Command.TRIM, offset: 1, length: 2 ** 41 - 2 })).error).toBe(0);
  });
});
