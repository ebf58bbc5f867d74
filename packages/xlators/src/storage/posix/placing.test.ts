import { mkdirSync } from 'node:fs';
import {
  buildGraph,
  Errno,
  Fd,
  type Gfid,
  type GraphEvent,
  gfidFromBytes,
  locAt,
  locOf,
  parseOptions,
  parseVolfile,
  type Reply,
  rootGfid,
  type Subvolume,
  startGraph,
  stopGraph,
  type Xlator,
  type XlatorType,
} from '@mortar/core';
import * as libc from '@mortar/libc';
import { afterEach, describe, expect, it } from 'vitest';
import { rigServices, settle } from '../../lib/translator-rig.ts';
import { xlator as ioThreads } from '../../performance/io-threads/index.ts';
import type { Sys } from './brick.ts';
import { xlator as posix } from './index.ts';
import { Lane } from './lane.ts';
import { poolShare } from './placing.ts';
import { type PosixRig, posixRig, quickBrick, removeBrick, rootAt } from './rig.ts';

const gfid = (n: number): Gfid => gfidFromBytes(new Uint8Array(16).fill(n));
const [d, f, g] = [gfid(1), gfid(2), gfid(3)] as [Gfid, Gfid, Gfid];
const x = { offload: true };
let rig: PosixRig | null = null;

afterEach(async () => {
  await rig?.close();
  rig = null;
});

async function start(sys: Partial<Sys> = {}, texts: Record<string, string> = {}): Promise<PosixRig> {
  rig = await posixRig(texts, rigServices(), { ...libc, ...sys });
  return rig;
}

async function fill(ops: Subvolume): Promise<void> {
  const node = { mode: 0o100644, rdevMajor: 0, rdevMinor: 0 };
  expect((await ops.mkdir(rootAt(), { loc: locAt(rootGfid, 'd'), mode: 0o755, gfid: d })).ok).toBe(true);
  expect((await ops.mknod(rootAt(), { loc: locAt(d, 'f'), gfid: f, ...node })).ok).toBe(true);
  expect((await ops.mknod(rootAt(), { loc: locAt(rootGfid, 'g'), gfid: g, ...node })).ok).toBe(true);
}

describe('a call that kept the event loop', () => {
  it('is reported with the directory or the file it was about', async () => {
    let wait = () => {};
    const r = await start({
      statx: (...args) => {
        wait();
        return libc.statx(...args);
      },
    });
    const clock = (r.services as ReturnType<typeof rigServices>).clock;
    await fill(r.ops);
    const events: GraphEvent[] = [];
    r.xlator.parents = [{ notify: (event: GraphEvent) => events.push(event) } as unknown as Xlator];
    await r.ops.lookup(rootAt(), { loc: locAt(d, 'f') });
    expect(events).toEqual([]);
    wait = () => clock.burn(10);
    await r.ops.lookup(rootAt(), { loc: locAt(d, 'f') });
    await r.ops.stat(rootAt(), { loc: locOf(f) });
    await r.ops.fstat(rootAt(), { fd: new Fd(f) });
    // This one may have waited for the journal.
    await r.ops.setattr(rootAt(), { loc: locOf(f), attr: { mode: 0o640 } });
    expect(events.map((event) => event.type === 'storage-slow' && [event.gfid, event.ms >= 10])).toEqual([
      [d, true],
      [f, true],
      [f, true],
    ]);
    expect(r.xlator.dump()).toMatchObject({ slow_calls: 3, offloaded_calls: 0 });
  });
});

describe('a call that was told to keep off the event loop', () => {
  /** Touches end when told so. */
  const held = () => {
    const waiting: (() => void)[] = [];
    const touch = () => new Promise<void>((resolve) => waiting.push(resolve));
    const free = async () => {
      for (let i = 0; i < 20; i++) {
        for (const resolve of waiting.splice(0)) resolve();
        await settle();
      }
    };
    return { touch, free };
  };

  it('changes nothing and lets others run until its disk has answered', async () => {
    const { touch, free } = held();
    const r = await start({ touch });
    await fill(r.ops);
    const slow = r.ops.unlink(rootAt(), { loc: locAt(d, 'f'), xdata: x });
    await settle();
    expect((await r.ops.lookup(rootAt(), { loc: locAt(d, 'f') })).ok).toBe(true);
    await free();
    expect((await slow).ok).toBe(true);
    expect((await r.ops.lookup(rootAt(), { loc: locAt(d, 'f') })).ok).toBe(false);
  });

  it('does not come upon another file when its own is closed meanwhile', async () => {
    const { touch, free } = held();
    const r = await start({ touch });
    await fill(r.ops);
    const fd = new Fd(f, 2);
    await r.ops.open(rootAt(), { loc: locOf(f), flags: 2, fd });
    const writing = r.ops.writev(rootAt(), { fd, offset: 0, data: Buffer.from('mine'), xdata: x });
    const change = { fd, attr: { mode: 0o777 } };
    const changing = r.ops.fsetattr(rootAt(), { ...change, xdata: x });
    await settle();
    fd.release();
    // Takes the lowest free number: that of the closed file, were it free.
    await r.ops.open(rootAt(), { loc: locOf(g), flags: 2, fd: new Fd(g, 2) });
    await free();
    expect(await writing).toEqual({ ok: false, errno: Errno.EBADF });
    await changing;
    const other = await r.ops.stat(rootAt(), { loc: locOf(g) });
    expect(other.ok && [other.iatt.size, other.iatt.mode]).toEqual([0, 0o644]);
  });

  it('is refused when the brick is closed meanwhile', async () => {
    const { touch, free } = held();
    const r = await start({ touch });
    await fill(r.ops);
    const slow = r.ops.stat(rootAt(), { loc: locOf(f), xdata: x });
    await r.xlator.fini();
    await free();
    expect(await slow).toEqual({ ok: false, errno: Errno.ENOTCONN });
  });

  it('leaves threads of the pool to others', async () => {
    expect([poolShare(undefined), poolShare('16'), poolShare('1'), poolShare('x')]).toEqual([2, 8, 1, 2]);
    const lane = new Lane(2);
    let most = 0;
    const done: number[] = [];
    const job = (n: number) =>
      lane.run(async () => {
        most = Math.max(most, lane.running);
        await settle();
        done.push(n);
        if (n === 3) throw new Error('one that fails gives its place back, too');
      });
    await Promise.allSettled([1, 2, 3, 4, 5].map(job));
    expect([most, done, lane.running]).toEqual([2, [1, 2, 3, 4, 5], 0]);
  });
});

describe('under performance/io-threads', () => {
  it('changes of one file keep their order, wherever each of them runs', async () => {
    const directory = quickBrick();
    const services = rigServices();
    const volfile = parseVolfile(
      `volume b\n type storage/posix\n option directory ${directory}\n option reserve 0\nend-volume\n` +
        'volume t\n type performance/io-threads\n subvolumes b\nend-volume\n',
      'test',
    );
    const types = [posix, ioThreads].map((type) => [type.type, type as unknown as XlatorType] as const);
    const graph = buildGraph(volfile, new Map(types), services);
    await startGraph(graph);
    const { ops } = graph.top;
    await fill(ops);
    const slow = (id: Gfid) => graph.top.notify({ type: 'storage-slow', gfid: id, ms: 10 }, null);
    const writes: Promise<Reply<'writev'>>[] = [];
    for (let i = 0; i < 40; i++) {
      if (i % 10 === 5) slow(f);
      if (i % 10 === 9) services.clock.burn(10_000);
      writes.push(ops.writev(rootAt(), { fd: new Fd(f, 2), offset: 0, data: Buffer.from([i]), append: true }));
    }
    expect((await Promise.all(writes)).every((reply) => reply.ok)).toBe(true);
    const read = await ops.readv(rootAt(), { fd: new Fd(f), offset: 0, size: 100 });
    expect(read.ok && [...read.data]).toEqual(Array.from({ length: 40 }, (_, i) => i));
    expect(graph.top.dump().offloaded).toBeGreaterThan(5);
    expect(graph.top.dump().offloaded).toBeLessThan(40);
    await stopGraph(graph);
    removeBrick(directory);
  });
});

describe('without a descriptor left', () => {
  /** As if the process could have only so many directories open. */
  const scarce = () => {
    const state = { failing: 0, errno: Errno.EMFILE as number };
    const openat: Sys['openat'] = (dirfd, path, flags, mode) => {
      if (state.failing > 0 && state.failing-- > 0) return -state.errno;
      return libc.openat(dirfd, path, flags, mode);
    };
    return { state, openat };
  };

  it('gives up what it keeps open to be quick, and tries once more', async () => {
    const { state, openat } = scarce();
    const r = await start({ openat });
    await fill(r.ops);
    await r.ops.readv(rootAt(), { fd: new Fd(g), offset: 0, size: 1 });
    expect(r.xlator.dump()).toMatchObject({ cached_files: 1 });
    state.failing = 1;
    expect((await r.ops.open(rootAt(), { loc: locOf(f), flags: 0, fd: new Fd(f) })).ok).toBe(true);
    expect(r.xlator.dump()).toMatchObject({ cached_files: 0, cached_directories: 0 });
    await r.ops.lookup(rootAt(), { loc: locAt(d, 'f') });
    state.failing = 2;
    const refused = await r.ops.open(rootAt(), { loc: locOf(f), flags: 0, fd: new Fd(f) });
    expect(refused).toEqual({ ok: false, errno: Errno.EMFILE });
  });

  it.each([Errno.EMFILE, Errno.EIO])(
    'never takes a directory that it cannot open (%s) for one that is gone',
    async (errno) => {
      const { state, openat } = scarce();
      const r = await start({ openat });
      await fill(r.ops);
      r.xlator.store.brick.giveUpDescriptors();
      await settle();
      state.failing = 100;
      state.errno = errno;
      expect(await r.ops.stat(rootAt(), { loc: locOf(d) })).toEqual({ ok: false, errno });
      // The same gfid for something else: the directory's handle must not be taken for a leftover and removed.
      const again = await r.ops.mkdir(rootAt(), { loc: locAt(rootGfid, 'e'), mode: 0o755, gfid: d });
      expect(again).toEqual({ ok: false, errno });
      state.failing = 0;
      expect((await r.ops.stat(rootAt(), { loc: locOf(d) })).ok).toBe(true);
    },
  );
});

describe('a descriptor that is kept to be quick', () => {
  it('is closed when nobody uses it, which leaves those in use', async () => {
    const r = await start();
    const { clock } = r.services as ReturnType<typeof rigServices>;
    await fill(r.ops);
    const read = (id: Gfid) => r.ops.readv(rootAt(), { fd: new Fd(id), offset: 0, size: 1 });
    const kept = () => r.xlator.dump().cached_files;
    await read(f);
    await read(g);
    expect(kept()).toBe(2);
    for (let s = 0; s < 10; s++) {
      await clock.advance(1000);
      await read(g);
    }
    expect(kept()).toBe(1);
    await clock.advance(10_000);
    expect(kept()).toBe(0);
    expect((await read(f)).ok).toBe(true);
  });
});

describe('access times', () => {
  const atime = async (r: PosixRig, id: Gfid) => {
    const reply = await r.ops.stat(rootAt(), { loc: locOf(id) });
    return reply.ok ? reply.iatt.atime : 0;
  };
  const at = (sec: number) => rootAt({ time: { sec, nsec: 0 } });
  const later = 2_000_000_000;

  it('move forward with reads that ask for it, and only then', async () => {
    const r = await start();
    await fill(r.ops);
    const read = (sec: number, xdata: object) => r.ops.readv(at(sec), { fd: new Fd(f), offset: 0, size: 1, xdata });
    await read(later, {});
    expect(await atime(r, f)).toBeLessThan(later);
    const reply = await read(later, { touchAtime: true });
    expect(reply.ok && reply.iatt.atime).toBe(later);
    await read(later - 5, { touchAtime: true });
    expect(await atime(r, f)).toBe(later);
    const before = await r.ops.stat(rootAt(), { loc: locOf(f) });
    expect(before.ok && before.iatt.mtime).toBeLessThan(later);
    await r.ops.readdir(at(later), { fd: new Fd(d), offset: 0, size: 100, xdata: { touchAtime: true } });
    expect(await atime(r, d)).toBe(later);
    await r.ops.readv(rootAt({ time: { sec: later + 1, nsec: 0 }, internal: 'self-heal' }), {
      fd: new Fd(f),
      offset: 0,
      size: 1,
      xdata: { touchAtime: true },
    });
    expect(await atime(r, f)).toBe(later);
  });

  it('of an open file reach the disk when it is closed', async () => {
    const directory = quickBrick();
    let r = await start({}, { directory });
    await fill(r.ops);
    const fd = new Fd(f);
    await r.ops.open(rootAt(), { loc: locOf(f), flags: 0, fd });
    await r.ops.readv(at(later), { fd, offset: 0, size: 1, xdata: { touchAtime: true } });
    fd.release();
    await r.close();
    r = await start({}, { directory });
    expect(await atime(r, f)).toBe(later);
    await r.close();
    rig = null;
    removeBrick(directory);
  });
});

describe('the health check', () => {
  it('follows a new interval at once', async () => {
    const r = await start({}, { 'health-check-interval': '0' });
    const { clock } = r.services as ReturnType<typeof rigServices>;
    mkdirSync(`${r.directory}/.glusterfs/health_check`);
    const events: string[] = [];
    r.xlator.parents = [{ notify: (event: GraphEvent) => events.push(event.type) } as unknown as Xlator];
    await clock.advance(100_000);
    const { values } = parseOptions(
      posix.options,
      new Map([
        ['directory', r.directory],
        ['health-check-interval', '2'],
      ]),
    );
    r.xlator.reconfigure(values);
    await clock.advance(1000);
    expect(events).toEqual([]);
    await clock.advance(1000);
    for (let i = 0; i < 1000 && events.length === 0; i++) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(events).toEqual(['child-down']);
  });
});
