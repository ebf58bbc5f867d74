import { describe, expect, it } from 'vitest';
import { bytesOf, pattern } from '../device/conformance.ts';
import type { BlockDevice } from '../device/device.ts';
import { MemoryDevice } from '../device/memory.ts';
import { RigNetwork, rigServer, rigSession } from './rsio-rig.ts';
import { clock, ends, openOn, ports, sessionRig, sizeBytes, until } from './session-rig.ts';

describe('a session over several paths', () => {
  it.each(['cut', 'silence'] as const)('goes on without errors when each path in turn is lost: %s', async (how) => {
    const { open, network, session } = await sessionRig();
    const device = await open();
    let isOver = false;
    let count = 0;
    const worker = async (block: number) => {
      for (let i = 0; !isOver; i++) {
        const bytes = pattern(4096, i + block);
        expect(await device.write(block * 4096, bytes, i % 5 === 0)).toEqual({ ok: true });
        expect(bytesOf(await device.read(block * 4096, 4096)).equals(bytes)).toBe(true);
        count++;
        await clock.sleep(1);
      }
    };
    const workers = Array.from({ length: 16 }, (_, block) => worker(block));
    for (const name of ['a', 'b', 'c']) {
      network[how](name);
      const before = count;
      await until(() => count > before + 100);
      if (how === 'silence') {
        await until(() => !session.paths.find((path) => path.place.name === name)!.isUp);
        network.restore(name);
      }
      await until(() => session.paths.every((path) => path.isUp));
    }
    isOver = true;
    await Promise.all(workers);
  });

  it('does a write once, though it is sent again, and answers it where it came last', async () => {
    const { open, network, device: below } = await sessionRig(['a', 'b']);
    const device = await open();
    below.held = [];
    const before = below.writes;
    const writing = Promise.all([1, 2, 3, 4].map((i) => device.write(i * 4096, pattern(4096, i), false)));
    await until(() => below.writes === before + 4);
    network.cut('a');
    await clock.sleep(100);
    network.cut('b');
    await clock.sleep(100);
    below.release();
    expect(await writing).toEqual([{ ok: true }, { ok: true }, { ok: true }, { ok: true }]);
    expect(below.writes).toBe(before + 4);
  });

  it('is answered where it waits for it, though an older copy comes behind the one that was sent again', async () => {
    const { open, network, device: below } = await sessionRig(['a', 'b']);
    const device = await open({ answerMs: 1000 });
    below.held = [];
    const before = below.writes;
    network.silence('a');
    const writing = device.write(0, pattern(4096, 1), false);
    // It went over the first path, and is sent again over the other one when that is closed.
    await until(() => below.writes === before + 1);
    network.restore('a');
    await clock.sleep(50);
    below.release();
    expect(await writing).toEqual({ ok: true });
    expect(below.writes).toBe(before + 1);
  });

  it.each(['cut', 'silence'] as const)(
    'does each part of a large write once, though paths are lost while it is on its way: %s',
    async (how) => {
      const { open, network, session, device: below } = await sessionRig(['a', 'b', 'c']);
      const device = await open();
      // 2 ms for 16 KiB: 512 KiB on each path take a while.
      const nextMs = new Map<object, number>();
      network.pieceBytes = 16 * 1024;
      network.delay = (from, deliver) => {
        const atMs = Math.max(nextMs.get(from) ?? 0, clock.nowMs()) + 2;
        nextMs.set(from, atMs);
        clock.after(atMs - clock.nowMs(), deliver);
      };
      const data = pattern(1536 * 1024, 7);
      const before = below.writes;
      const writing = device.write(0, data, false);
      await clock.sleep(20);
      for (const name of ['a', 'c']) {
        network[how](name);
        await clock.sleep(10);
      }
      expect(await writing).toEqual({ ok: true });
      // A newer write; what the lost paths still have of the older one comes afterwards, whole, and is not done.
      const newer = pattern(1536 * 1024, 8);
      expect(await device.write(0, newer, false)).toEqual({ ok: true });
      for (const name of ['a', 'c']) network.restore(name);
      await until(() => session.paths.every((path) => path.isUp));
      await clock.sleep(200);
      expect(bytesOf(await below.read(0, data.length)).equals(newer)).toBe(true);
      // Three parts of each; of those that were lost in the middle of it the whole was sent again.
      const parts = below.writes - before;
      expect(parts).toBeLessThanOrEqual(3 + 3 * 3);
      network.delay = null;
    },
  );

  it('does not take a path for dead that is slow to bring a long part', async () => {
    const network = new RigNetwork();
    const memory = new MemoryDevice({ sizeBytes });
    const server = await rigServer(network, ['a', 'b'], new Map<string, BlockDevice>([['db', memory]]), ports);
    const times = { pingMs: 200, suspectMs: 400, deadMs: 600, lastDeadMs: 5000, connectMs: 5000 };
    const session = rigSession(network, ['a', 'b'], ports, { times });
    ends.push(
      () => server.close(),
      () => session.close(),
    );
    session.start();
    await until(() => session.paths.every((path) => path.isUp));
    const device = await openOn([session]);
    // 512 KiB on each take two seconds.
    network.pieceBytes = 16 * 1024;
    const nextMs = new Map<object, number>();
    network.delay = (from, deliver) => {
      const atMs = Math.max(nextMs.get(from) ?? 0, clock.nowMs()) + 60;
      nextMs.set(from, atMs);
      clock.after(atMs - clock.nowMs(), deliver);
    };
    const generations = session.paths.map((path) => path.generation);
    const data = pattern(1024 * 1024, 5);
    expect(await device.write(0, data, false)).toEqual({ ok: true });
    network.delay = null;
    expect(session.paths.map((path) => path.generation)).toEqual(generations);
    expect(bytesOf(await memory.read(0, data.length)).equals(data)).toBe(true);
  });
});
