import { Errno, poisonReturnedBytes } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { pattern } from '../device/conformance.ts';
import { refuse } from '../device/device.ts';
import { MemoryDevice } from '../device/memory.ts';
import { requestBytesOf } from './client-rig.ts';
import { Command } from './constants.ts';
import { receiveBytes } from './receive-buffer.ts';
import { dataOf, sizeBytes, transmissionRig } from './transmission-rig.ts';

describe('A long write', () => {
  it.each([
    ['as they come', 200_000, 'more'],
    ['whole', 300_000, 'one'],
    ['as they come', 1_500_000, 'more'],
  ])('goes to the device %s: %i bytes', async (_how, length, expected) => {
    const seen: number[] = [];
    const device = new MemoryDevice({ sizeBytes });
    const { write } = device;
    device.write = (offset, bytes, fua) => {
      seen.push(bytes.length);
      return write.call(device, offset, bytes, fua);
    };
    const { ask, send, bytesOf, until } = transmissionRig({ device });
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
        const { send, bytesOf, until } = transmissionRig({ device });
        send(bytesOf({ type: Command.WRITE, cookie: 1, offset: 0, payload: Buffer.alloc(300_000, 7) }));
        await until(1);
        expect(seen[0]!.every((byte) => byte === 7)).toBe(errno !== 0);
      }
    } finally {
      poisonReturnedBytes(false);
    }
  });

  it('may have come with the last option, also more than the receive buffer holds', async () => {
    const payload = pattern(receiveBytes, 3);
    const rest = Buffer.concat([
      requestBytesOf({ type: Command.WRITE, cookie: 1, offset: 7, payload }),
      requestBytesOf({ type: Command.FLUSH, cookie: 2 }),
    ]);
    for (const cut of [0, 1, 28, 5000]) {
      const { until, ask, send } = transmissionRig({ rest: rest.subarray(0, rest.length - cut) });
      send(rest.subarray(rest.length - cut));
      await until(2);
      const answer = await ask({ type: Command.READ, offset: 7, length: payload.length });
      expect(dataOf(answer, 7, payload.length).equals(payload)).toBe(true);
    }
  });

  it.each([
    ['as it comes', 200_000],
    ['whole', 300_000],
  ])('ends its own connection only when the device throws: %s', async (_how, length) => {
    const device = new MemoryDevice({ sizeBytes });
    device.write = () => {
      throw new Error('a bug of the device');
    };
    const { send, bytesOf, ended } = transmissionRig({ device });
    const bytes = bytesOf({ type: Command.WRITE, cookie: 1, offset: 0, payload: Buffer.alloc(length) });
    for (let at = 0; at < bytes.length; at += 70_000) send(bytes.subarray(at, at + 70_000));
    expect(await ended()).toContain('a bug of the device');
  });
});
