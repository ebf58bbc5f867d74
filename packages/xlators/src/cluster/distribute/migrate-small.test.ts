/** The short way of small files: what it costs, what it leaves to the general way, and what is there when it ends anywhere. */
import { type Args, Errno, Fd, type FopName, type Gfid, locAt, locksGivenBack, locOf, rootGfid } from '@mortar/core';
import { afterEach, describe, expect, it } from 'vitest';
import { fixLayout } from './fix-layout.ts';
import { content, create, list, looks, volume } from './grown-rig.ts';
import { migrateFile } from './migrate.ts';
import { migrateSmall, smallBytes } from './migrate-small.ts';
import type { DistributeRig } from './rig.ts';

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

const text = 'what is in it';

/** A file on one of two bricks, and a mover that takes it to the third. */
async function start(data = Buffer.from(text)) {
  const { small, all, client, close } = await volume();
  ends.push(close);
  const { gfid, fd } = await create(small, 'f', data);
  fd.release();
  const mover = await client('mover');
  const loc = locAt(rootGfid, 'f');
  const found = await Promise.all([0, 1].map((i) => small.bricks[i]!.lookup(small.call, { loc })));
  const from = found.findIndex((reply) => reply.ok);
  const listed = async (rig: DistributeRig) => {
    const reply = await rig.bricks[from]!.lookup(rig.call, { loc: locOf(gfid), want: ['trusted.glusterfs.dht.*'] });
    if (!reply.ok) throw new Error(`errno ${reply.errno}`);
    return { iatt: reply.iatt, xattrs: reply.xattrs };
  };
  const file = { parent: rootGfid, name: 'f', gfid, from, to: 2 };
  const move = async (by = mover) => migrateFile(by.d, by.call, file, await listed(all));
  return { small, all, client, mover, gfid, from, move };
}

const fopsOf = (rig: DistributeRig): FopName[] => rig.doors.flatMap((door) => [...door.counts.keys()]);
/** The general way watches a file. */
const wasShort = (rig: DistributeRig) => !fopsOf(rig).includes('inodelk');

async function dataAt(rig: DistributeRig, gfid: Gfid): Promise<number[]> {
  const replies = await Promise.all(
    rig.bricks.map((brick) => brick.lookup(rig.call, { loc: locOf(gfid), want: ['trusted.glusterfs.dht.linkto'] })),
  );
  return replies.flatMap((reply, i) => (reply.ok && reply.iatt.mode !== 0o1000 ? [i] : []));
}

describe('a small file', () => {
  it('moves in nine requests, with all that belongs to it', async () => {
    const { small, client, mover, gfid, all, move } = await start();
    await small.ops.setxattr(small.call, { loc: locOf(gfid), xattrs: { 'user.a': Buffer.from('b') }, flags: 0 });
    const attr = { mode: 0o604, uid: 12, gid: 34, mtime: { sec: 1_000_000, nsec: 5 } };
    await small.ops.setattr(small.call, { loc: locOf(gfid), attr });
    const before = await looks(await client('before'), 'f');
    const requests = mover.requests();
    expect(await move()).toEqual({ outcome: 'moved', bytes: text.length });
    expect(mover.requests() - requests).toBe(9);
    expect(await dataAt(all, gfid)).toEqual([2]);
    for (const rig of [mover, await client('after')]) expect(await looks(rig, 'f')).toEqual(before);
    expect(await list(mover)).toEqual(['f']);
  });

  it.each([
    ['is empty', Buffer.alloc(0)],
    ['is as large as may be', Buffer.alloc(smallBytes, 'x')],
  ])('moves so if it %s', async (_what, data) => {
    const { client, mover, move } = await start(data);
    expect(await move()).toMatchObject({ outcome: 'moved' });
    expect(wasShort(mover)).toBe(true);
    expect(await content(await client('after'), 'f')).toEqual(data);
  });

  it('moves back as well, to a subvolume that is locked first', async () => {
    const { all, client, mover, gfid, from, move } = await start();
    await move();
    const requests = mover.requests();
    const found = await all.bricks[2]!.lookup(all.call, { loc: locOf(gfid) });
    if (!found.ok) throw new Error(`errno ${found.errno}`);
    const file = { parent: rootGfid, name: 'f', gfid, from: 2, to: from };
    const back = await migrateFile(mover.d, mover.call, file, { iatt: found.iatt, xattrs: {} });
    expect(back).toMatchObject({ outcome: 'moved' });
    expect(mover.requests() - requests).toBe(10);
    expect(wasShort(mover)).toBe(true);
    expect(await dataAt(all, gfid)).toEqual([from]);
    expect((await content(await client('after'), 'f')).toString()).toBe(text);
  });

  it('takes a linkto that somebody has made', async () => {
    const { all, client, mover, gfid, from, move } = await start();
    const initial = { 'trusted.glusterfs.dht.linkto': Buffer.from(`${mover.d.childName(from)}\0`) };
    const node = { loc: locAt(rootGfid, 'f'), mode: 0o101000, rdevMajor: 0, rdevMinor: 0, gfid, initial };
    expect((await all.bricks[2]!.mknod(all.call, node)).ok).toBe(true);
    expect(await move()).toMatchObject({ outcome: 'moved' });
    expect(wasShort(mover)).toBe(true);
    expect((await content(await client('after'), 'f')).toString()).toBe(text);
  });
});

describe('what goes the general way', () => {
  it.each([
    ['a larger file', async () => undefined, Buffer.alloc(smallBytes + 1, 'x')],
    [
      'a file with two names',
      async (rig: DistributeRig, gfid: Gfid) => rig.ops.link(rig.call, { from: locOf(gfid), to: locAt(rootGfid, 'g') }),
      Buffer.from(text),
    ],
    [
      'a file with a hole',
      async (rig: DistributeRig, gfid: Gfid) => rig.ops.truncate(rig.call, { loc: locOf(gfid), size: 60_000 }),
      Buffer.from(text),
    ],
    [
      'a file of the mode of a linkto',
      async (rig: DistributeRig, gfid: Gfid) => rig.ops.setattr(rig.call, { loc: locOf(gfid), attr: { mode: 0o1000 } }),
      Buffer.from(text),
    ],
  ])('%s', async (_what, change, data) => {
    const { small, client, mover, gfid, move } = await start(data);
    await change(small, gfid);
    const before = await looks(await client('before'), 'f');
    await move();
    expect(wasShort(mover)).toBe(false);
    expect(await looks(await client('after'), 'f')).toEqual(before);
  });

  it('what a linkto at the new place has and the file has not', async () => {
    const { all, client, mover, gfid, from, move } = await start();
    const initial = {
      'trusted.glusterfs.dht.linkto': Buffer.from(`${mover.d.childName(from)}\0`),
      'user.stale': Buffer.from('x'),
    };
    const node = { loc: locAt(rootGfid, 'f'), mode: 0o101000, rdevMajor: 0, rdevMinor: 0, gfid, initial };
    expect((await all.bricks[2]!.mknod(all.call, node)).ok).toBe(true);
    expect(await move()).toMatchObject({ outcome: 'moved' });
    expect(wasShort(mover)).toBe(false);
    const after = await client('after');
    expect(await after.ops.getxattr(after.call, { loc: locOf(gfid), name: 'user.stale' })).toMatchObject({ ok: false });
  });

  it('a file that changed since it was listed', async () => {
    const { small, client, mover, gfid, move } = await start();
    const data = Buffer.alloc(3 * smallBytes, 'y');
    let grown = false;
    // Before it is held.
    mover.doors[2]!.before = (fop) => {
      if (grown || fop !== 'mknod') return undefined;
      grown = true;
      return small.ops.writev(small.call, { fd: new Fd(gfid, 2), offset: 0, data }).then(() => undefined);
    };
    expect(await move()).toMatchObject({ outcome: 'moved' });
    expect(wasShort(mover)).toBe(false);
    expect(await content(await client('after'), 'f')).toEqual(data);
  });
});

describe('a mover of a small file', () => {
  it('gives back what it has locked in requests that do nothing else: such ones are made up for when a child was away', async () => {
    const { small, mover, gfid, from, move } = await start();
    const told: Args<'compound'>[] = [];
    mover.doors[2]!.refuse = (fop, args) => {
      if (fop === 'compound') told.push(args as Args<'compound'>);
      return fop === 'mknod' ? Errno.EIO : undefined;
    };
    const found = await small.bricks[from]!.lookup(small.call, { loc: locOf(gfid) });
    if (!found.ok) throw new Error(`errno ${found.errno}`);
    const file = { parent: rootGfid, name: 'f', gfid, from, to: 2 };
    const own = { ...mover.call, lockOwner: mover.d.nextLockOwner() };
    expect(await migrateSmall(mover.d, own, file, found.iatt)).toBeUndefined();
    expect(locksGivenBack('compound', told.at(-1)!).map(({ fop }) => fop)).toEqual(['entrylk', 'inodelk']);
    mover.doors[2]!.refuse = () => undefined;
    expect(await move()).toMatchObject({ outcome: 'moved' });
  });

  it('that lost the old place does not mark it, nor undo what others did', async () => {
    const { all, client, mover, gfid, from, move } = await start();
    const other = await client('other');
    let wrote: unknown;
    mover.doors[from]!.before = (fop) => {
      if (wrote !== undefined || fop !== 'setxattr') return undefined;
      wrote = null;
      // As when the brick was started again.
      all.endSession('mover', from);
      return (async () => {
        await other.ops.setattr(other.call, { loc: locOf(gfid), attr: { mode: 0o600 } });
        wrote = await other.ops.writev(other.call, { fd: new Fd(gfid, 2), offset: 0, data: Buffer.from('WHAT') });
      })();
    };
    expect(await move()).toMatchObject({ outcome: 'skipped' });
    expect(wrote).toMatchObject({ ok: true });
    expect(await dataAt(all, gfid)).toEqual([from]);
    const after = await client('after');
    expect((await content(after, 'f')).toString()).toBe('WHAT is in it');
    expect(await after.ops.stat(after.call, { loc: locOf(gfid) })).toMatchObject({ iatt: { mode: 0o600 } });
    expect(await move()).toMatchObject({ outcome: 'moved' });
    expect((await content(await client('last'), 'f')).toString()).toBe('WHAT is in it');
  });

  it('that is stopped before the copy becomes the file takes all back', async () => {
    const { client, mover, move } = await start();
    let stopped = false;
    mover.doors[2]!.before = (fop) => {
      if (stopped || fop !== 'setattr') return undefined;
      stopped = true;
      return mover.services.clock.sleep(15_000);
    };
    expect((await move()).outcome).not.toBe('moved');
    expect((await content(await client('after'), 'f')).toString()).toBe(text);
    expect(await move()).toMatchObject({ outcome: 'moved' });
  });

  /** Of all requests together. */
  const steps = 23;
  it.each(Array.from({ length: steps + 1 }, (_, i) => i))(
    'that dies after %i steps leaves one file, which works',
    async (count) => {
      const { all, small, client, mover, gfid, move } = await start();
      let left = count;
      let isDead = false;
      for (const door of mover.doors)
        door.dead = (fop) => {
          if (fop === 'compound') return isDead;
          // Asked before a step and after it.
          isDead ||= left <= 0;
          left -= 0.5;
          return isDead;
        };
      await Promise.race([move(), small.services.clock.sleep(1000)]);
      all.endSession('mover');
      const other = await client('other');
      expect((await content(other, 'f')).toString()).toBe(text);
      expect(await list(other)).toEqual(['f']);
      const fd = new Fd(gfid, 2);
      expect((await other.ops.open(other.call, { loc: locAt(rootGfid, 'f', gfid), flags: 2, fd })).ok).toBe(true);
      const more = { fd, offset: text.length, data: Buffer.from(', and more') };
      expect((await other.ops.writev(other.call, more)).ok).toBe(true);
      fd.release();
      const [from, to] = [locAt(rootGfid, 'f', gfid), locAt(rootGfid, 'g')];
      expect((await other.ops.rename(other.call, { from, to, flags: 0 })).ok).toBe(true);
      expect(await list(await client('fresh'))).toEqual(['g']);
      expect((await content(other, 'g')).toString()).toBe(`${text}, and more`);
      expect(await dataAt(all, gfid)).toHaveLength(1);
      expect((await other.ops.unlink(other.call, { loc: locAt(rootGfid, 'g', gfid) })).ok).toBe(true);
      expect(await dataAt(all, gfid)).toEqual([]);
    },
  );

  it.each(['mknod', 'writev', 'fsync', 'setxattr', 'setattr', 'truncate', 'removexattr', 'unlink', 'readv'] as const)(
    'whose %s fails on a brick leaves one file, and moves it when that is over',
    async (refused) => {
      const { all, client, mover, gfid, move } = await start();
      for (const door of mover.doors) door.refuse = (fop) => (fop === refused ? Errno.EIO : undefined);
      await move();
      for (const door of mover.doors) door.refuse = () => undefined;
      expect((await content(await client('other'), 'f')).toString()).toBe(text);
      if ((await dataAt(all, gfid)).join() !== '2') await move();
      expect((await content(await client('after'), 'f')).toString()).toBe(text);
      expect(await dataAt(all, gfid)).toEqual([2]);
      expect(await list(await client('last'))).toEqual(['f']);
    },
  );
});

it.each([
  ['with one name', 1],
  ['with several names', 2],
])('a file %s has none of the marks that an earlier move has left where it goes', async (_what, count) => {
  const { small, all, mover, gfid, from } = await start();
  expect(await fixLayout(mover.d, mover.call, rootGfid)).toBe(true);
  const there = all.bricks[2]!;
  const own = { ...all.call, internal: 'rebalance' as const };
  const names: string[] = [];
  for (let i = 0; i < 20 && names.length < count; i++)
    if ((await mover.d.hashedOf(mover.call, rootGfid, `g${i}`)) === 2) names.push(`g${i}`);
  for (const name of names) {
    const to = locAt(rootGfid, name);
    expect(await small.ops.link(small.call, { from: locOf(gfid), to })).toMatchObject({ ok: true });
  }
  await small.ops.unlink(small.call, { loc: locAt(rootGfid, 'f') });
  const initial = {
    [mover.d.names.linkto]: Buffer.from(`${mover.d.childName(from)}\0`),
    [mover.d.names.movingMode]: Buffer.from('644'),
    [mover.d.names.moving]: Buffer.from('1'),
  };
  const loc = locAt(rootGfid, names[0]!);
  const left = await there.mknod(own, { loc, mode: 0o101000, rdevMajor: 0, rdevMinor: 0, gfid, initial });
  expect(left).toMatchObject({ ok: true });
  const source = await small.bricks[from]!.lookup(own, { loc: locOf(gfid), want: ['trusted.glusterfs.dht.*'] });
  if (!source.ok) throw new Error(`errno ${source.errno}`);
  const file = { parent: rootGfid, name: names[0]!, gfid, from, to: 2 };
  expect(await migrateFile(mover.d, mover.call, file, source)).toEqual({ outcome: 'moved', bytes: text.length });
  const moved = await there.lookup(own, { loc: locOf(gfid), want: ['*'] });
  const marks = moved.ok ? Object.keys(moved.xattrs).filter((key) => /linkto|moving/.test(key)) : undefined;
  expect(marks).toEqual([]);
});
