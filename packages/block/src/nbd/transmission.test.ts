import { MemoryStream } from '@mortar/rpc/transports/memory.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MemoryDevice } from '../device/memory.ts';
import { requestBytesOf } from './client-rig.ts';
import { Command } from './constants.ts';
import { Transmission } from './transmission.ts';
import { LateDevice, sizeBytes, styles, transmissionRig } from './transmission-rig.ts';

describe('Transmission', () => {
  it('begins with what came behind the last option', async () => {
    const rest = Buffer.concat([1, 2, 3].map((cookie) => requestBytesOf({ type: Command.FLUSH, cookie })));
    const { until, reader } = transmissionRig({ rest });
    await until(3);
    expect(reader.order).toEqual([1, 2, 3]);
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
    const { send, until, ended, reader } = transmissionRig({ device });
    send(requestBytesOf({ type: Command.FLUSH, cookie: 5 }), bytes, requestBytesOf({ type: Command.FLUSH, cookie: 6 }));
    await until(1);
    expect(await ended()).toBe(why);
    expect(reader.order).toEqual([5]);
  });

  it('answers all before DISC, and says nothing of it', async () => {
    const device = new LateDevice(new MemoryDevice({ sizeBytes }), false);
    const { send, ended, reader, end } = transmissionRig({ device });
    const flushes = [1, 2, 3, 4].map((cookie) => requestBytesOf({ type: Command.FLUSH, cookie }));
    send(...flushes, requestBytesOf({ type: Command.DISC, cookie: 9 }));
    expect(await ended()).toBe(null);
    expect(reader.order.toSorted()).toEqual([1, 2, 3, 4]);
    expect(end.released).toBe(1);
  });

  it('lets go of the export only when the last request of a lost connection has ended', async () => {
    const device = new LateDevice(new MemoryDevice({ sizeBytes }), false);
    const { send, near, ended, end } = transmissionRig({ device });
    send(...[1, 2, 3, 4, 5].map((cookie) => requestBytesOf({ type: Command.FLUSH, cookie })));
    send(requestBytesOf({ type: Command.WRITE, cookie: 7, length: 500_000 }), Buffer.alloc(1000));
    while (device.underWay === 0) await new Promise(setImmediate);
    near.cut();
    expect(await ended()).toBe('the link was cut');
    expect(device.underWay).toBe(0);
    expect(end.released).toBe(1);
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
