import {
  type Clock,
  Errno,
  type Fops,
  type Gfid,
  type Log,
  locAt,
  locOf,
  parseVolfile,
  type Random,
  rootGfid,
} from '@mortar/core';
import { SystemClock } from '@mortar/host/ports/clock.ts';
import { afterEach, describe, expect, it } from 'vitest';
import { bytesOf, deviceConformance, pattern } from '../device/conformance.ts';
import { createDevice, findDevice, listDevices, removeDevice, renameDevice } from './catalog.ts';
import type { VolumeGraph } from './graph.ts';
import { VolumeDevice, type VolumeDeviceOptions } from './volume-device.ts';
import { blockVolfile, connectGraph } from './volume-graph.ts';

const clock: Clock = new SystemClock();
const random: Random = {
  bytes: (count) => crypto.getRandomValues(new Uint8Array(count)),
  integer: (below) => Math.floor(Math.random() * below),
};
const log: Log = { level: 'INFO', setLevel: () => {}, write: () => {} };
const ports = { clock, random, log };

const brick = (guard: boolean) => `volume files
    type storage/memory
    option size 1GB
end-volume

volume locks
    type features/locks
    subvolumes files
end-volume
${guard ? 'volume guard\n    type features/block\n    subvolumes locks\nend-volume\n' : ''}`;

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function graphRig(guard = true): Promise<VolumeGraph> {
  const { graph, close } = await connectGraph({ volfile: { text: brick(guard) } }, ports);
  ends.push(close);
  return graph;
}

async function deviceOn(
  graph: VolumeGraph,
  name: string,
  more: Partial<VolumeDeviceOptions> = {},
): Promise<VolumeDevice> {
  const found = await findDevice(graph, name);
  if (!found.ok) throw new Error(`errno ${found.errno}`);
  const device = new VolumeDevice({ graph, found, owner: 'server-1', leaseMs: 400, patienceMs: 0, ...more });
  ends.push(() => device.close());
  return device;
}

const sizeBytes = 256 * 1024;
const shardBytes = 64 * 1024;
const made = (graph: VolumeGraph, name = 'db') => createDevice(graph, name, { sizeBytes, shardBytes });

deviceConformance('a device on a volume', {
  runs: 15,
  make: async () => {
    const { graph, close } = await connectGraph({ volfile: { text: brick(true) } }, ports);
    await made(graph);
    const found = await findDevice(graph, 'db');
    if (!found.ok) throw new Error('not found');
    return { device: new VolumeDevice({ graph, found, owner: 'a' }), end: close };
  },
});

describe('the devices of a volume', () => {
  it('are not looked for in a directory that somebody else may change', async () => {
    const graph = await graphRig();
    expect(await made(graph)).toMatchObject({ ok: true });
    const change = (uid: number, mode: number) =>
      graph.run(async (ops, call) => {
        const found = await ops.lookup(call, { loc: locAt(rootGfid, '.block') });
        if (!found.ok) return found;
        return ops.setattr(call, { loc: locOf(found.iatt.gfid), attr: { uid, mode } });
      });
    for (const [uid, mode] of [
      [1000, 0o700],
      [0, 0o777],
    ] as const) {
      expect((await change(uid, mode)).ok).toBe(true);
      expect(await findDevice(graph, 'db')).toMatchObject({ errno: Errno.EPERM });
      expect(await made(graph, 'other')).toMatchObject({ errno: Errno.EPERM });
    }
    await change(0, 0o755);
    expect(await findDevice(graph, 'db')).toMatchObject({ ok: true });
  });

  it('are made, listed, renamed and removed', async () => {
    const graph = await graphRig();
    expect(await listDevices(graph)).toEqual({ ok: true, devices: [] });
    expect(await made(graph)).toMatchObject({ ok: true });
    expect(await made(graph)).toMatchObject({ ok: false, errno: Errno.EEXIST });
    expect(await made(graph, '../x')).toMatchObject({ errno: Errno.EINVAL });
    expect(await createDevice(graph, 'odd', { sizeBytes, shardBytes: 3 })).toMatchObject({ errno: Errno.EINVAL });
    await made(graph, 'other');
    const device = await deviceOn(graph, 'db');
    await device.write(100, Buffer.from('kept'), false);
    expect(await renameDevice(graph, 'db', 'other')).toMatchObject({ errno: Errno.EEXIST });
    expect(await renameDevice(graph, 'db', 'data')).toMatchObject({ ok: true });
    expect(bytesOf(await device.read(100, 4)).toString()).toBe('kept');
    const listed = await listDevices(graph);
    expect(listed.ok && listed.devices.map(({ name }) => name)).toEqual(['data', 'other']);
    await device.close();
    const found = await findDevice(graph, 'data');
    const attachment = { device: found.ok ? found.gfid : ('' as never), epoch: 2 ** 52 };
    expect(await removeDevice(graph, 'data', attachment)).toMatchObject({ ok: true });
    expect(await findDevice(graph, 'data')).toMatchObject({ errno: Errno.ENOENT });
  });

  it('take no room before they are written, and give it back', async () => {
    const graph = await graphRig();
    await made(graph);
    const device = await deviceOn(graph, 'db');
    await device.write(shardBytes + 4096, pattern(4096, 1), true);
    expect(await device.status(0, sizeBytes, 10)).toEqual({
      ok: true,
      extents: [
        { length: shardBytes + 4096, hole: true, zero: true },
        { length: 4096, hole: false, zero: false },
        { length: sizeBytes - shardBytes - 8192, hole: true, zero: true },
      ],
    });
    await device.trim(shardBytes, shardBytes, true);
    expect(await device.status(0, sizeBytes, 10)).toEqual({
      ok: true,
      extents: [{ length: sizeBytes, hole: true, zero: true }],
    });
  });
});

describe('a device that is attached', () => {
  it('is refused to others while its holder shows life, and free when it was given up', async () => {
    const graph = await graphRig();
    await made(graph);
    const first = await deviceOn(graph, 'db', { owner: 'server-1' });
    const second = await deviceOn(graph, 'db', { owner: 'server-2' });
    expect(await first.write(0, Buffer.from('first'), false)).toEqual({ ok: true });
    expect(await second.hold()).toMatchObject({ errno: Errno.EBUSY });
    await first.rest();
    expect(bytesOf(await second.read(0, 5)).toString()).toBe('first');
    expect(second.epoch).toBeGreaterThan(0);
    expect(await first.hold()).toMatchObject({ errno: Errno.EBUSY });
  });

  it('is lost to who takes it by force: nothing of the former holder lands any more', async () => {
    const graph = await graphRig();
    await made(graph);
    const first = await deviceOn(graph, 'db', { owner: 'server-1' });
    const second = await deviceOn(graph, 'db', { owner: 'server-2', force: true });
    await first.write(0, Buffer.from('first'), false);
    expect(await second.write(0, Buffer.from('after'), false)).toEqual({ ok: true });
    expect(await first.write(0, Buffer.from('late!'), false)).toMatchObject({ errno: Errno.EKEYREVOKED });
    expect(await first.trim(0, shardBytes, false)).toMatchObject({ errno: Errno.EKEYREVOKED });
    expect(await first.write(3 * shardBytes, Buffer.from('late!'), false)).toMatchObject({ errno: Errno.EKEYREVOKED });
    expect(await first.flush()).toMatchObject({ errno: Errno.EKEYREVOKED });
    expect(first.isLost).toBe(true);
    expect(bytesOf(await second.read(0, 5)).toString()).toBe('after');
    expect(bytesOf(await second.read(3 * shardBytes, 5))).toEqual(Buffer.alloc(5));
  });

  it('is taken back by force before who lost it has noticed', async () => {
    const graph = await graphRig();
    await made(graph);
    const first = await deviceOn(graph, 'db', { owner: 'server-1', leaseMs: 60_000 });
    const second = await deviceOn(graph, 'db', { owner: 'server-2', leaseMs: 60_000 });
    expect(await first.write(0, Buffer.from('first'), false)).toEqual({ ok: true });
    expect(await second.hold(true)).toEqual({ ok: true });
    expect(await second.write(0, Buffer.from('after'), false)).toEqual({ ok: true });
    expect(await first.hold(true)).toEqual({ ok: true });
    expect(bytesOf(await first.read(0, 5)).toString()).toBe('after');
    expect(await first.write(0, Buffer.from('again'), false)).toEqual({ ok: true });
    expect(await second.write(0, Buffer.from('late!'), false)).toMatchObject({ errno: Errno.EKEYREVOKED });
    expect(bytesOf(await first.read(0, 5)).toString()).toBe('again');
  });

  it('is taken from a holder that shows no life', async () => {
    const graph = await graphRig();
    await made(graph);
    const dead: Clock = { ...wrapped(clock), after: () => ({ cancel: () => {} }) };
    const first = await deviceOn({ ...graph, clock: dead }, 'db', { owner: 'server-1' });
    await first.write(0, Buffer.from('first'), false);
    const second = await deviceOn(graph, 'db', { owner: 'server-2' });
    expect(await second.hold()).toEqual({ ok: true });
    expect(await first.write(0, Buffer.from('late!'), false)).toMatchObject({ errno: Errno.EKEYREVOKED });
  });

  it('is not attached where bricks do not guard it', async () => {
    const graph = await graphRig(false);
    await made(graph);
    const device = await deviceOn(graph, 'db');
    expect(await device.hold()).toMatchObject({ errno: Errno.EOPNOTSUPP });
  });

  it('flushes what its holder before has acknowledged, also as the first thing that it is asked', async () => {
    const { graph, synced } = withSyncs(await graphRig());
    await made(graph);
    const first = await deviceOn(graph, 'db', { owner: 'server-1' });
    for (const shard of [0, 2])
      expect(await first.write(shard * shardBytes, Buffer.from('kept'), false)).toEqual({ ok: true });
    // Its server dies; a client that comes to another one begins with a flush.
    const second = await deviceOn(graph, 'db', { owner: 'server-2', force: true });
    synced.clear();
    expect(await second.flush()).toEqual({ ok: true });
    // Both shards, and the directory that has their names.
    expect(synced.size).toBe(3);
  });

  it('keeps its new size', async () => {
    const graph = await graphRig();
    await made(graph);
    const device = await deviceOn(graph, 'db');
    expect(await device.resize(sizeBytes - 1)).toMatchObject({ errno: Errno.EINVAL });
    expect(await device.resize(4 * sizeBytes)).toEqual({ ok: true });
    expect(await findDevice(graph, 'db')).toMatchObject({ description: { sizeBytes: 4 * sizeBytes } });
  });

  it('is not cut by a server that has not heard of its growth', async () => {
    const graph = await graphRig();
    await made(graph);
    const first = await deviceOn(graph, 'db', { owner: 'server-1' });
    const second = await deviceOn(graph, 'db', { owner: 'server-2' });
    expect(await first.resize(4 * sizeBytes)).toEqual({ ok: true });
    expect(await first.write(3 * sizeBytes, Buffer.from('kept'), true)).toEqual({ ok: true });
    await first.rest();
    expect(await second.resize(2 * sizeBytes)).toMatchObject({ errno: Errno.EINVAL });
    expect(await findDevice(graph, 'db')).toMatchObject({ description: { sizeBytes: 4 * sizeBytes } });
    expect(bytesOf(await second.read(3 * sizeBytes, 4)).toString()).toBe('kept');
  });

  it('has the larger size of two that are asked for at once', async () => {
    const graph = await graphRig();
    await made(graph);
    const device = await deviceOn(graph, 'db');
    const replies = await Promise.all([device.resize(4 * sizeBytes), device.resize(2 * sizeBytes)]);
    expect(replies).toMatchObject([{ ok: true }, { errno: Errno.EINVAL }]);
    expect(device.sizeBytes).toBe(4 * sizeBytes);
    expect(await findDevice(graph, 'db')).toMatchObject({ description: { sizeBytes: 4 * sizeBytes } });
  });

  it('has its new size on stable storage when that is answered', async () => {
    const { graph, synced } = withSyncs(await graphRig());
    await made(graph);
    const device = await deviceOn(graph, 'db');
    expect(await device.hold()).toEqual({ ok: true });
    synced.clear();
    expect(await device.resize(4 * sizeBytes)).toEqual({ ok: true });
    const found = await findDevice(graph, 'db');
    expect(synced.has(found.ok ? found.gfid : ('' as Gfid))).toBe(true);
  });
});

/** The graph, and the files and directories that were brought to stable storage through it. */
function withSyncs(graph: VolumeGraph): { graph: VolumeGraph; synced: Set<Gfid> } {
  const synced = new Set<Gfid>();
  const noting = (ops: Fops): Fops =>
    Object.assign(Object.create(ops) as Fops, {
      fsync: async (...[call, args]: Parameters<Fops['fsync']>) => {
        const reply = await ops.fsync(call, args);
        if (reply.ok) synced.add(args.fd.gfid);
        return reply;
      },
      fsyncdir: async (...[call, args]: Parameters<Fops['fsyncdir']>) => {
        const reply = await ops.fsyncdir(call, args);
        if (reply.ok) synced.add(args.fd.gfid);
        return reply;
      },
    });
  return { graph: { ...graph, run: (work) => graph.run((ops, call, at) => work(noting(ops), call, at)) }, synced };
}

function wrapped(given: Clock): Clock {
  return {
    nowMs: () => given.nowMs(),
    wall: () => given.wall(),
    after: (ms, callback) => given.after(ms, callback),
    sleep: (ms) => given.sleep(ms),
  };
}

describe('the graph of devices', () => {
  it('has no caches, and no reads from a minority', () => {
    const text = [
      'volume a\n type storage/memory\n option size 1MB\nend-volume',
      'volume b\n type storage/memory\n option size 1MB\nend-volume',
      'volume r\n type cluster/replicate\n subvolumes a b\nend-volume',
      'volume io\n type performance/io-cache\n subvolumes r\nend-volume',
      'volume md\n type performance/md-cache\n subvolumes io\nend-volume',
      'volume top\n type debug/io-stats\n subvolumes md\nend-volume',
    ].join('\n');
    const { volumes } = blockVolfile(parseVolfile(text, 'v.vol'));
    expect(volumes.map(({ name, subvolumes }) => [name, subvolumes])).toEqual([
      ['a', []],
      ['b', []],
      ['r', ['a', 'b']],
      ['top', ['r']],
    ]);
  });
});
