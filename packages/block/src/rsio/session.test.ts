import { type Clock, Errno, poisonReturnedBytes, type Random } from '@mortar/core';
import { SystemClock } from '@mortar/host/ports/clock.ts';
import { afterEach, describe, expect, it } from 'vitest';
import { bytesOf, deviceConformance, pattern } from '../device/conformance.ts';
import { type Answer, type BlockDevice, type Done, isHole } from '../device/device.ts';
import { MemoryDevice } from '../device/memory.ts';
import { PassingDevice } from '../device/passing.ts';
import { RemoteDevice, type RemoteOptions } from './client/remote-device.ts';
import type { ClientSession } from './client/session.ts';
import { FrameType } from './frame.ts';
import { decodeMessage, listReply } from './messages.ts';
import { quietLog, RigNetwork, rigIdentity, rigServer, rigSession } from './rsio-rig.ts';

const clock: Clock = new SystemClock();
const random: Random = {
  bytes: (count) => crypto.getRandomValues(new Uint8Array(count)),
  integer: (below) => Math.floor(Math.random() * below),
};
const ports = { clock, random };
const sizeBytes = 2 * 1024 * 1024;

const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 2000 && !condition(); i++) await clock.sleep(5);
  expect(condition()).toBe(true);
}

/** Counts, and can hold back writes. */
class WatchedDevice extends PassingDevice {
  writes = 0;
  held: (() => void)[] | null = null;

  override write(offset: number, bytes: Uint8Array, fua: boolean): Answer<Done> {
    this.writes++;
    if (!this.held) return this.below.write(offset, bytes, fua);
    const copy = Buffer.from(bytes);
    return new Promise<void>((resolve) => this.held!.push(resolve)).then(() => this.below.write(offset, copy, fua));
  }

  release(): void {
    const held = this.held ?? [];
    this.held = null;
    for (const go of held) go();
  }
}

interface Rig {
  network: RigNetwork;
  device: WatchedDevice;
  session: ClientSession;
  open(more?: Partial<RemoteOptions>): Promise<RemoteDevice>;
}

async function rig(paths = ['a', 'b', 'c'], checked = false): Promise<Rig> {
  const network = new RigNetwork();
  const device = new WatchedDevice(new MemoryDevice({ sizeBytes }));
  const server = await rigServer(network, paths, new Map<string, BlockDevice>([['db', device]]), ports);
  const session = rigSession(network, paths, ports, { checked });
  ends.push(
    () => server.close(),
    () => session.close(),
  );
  session.start();
  await until(() => session.paths.every((path) => path.isUp));
  return { network, device, session, open: (more) => openOn([session], more) };
}

async function openOn(sessions: readonly ClientSession[], more: Partial<RemoteOptions> = {}): Promise<RemoteDevice> {
  const options: RemoteOptions = { name: 'db', sessions, mode: 'exclusive', clock, log: quietLog, ...more };
  const opened = await RemoteDevice.open(options, 2000);
  if (!opened.ok) throw Object.assign(new Error(`errno ${opened.errno}`), { errno: opened.errno });
  ends.push(() => opened.device.close());
  return opened.device;
}

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

describe('a session', () => {
  it('says what there is, and who it is', async () => {
    const { session } = await rig();
    const reply = await session.request(FrameType.LIST, 0, 0, 0, 0, null);
    const listed = reply === 'lost' ? null : decodeMessage(listReply, reply.payload);
    expect(listed?.devices).toEqual([
      { name: 'db', description: '', sizeBytes, readOnly: false, users: 0, isPaused: false },
    ]);
    expect(session.status.map(({ name, state }) => [name, state])).toEqual([
      ['a', 'connected'],
      ['b', 'connected'],
      ['c', 'connected'],
    ]);
  });

  it.each([
    ['another key', { key: 'wrong' }],
    ['a name that is not known', { client: 'mars' }],
    ['another namespace', { namespace: 'other' }],
  ])('is refused with %s', async (_, more) => {
    const network = new RigNetwork();
    const server = await rigServer(network, ['a'], new Map(), ports);
    const session = rigSession(network, ['a'], ports, more);
    ends.push(
      () => server.close(),
      () => session.close(),
    );
    session.start();
    await until(() => session.status[0]!.why !== '');
    expect(session.isUp).toBe(false);
    expect(server.sessions).toEqual([]);
  });

  it('refuses a server that does not have the key', async () => {
    const network = new RigNetwork();
    const clients = new Map<string, string>();
    const identity = { ...rigIdentity, clients };
    const server = await rigServer(network, ['a'], new Map(), ports, { identity });
    const session = rigSession(network, ['a'], ports);
    ends.push(
      () => server.close(),
      () => session.close(),
    );
    session.start();
    await until(() => session.status[0]!.why !== '');
    expect(session.isUp).toBe(false);
  });

  it('spreads large requests over its paths', async () => {
    const { open, session } = await rig();
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
    const { open, network, session } = await rig(['a', 'b']);
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

  it.each(['cut', 'silence'] as const)('goes on without errors when each path in turn is lost: %s', async (how) => {
    const { open, network, session } = await rig();
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
    const { open, network, device: below } = await rig(['a', 'b']);
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

  it.each(['cut', 'silence'] as const)(
    'does each part of a large write once, though paths are lost while it is on its way: %s',
    async (how) => {
      const { open, network, session, device: below } = await rig(['a', 'b', 'c']);
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

  it('uses the memory of a payload again when its write was done, not when it failed', async () => {
    const { open, device: below } = await rig(['a']);
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

  it('does nothing late of a session that is over', async () => {
    const { open, network, device: below, session } = await rig(['a', 'b']);
    const device = await open({ lossMs: 300, takeOverMs: 100 });
    await device.write(0, pattern(4096, 1), false);
    network.silence('a');
    network.silence('b');
    const failed = device.write(0, pattern(4096, 2), false);
    expect(await failed).toMatchObject({ errno: Errno.EIO });
    // One path is restored at a time: what the other one still has comes after a newer write.
    network.restore('a');
    await until(() => session.isUp);
    await until(() => !device.isLost);
    let reply: Done = { ok: false, errno: Errno.EIO };
    for (let i = 0; i < 100 && !reply.ok; i++) {
      reply = await device.write(0, pattern(4096, 3), false);
      await clock.sleep(20);
    }
    expect(reply).toEqual({ ok: true });
    network.restore('b');
    await clock.sleep(100);
    expect(bytesOf(await below.read(0, 4096)).equals(pattern(4096, 3))).toBe(true);
  });

  it('begins anew at a server that has forgotten it', async () => {
    const network = new RigNetwork();
    const memory = new MemoryDevice({ sizeBytes });
    const devices = new Map<string, BlockDevice>([['db', memory]]);
    const first = await rigServer(network, ['a'], devices, ports);
    const session = rigSession(network, ['a'], ports);
    ends.push(() => session.close());
    session.start();
    const device = await openOn([session]);
    expect(await device.write(0, pattern(4096, 1), false)).toEqual({ ok: true });
    await first.close();
    const second = await rigServer(network, ['a'], devices, ports);
    ends.push(() => second.close());
    expect(bytesOf(await device.read(0, 4096)).equals(pattern(4096, 1))).toBe(true);
    expect(await device.write(0, pattern(4096, 2), true)).toEqual({ ok: true });
  });

  it('fails what a server that is there does not answer, and lets nothing of it happen later', async () => {
    const { open, device: below } = await rig(['a', 'b']);
    const device = await open({ answerMs: 300, lossMs: 300, openMs: 200 });
    below.held = [];
    const startMs = clock.nowMs();
    const early = device.write(0, pattern(4096, 1), false);
    await until(() => below.held!.length === 1);
    const later = device.read(0, 512);
    expect(await later).toMatchObject({ ok: true });
    expect(await early).toEqual({ ok: false, errno: Errno.EIO });
    expect(clock.nowMs() - startMs).toBeGreaterThan(250);
    // The server opens it anew only when the write has ended, which is not waited for without end.
    expect(await device.write(8192, pattern(4096, 2), false)).toEqual({ ok: false, errno: Errno.EIO });
    expect(below.held).toHaveLength(1);
    below.release();
    let reply: Done = { ok: false, errno: Errno.EIO };
    for (let i = 0; i < 100 && !reply.ok; i++) {
      reply = await device.write(0, pattern(4096, 3), false);
      await clock.sleep(20);
    }
    expect(reply).toEqual({ ok: true });
    expect(bytesOf(await device.read(0, 4096)).equals(pattern(4096, 3))).toBe(true);
  });

  it('fails at once when it is told not to wait', async () => {
    const { open, network, session } = await rig(['a']);
    const device = await open({ lossMs: 0 });
    network.silence('a');
    network.cut('a');
    await until(() => !session.isUp);
    expect(await device.write(0, pattern(512, 1), false)).toMatchObject({ errno: Errno.EIO });
    network.restore('a');
    await until(() => session.isUp);
    let reply: Done = { ok: false, errno: Errno.EIO };
    for (let i = 0; i < 100 && !reply.ok; i++) {
      reply = await device.write(0, pattern(512, 1), false);
      await clock.sleep(20);
    }
    expect(reply).toEqual({ ok: true });
  });
});

describe('a device of two clients', () => {
  async function two() {
    const { network, device, open } = await rig(['a']);
    const other = rigSession(network, ['a'], ports, { client: 'venus', key: '0xvenus' });
    ends.push(() => other.close());
    other.start();
    return { below: device, one: await open(), other };
  }

  it('is refused to the second, unless it is taken by force; then nothing of the first one lands', async () => {
    const { below, one, other } = await two();
    await expect(openOn([other])).rejects.toMatchObject({ errno: Errno.EBUSY });
    below.held = [];
    const early = one.write(0, pattern(4096, 1), false);
    await until(() => below.held!.length === 1);
    let isTaken = false;
    const taking = openOn([other], { force: true }).then((device) => {
      isTaken = true;
      return device;
    });
    await clock.sleep(50);
    expect(isTaken).toBe(false);
    below.release();
    expect(await early).toEqual({ ok: true });
    const second = await taking;
    expect(await second.write(0, pattern(4096, 2), false)).toEqual({ ok: true });
    expect(await one.write(0, pattern(4096, 3), false)).toMatchObject({ errno: Errno.EKEYREVOKED });
    expect(await one.read(0, 4096)).toMatchObject({ errno: Errno.EKEYREVOKED });
    expect(bytesOf(await second.read(0, 4096)).equals(pattern(4096, 2))).toBe(true);
    expect(one.isLost).toBe(true);
  });

  it('may be read by others, or shared', async () => {
    const { one, other } = await two();
    const reader = await openOn([other], { mode: 'read' });
    await one.write(0, pattern(512, 1), false);
    expect(bytesOf(await reader.read(0, 512)).equals(pattern(512, 1))).toBe(true);
    expect(await reader.write(0, pattern(512, 2), false)).toMatchObject({ errno: Errno.EPERM });
    await one.close();
    const shared = await openOn([other], { mode: 'shared' });
    expect(await shared.write(0, pattern(512, 2), false)).toEqual({ ok: true });
  });
});
