import { Errno, poisonReturnedBytes } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { bytesOf, deviceConformance, pattern } from '../device/conformance.ts';
import { type Done, isHole } from '../device/device.ts';
import { MemoryDevice } from '../device/memory.ts';
import { RemoteDevice } from './client/remote-device.ts';
import { FrameType } from './frame.ts';
import { quietLog, RigNetwork, rigServer, rigSession } from './rsio-rig.ts';
import { clock, ends, ports, sessionRig, until } from './session-rig.ts';

for (const checked of [false, true])
  deviceConformance(`a device over three paths${checked ? ', with checksums' : ''}`, {
    runs: 20,
    make: async () => {
      const network = new RigNetwork();
      const memory = new MemoryDevice({ sizeBytes: 96 * 1024, pageBytes: 4096 });
      const server = await rigServer(network, ['a', 'b', 'c'], new Map([['db', memory]]), ports);
      const session = rigSession(network, ['a', 'b', 'c'], ports, { checked });
      session.start();
      await until(() => session.paths.every((path) => path.isUp));
      const opened = await RemoteDevice.open(
        { name: 'db', sessions: [session], mode: 'exclusive', clock, log: quietLog },
        2000,
      );
      if (!opened.ok) throw new Error(`errno ${opened.errno}`);
      const end = async () => {
        session.close();
        await server.close();
      };
      return { device: opened.device, end };
    },
  });

describe('a device over several paths', () => {
  it('spreads large requests over its paths', async () => {
    const { open, session } = await sessionRig();
    const device = await open();
    const sent = session.paths.map((path) => {
      const { send } = path;
      let bytes = 0;
      path.send = (request) => {
        bytes += request.payload?.length ?? 0;
        send.call(path, request);
      };
      return () => bytes;
    });
    expect(await device.write(0, pattern(1536 * 1024, 3), false)).toEqual({ ok: true });
    for (const bytes of sent) expect(bytes()).toBe(512 * 1024);
    expect(bytesOf(await device.read(0, 1536 * 1024)).equals(pattern(1536 * 1024, 3))).toBe(true);
  });

  it('sends no zeroes for a hole, to those who know what that is', async () => {
    const { open, network, session } = await sessionRig(['a', 'b']);
    const device = await open();
    await device.write(1024 * 1024, pattern(4096, 1), false);
    const before = network.sentBytes;
    const holes = await device.read(0, 1024 * 1024);
    expect(network.sentBytes - before).toBeLessThan(4096);
    expect(bytesOf(holes).equals(Buffer.alloc(1024 * 1024))).toBe(true);
    expect(holes.ok && holes.pieces.every(isHole)).toBe(true);
    // What has data as well comes whole.
    const mixed = bytesOf(await device.read(1024 * 1024 - 4096, 512 * 1024));
    expect(mixed.subarray(0, 4096).equals(Buffer.alloc(4096))).toBe(true);
    expect(mixed.subarray(4096, 8192).equals(Buffer.from(pattern(4096, 1)))).toBe(true);
    expect(mixed.subarray(8192).equals(Buffer.alloc(504 * 1024))).toBe(true);
    const plain = await session.request(FrameType.READ, 0, 1, 0, 4096, null);
    expect(plain).toMatchObject({ errno: 0, isHole: false });
    expect(plain !== 'lost' && plain.payload.equals(Buffer.alloc(4096))).toBe(true);
  });

  it('uses the memory of a payload again when its write was done, not when it failed', async () => {
    const { open, device: below } = await sessionRig(['a']);
    const device = await open();
    const seen: Uint8Array[] = [];
    let outcome: Done = { ok: true };
    below.write = async (_offset, bytes) => {
      seen.push(bytes);
      await clock.sleep(1);
      return outcome;
    };
    poisonReturnedBytes(true);
    ends.push(() => poisonReturnedBytes(false));
    const isUntouched = (bytes: Uint8Array) => bytes.every((byte) => byte === 7);
    const data = Buffer.alloc(300 * 1024, 7);
    expect(await device.write(0, data, false)).toEqual({ ok: true });
    expect(isUntouched(seen.at(-1)!)).toBe(false);
    outcome = { ok: false, errno: Errno.EIO };
    expect(await device.write(0, data, false)).toEqual(outcome);
    expect(isUntouched(seen.at(-1)!)).toBe(true);
  });
});
