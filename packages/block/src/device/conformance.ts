/**
 * What every kind of device and every wrapper passes: random requests against a plain array. Byte by byte the model knows
 * a value, or two that are possible (after a trim), or nothing.
 */
import { Errno } from '@mortar/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { BlockDevice, ReadReply, StatusReply } from './device.ts';

export interface Rig {
  readonly device: BlockDevice;
  /** Beyond closing the device. */
  readonly end?: () => Promise<void> | void;
}

export interface ConformanceOptions {
  /** A new device, all zeroes. */
  readonly make: () => Promise<Rig> | Rig;
  readonly runs?: number;
}

type Command =
  | { do: 'read'; at: number; length: number }
  | { do: 'write'; at: number; length: number; seed: number; fua: boolean }
  | { do: 'zero'; at: number; length: number; mayTrim: boolean; fast: boolean; fua: boolean }
  | { do: 'trim'; at: number; length: number; fua: boolean }
  | { do: 'flush' }
  | { do: 'status'; at: number; length: number; extentsMax: number };

function commands(size: number): fc.Arbitrary<Command[]> {
  // Borders of pages, units and members are at round numbers: offsets near those are what goes wrong.
  const offset = fc.oneof(
    fc.nat(size),
    fc.tuple(fc.nat(Math.ceil(size / 4096)), fc.integer({ min: -2, max: 2 })).map(([page, by]) => page * 4096 + by),
  );
  const range = fc
    .tuple(offset, fc.oneof(fc.nat(600), fc.nat(20_000), fc.constantFrom(0, 4096, 8192)))
    .map(([at, length]) => {
      const start = Math.min(Math.max(0, at), size);
      return { at: start, length: Math.min(length, size - start) };
    });
  const flag = fc.boolean();
  const fua = flag;
  return fc.array(
    fc.oneof(
      range.map((r): Command => ({ do: 'read', ...r })),
      fc.tuple(range, fc.nat(255), fua).map(([r, seed, f]): Command => ({ do: 'write', ...r, seed, fua: f })),
      fc
        .tuple(range, flag, flag, fua)
        .map(([r, mayTrim, fast, f]): Command => ({ do: 'zero', ...r, mayTrim, fast, fua: f })),
      fc.tuple(range, fua).map(([r, f]): Command => ({ do: 'trim', ...r, fua: f })),
      fc.constant<Command>({ do: 'flush' }),
      fc
        .tuple(range, fc.constantFrom(1, 2, 100))
        .map(([r, extentsMax]): Command => ({ do: 'status', ...r, extentsMax })),
    ),
    { maxLength: 40, size: 'max' },
  );
}

/** The bytes of a read, copied: pieces may be the device's own memory. */
export function bytesOf(reply: ReadReply): Buffer {
  if (!reply.ok) throw new Error(`a read failed with errno ${reply.errno}`);
  return Buffer.concat(reply.pieces);
}

export function pattern(length: number, seed: number): Buffer {
  return Buffer.from(Uint8Array.from({ length }, (_, i) => (i * 7 + seed + (i >> 8)) & 0xff));
}

class Model {
  readonly values: Uint8Array;
  /** Trimmed: may have become zero. */
  readonly maybeZero: Uint8Array;

  constructor(size: number) {
    this.values = new Uint8Array(size);
    this.maybeZero = new Uint8Array(size);
  }

  put(at: number, bytes: Uint8Array): void {
    this.values.set(bytes, at);
    this.maybeZero.fill(0, at, at + bytes.length);
  }

  /** What was read is what it is from then on. */
  check(at: number, bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i++) {
      const isSame = bytes[i] === this.values[at + i] || (bytes[i] === 0 && this.maybeZero[at + i] === 1);
      if (!isSame) throw new Error(`byte ${at + i} is ${bytes[i]}, not ${this.values[at + i]}`);
    }
    this.put(at, bytes);
  }
}

function checkStatus(model: Model, at: number, length: number, extentsMax: number, reply: StatusReply): void {
  if (!reply.ok) throw new Error(`status failed with errno ${reply.errno}`);
  const { extents } = reply;
  expect(extents.length).toBeGreaterThan(0);
  expect(extents.length).toBeLessThanOrEqual(extentsMax);
  let from = at;
  for (const extent of extents) {
    expect(extent.length).toBeGreaterThan(0);
    if (extent.zero)
      for (let i = from; i < from + extent.length; i++)
        if (model.values[i] !== 0 && model.maybeZero[i] !== 1) throw new Error(`byte ${i} is called zero`);
    from += extent.length;
  }
  expect(from - at).toBeLessThanOrEqual(length);
}

async function apply(device: BlockDevice, model: Model, command: Command): Promise<void> {
  if (command.do === 'flush') {
    expect(await device.flush()).toEqual({ ok: true });
    return;
  }
  const { at, length } = command;
  switch (command.do) {
    case 'read': {
      const bytes = bytesOf(await device.read(at, length));
      expect(bytes.length).toBe(length);
      return model.check(at, bytes);
    }
    case 'write': {
      const bytes = pattern(length, command.seed);
      expect(await device.write(at, bytes, command.fua)).toEqual({ ok: true });
      // The device has no right to the buffer any more.
      model.put(at, Buffer.from(bytes));
      bytes.fill(0xee);
      return;
    }
    case 'zero': {
      const answer = await device.zero(at, length, command);
      if (!answer.ok && command.fast) expect(answer.errno).toBe(Errno.EOPNOTSUPP);
      else expect(answer).toEqual({ ok: true });
      if (answer.ok) model.put(at, new Uint8Array(length));
      return;
    }
    case 'trim':
      expect(await device.trim(at, length, command.fua)).toEqual({ ok: true });
      model.maybeZero.fill(1, at, at + length);
      return;
    case 'status':
      if (length > 0)
        checkStatus(model, at, length, command.extentsMax, await device.status(at, length, command.extentsMax));
      return;
  }
}

async function withDevice(
  make: ConformanceOptions['make'],
  run: (device: BlockDevice) => Promise<void>,
): Promise<void> {
  const rig = await make();
  try {
    await run(rig.device);
  } finally {
    await rig.device.close();
    await rig.end?.();
  }
}

export function deviceConformance(name: string, { make, runs = 40 }: ConformanceOptions): void {
  describe(`${name} is a block device that`, () => {
    it('keeps what was written, under any sequence of requests', async () => {
      const probe = await make();
      const size = probe.device.sizeBytes;
      await probe.device.close();
      await probe.end?.();
      await fc.assert(
        fc.asyncProperty(commands(size), (all) =>
          withDevice(make, async (device) => {
            const model = new Model(size);
            for (const command of all) await apply(device, model, command);
            model.check(0, bytesOf(await device.read(0, size)));
          }),
        ),
        { numRuns: runs },
      );
    });

    it('serves many requests of different ranges at a time', () =>
      withDevice(make, async (device) => {
        const unit = 1000;
        const count = Math.floor(device.sizeBytes / unit);
        const numbers = Array.from({ length: count }, (_, i) => i);
        const wrote = numbers.map((i) => device.write(i * unit, pattern(unit, i), i % 7 === 0));
        expect((await Promise.all(wrote)).every((answer) => answer.ok)).toBe(true);
        const replies = await Promise.all(numbers.map((i) => device.read(i * unit, unit)));
        for (const i of numbers) expect(bytesOf(replies[i]!).equals(pattern(unit, i))).toBe(true);
        expect((await Promise.all([device.flush(), device.flush(), device.flush()])).every((a) => a.ok)).toBe(true);
      }));

    it('refuses what is outside of it, and changes nothing then', () =>
      withDevice(make, async (device) => {
        const size = device.sizeBytes;
        const einval = { ok: false, errno: Errno.EINVAL };
        const enospc = { ok: false, errno: Errno.ENOSPC };
        const how = { mayTrim: true, fast: false, fua: false };
        expect(await device.read(size, 1)).toEqual(einval);
        expect(await device.read(size - 1, 2)).toEqual(einval);
        expect(await device.read(Number.MAX_SAFE_INTEGER, 2)).toEqual(einval);
        expect(await device.write(size - 1, Buffer.alloc(2, 1), false)).toEqual(enospc);
        expect(await device.write(size, Buffer.alloc(1, 1), true)).toEqual(enospc);
        expect(await device.zero(size - 1, 2, how)).toEqual(enospc);
        expect(await device.trim(size - 1, 2, false)).toEqual(einval);
        expect(await device.status(size, 1, 10)).toEqual(einval);
        expect(await device.cache(size, 1)).toEqual(einval);
        expect(await device.read(-1, 1)).toEqual(einval);
        expect(await device.read(0.5, 1)).toEqual(einval);
        expect(bytesOf(await device.read(size - 1, 1))).toEqual(Buffer.alloc(1));
        expect(await device.cache(0, size)).toEqual({ ok: true });
      }));

    it('grows with zeroes, where it can be resized', () =>
      withDevice(make, async (device) => {
        const before = device.sizeBytes;
        if (!device.traits.resizable) {
          expect(await device.resize(before * 2)).toEqual({ ok: false, errno: Errno.EPERM });
          return;
        }
        expect(await device.write(before - 5, Buffer.from('tail!'), false)).toEqual({ ok: true });
        expect(await device.resize(before * 2)).toEqual({ ok: true });
        expect(device.sizeBytes).toBe(before * 2);
        const bytes = bytesOf(await device.read(before - 5, before + 5));
        expect(bytes.subarray(0, 5).toString()).toBe('tail!');
        expect(bytes.subarray(5).every((byte) => byte === 0)).toBe(true);
        expect(await device.write(before * 2 - 1, Buffer.from('x'), true)).toEqual({ ok: true });
      }));
  });
}
