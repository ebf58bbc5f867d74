import type { MemoryPolicy, MemoryStream } from '@mortar/rpc/transports/memory.ts';
import { describe, expect, it } from 'vitest';
import { MemoryDevice } from '../device/memory.ts';
import { requestBytesOf } from './client-rig.ts';
import { Command } from './constants.ts';
import { LateDevice, sizeBytes, transmissionRig } from './transmission-rig.ts';

describe('A transmission', () => {
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
    const { send, bytesOf, until, transmission, received } = transmissionRig({ limits, policy });
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
    const { send, until } = transmissionRig({ device: late, limits });
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
});
