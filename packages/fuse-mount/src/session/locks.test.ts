import { type Args, type Call, Errno, parseOptions, type Reply, type Subvolume } from '@mortar/core';
import { LockBook } from '@mortar/host/client/lock-book.ts';
import { xlator as locksType } from '@mortar/xlators/features/locks/index.ts';
import { settle } from '@mortar/xlators/lib/translator-rig.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { lockBody, mounted, u32, u64 } from './session-rig.ts';

describe('locks', () => {
  it('wait until the other owner closes', async () => {
    const { rig } = mounted();
    const { node, fh } = await rig.create('a');
    await rig.expect('setlk', node, ...lockBody(fh, 1, 0, 9, 1));
    expect((await rig.ask('setlk', node, ...lockBody(fh, 2, 5, 5, 0))).errno).toBe(Errno.EAGAIN);
    const waiting = rig.send('setlkw', node, ...lockBody(fh, 2, 5, 5, 0));
    await settle();
    expect(rig.answerTo(waiting)).toBeUndefined();
    expect(rig.session.stats).toMatchObject({ inFlight: 0, lockWaits: 1 });
    await rig.expect('flush', node, u64(fh, 0, 1));
    await settle();
    expect(rig.answerTo(waiting)?.errno).toBe(0);
  });

  it('tell who holds them', async () => {
    const { rig } = mounted();
    const { node, fh } = await rig.create('a');
    await rig.expect('setlk', node, ...lockBody(fh, 1, 3, 9, 1));
    const held = await rig.expect('getlk', node, ...lockBody(fh, 2, 0, 100, 0));
    expect([held.readBigUInt64LE(0), held.readBigUInt64LE(8), held.readUInt32LE(16)]).toEqual([3n, 9n, 1]);
    const free = await rig.expect('getlk', node, ...lockBody(fh, 1, 0, 100, 0));
    expect(free.readUInt32LE(16)).toBe(2);
  });

  it('end their wait with EINTR when interrupted', async () => {
    const { rig } = mounted();
    const { node, fh } = await rig.create('a');
    await rig.expect('setlk', node, ...lockBody(fh, 1, 0, 9, 1));
    const waiting = rig.send('setlkw', node, ...lockBody(fh, 2, 0, 9, 1));
    await settle();
    rig.send('interrupt', 0, u64(waiting));
    await settle();
    expect(rig.answerTo(waiting)?.errno).toBe(Errno.EINTR);
  });

  it('of flock have owners of their own, and go with the last close', async () => {
    const { rig } = mounted();
    const { node, fh } = await rig.create('a');
    await rig.expect('setlk', node, ...lockBody(fh, 1, 0, 0, 1, 1));
    await rig.expect('setlk', node, ...lockBody(fh, 2, 0, 9, 1));
    expect((await rig.ask('setlk', node, ...lockBody(fh, 1, 0, 9, 1))).errno).toBe(Errno.EAGAIN);
    await rig.expect('flush', node, u64(fh, 0, 1));
    expect((await rig.ask('setlk', node, ...lockBody(fh, 2, 0, 0, 1, 1))).errno).toBe(Errno.EAGAIN);
    const other = await rig.create('a');
    await rig.expect('release', node, u64(fh), u32(0, 2), u64(1));
    await rig.expect('setlk', node, ...lockBody(other.fh, 2, 0, 0, 1, 1));
  });

  it('are had though the graph is switched before that is known', async () => {
    const { rig, storage, services } = mounted();
    const texts = new Map();
    const { values: options } = parseOptions(locksType.options, texts);
    const brick = locksType.create({ name: 'locks', type: locksType.type, options, texts, services });
    brick.bind([storage.ops], locksType.fops);
    let answer = () => {};
    let late: Promise<void> | null = new Promise((resolve) => (answer = resolve));
    /** To bricks each graph is a client of its own. */
    const graph = (number: number): Subvolume => {
      const clientId = `host-11-1800000000-00000000000${number}-vol-client-0`;
      const open = (call: Call, args: Args<'open'>) => brick.ops.open({ ...call, clientId }, args);
      const lk = async (call: Call, args: Args<'lk'>): Promise<Reply<'lk'>> => {
        const waits = late;
        late = null;
        const reply = await brick.ops.lk({ ...call, clientId }, args);
        await waits;
        return reply;
      };
      return { ...brick.ops, open, lk };
    };
    await rig.session.setGraph(graph(1));
    const { node, fh } = await rig.create('a');
    const asked = rig.send('setlk', node, ...lockBody(fh, 1, 0, 9, 1));
    await settle();
    void rig.session.setGraph(graph(2));
    await settle();
    answer();
    await settle();
    expect(rig.answerTo(asked)?.errno).toBe(0);
    expect((await rig.ask('setlk', node, ...lockBody(fh, 2, 0, 9, 1))).errno).toBe(Errno.EAGAIN);
  });

  it('of flock that two share can be had by both alone, one after the other', async () => {
    const { rig } = mounted();
    const { node, fh } = await rig.create('a');
    const [shared, alone, none] = [0, 1, 2];
    const flock = (owner: number, type: number) => lockBody(fh, owner, 0, 0, type, 1);
    for (const owner of [1, 2]) await rig.expect('setlk', node, ...flock(owner, shared));
    const waiting = [1, 2].map((owner) => rig.send('setlkw', node, ...flock(owner, alone)));
    await settle();
    const have = () => waiting.map((one) => rig.answerTo(one)?.errno);
    expect(have()).toEqual([0, undefined]);
    expect((await rig.ask('setlk', node, ...flock(3, shared))).errno).toBe(Errno.EAGAIN);
    await rig.expect('setlk', node, ...flock(1, none));
    await settle();
    expect(have()).toEqual([0, 0]);
  });

  it('are counted by ranges as POSIX splits them', () => {
    const range = fc.tuple(fc.nat(20), fc.integer({ min: 1, max: 20 }), fc.constantFrom('read', 'write', 'unlock'));
    fc.assert(
      fc.property(fc.array(range, { maxLength: 20 }), (steps) => {
        const book = new LockBook();
        const model = new Array<string | undefined>(41).fill(undefined);
        for (const [start, length, type] of steps) {
          const end = start + length;
          if (type === 'unlock') book.clear('o', start, end);
          else book.set({ owner: 'o', type: type as 'read' | 'write', start, end, pid: 1, fh: 1 });
          model.fill(type === 'unlock' ? undefined : type, start, end);
        }
        const found = new Array<string | undefined>(41).fill(undefined);
        for (const { type, start, end } of book.of(1)) found.fill(type, start, end);
        expect(found).toEqual(model);
      }),
    );
  });
});
