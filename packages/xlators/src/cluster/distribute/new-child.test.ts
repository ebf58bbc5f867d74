/** A child that is new lacks directories until somebody makes them there, and that may fail at first. */
import { Errno, Fd, FileType, type FopName, type Gfid, locAt, locOf, rootGfid } from '@mortar/core';
import { afterEach, describe, expect, it } from 'vitest';
import { fixLayout } from './fix-layout.ts';
import { create, volume } from './grown-rig.ts';
import { layoutName, mkdir } from './path-rig.ts';
import { Rebalance } from './rebalance.ts';
import { type DistributeRig, distributeRig } from './rig.ts';

const directory = (FileType.directory << 12) | 0o755;
const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

/** `/d/below` was there before the third child, and could not be made there when it was looked up. */
async function start() {
  const { small, client, close } = await volume();
  ends.push(close);
  const d = small.gfid();
  const below = small.gfid();
  await small.ops.mkdir(small.call, { loc: locAt(rootGfid, 'd'), mode: directory, gfid: d });
  await small.ops.mkdir(small.call, { loc: locAt(d, 'below'), mode: directory, gfid: below });
  const rig = await client('client');
  expect(await fixLayout(rig.d, rig.call, rootGfid)).toBe(true);
  const refusing = rig.doors[2]!;
  refusing.refuse = (fop) => (fop === 'mkdir' ? Errno.EIO : undefined);
  expect((await rig.walk('/d/below')).ok).toBe(true);
  refusing.refuse = () => undefined;
  expect(await rig.onBrick(2, '/d')).toBeNull();
  return { small, rig, below };
}

async function nameOn(rig: DistributeRig, parent: Gfid, child: number): Promise<string> {
  for (let i = 0; ; i++) if ((await rig.d.hashedOf(rig.call, parent, `n${i}`)) === child) return `n${i}`;
}

async function make(rig: DistributeRig, parent: Gfid, name: string): Promise<Gfid> {
  const gfid = rig.gfid();
  const fd = new Fd(gfid, 2);
  expect(
    await rig.ops.create(rig.call, { loc: locAt(parent, name), flags: 0o302, mode: 0o644, gfid, fd }),
  ).toMatchObject({ ok: true });
  fd.release();
  return gfid;
}

describe('in a directory that a child lacks', () => {
  it('a file is renamed to where the child is to have a linkto of its old name', async () => {
    const { rig, below } = await start();
    const gfid = await make(rig, below, 'f');
    const to = locAt(rootGfid, await nameOn(rig, rootGfid, 2));
    expect(await rig.ops.rename(rig.call, { from: locAt(below, 'f'), to, flags: 0 })).toMatchObject({ ok: true });
    expect(await rig.ops.lookup(rig.call, { loc: to })).toMatchObject({ ok: true, iatt: { gfid } });
    expect(await rig.onBrick(2, '/d/below')).not.toBeNull();
  });

  it('a file that the child has gets a name', async () => {
    const { rig, below } = await start();
    const gfid = await make(rig, rootGfid, await nameOn(rig, rootGfid, 2));
    const to = locAt(below, 'f');
    expect(await rig.ops.link(rig.call, { from: locOf(gfid), to })).toMatchObject({ ok: true });
    expect(await rig.ops.lookup(rig.call, { loc: to })).toMatchObject({ ok: true, iatt: { gfid } });
  });
});

describe('a directory that a child lacks', () => {
  const gfidsOf = async (rig: DistributeRig, path: string) => {
    const found = await Promise.all([0, 1, 2].map((brick) => rig.onBrick(brick, path)));
    return found.map((one) => one?.iatt.gfid ?? null);
  };

  it.each(['as it is', 'over an empty one that the child has'])('is renamed, %s', async (how) => {
    const { rig, below } = await start();
    rig.doors[2]!.refuse = (fop, args) => {
      const { gfid } = args as { gfid?: Gfid };
      return fop === 'mkdir' && gfid !== undefined && isOld.has(gfid) ? Errno.EIO : undefined;
    };
    const isOld = new Set([below, await rig.at('/d')]);
    const name = await nameOn(rig, rootGfid, 0);
    const to = locAt(rootGfid, name);
    if (how !== 'as it is') {
      const made = await rig.ops.mkdir(rig.call, { loc: to, mode: directory, gfid: rig.gfid() });
      expect(made).toMatchObject({ ok: true });
      expect(await rig.onBrick(2, `/${name}`)).not.toBeNull();
    }
    const from = locAt(await rig.at('/d'), 'below', below);
    expect(await rig.ops.rename(rig.call, { from, to, flags: 0 })).toMatchObject({ ok: true });
    expect(await gfidsOf(rig, `/${name}`)).toEqual([below, below, null]);
    expect(await gfidsOf(rig, '/d/below')).toEqual([null, null, null]);
    rig.doors[2]!.refuse = () => undefined;
    expect(await new Rebalance(rig.d, 'fix-layout').run()).toMatchObject({ state: 'completed', failures: 0 });
    expect(await gfidsOf(rig, `/${name}`)).toEqual([below, below, below]);
  });

  it('is not renamed where the child has it, but not the directory that it is to go to', async () => {
    const { rig, below } = await start();
    const moved = rig.gfid();
    expect(await rig.ops.mkdir(rig.call, { loc: locAt(rootGfid, 'm'), mode: directory, gfid: moved })).toMatchObject({
      ok: true,
    });
    rig.doors[2]!.refuse = (fop) => (fop === 'mkdir' ? Errno.EIO : undefined);
    const args = { from: locAt(rootGfid, 'm', moved), to: locAt(below, 'm'), flags: 0 };
    expect((await rig.ops.rename(rig.call, args)).ok).toBe(false);
    expect(await gfidsOf(rig, '/m')).toEqual([moved, moved, moved]);
    expect(await gfidsOf(rig, '/d/below/m')).toEqual([null, null, null]);
  });
});

describe('a rebalance', () => {
  const force = (rig: DistributeRig) => new Rebalance(rig.d, 'force').run();

  it.each<FopName>(['mkdir', 'setxattr', 'lookup', 'readdirp'])(
    'lays out what it could not at first (%s)',
    async (fop) => {
      const { rig } = await start();
      let refusals = 0;
      rig.doors[2]!.refuse = (given) => (given === fop && refusals++ < 1 ? Errno.ENOTCONN : undefined);
      expect(await force(rig)).toMatchObject({ state: 'completed', failures: 0 });
      expect(refusals).toBeGreaterThan(1);
      for (const path of ['/', '/d', '/d/below']) {
        const range = await rig.xattr(2, path, 'trusted.glusterfs.dht');
        expect(range?.endsWith('0'.repeat(16)), path).toBe(false);
      }
    },
  );

  it('tells of what it could not lay out at all', async () => {
    const { rig } = await start();
    rig.doors[2]!.refuse = (fop) => (fop === 'mkdir' ? Errno.EIO : undefined);
    const status = await force(rig);
    expect(status.failures).toBeGreaterThan(0);
  });

  it.each(['small', 'large'])('settles what it could not when it moved it, a %s file', async (size) => {
    const { small, rig } = await start();
    const name = await nameOn(rig, rootGfid, 2);
    const data = Buffer.alloc(size === 'small' ? 10 : 100_000, 'x');
    const { gfid, fd } = await create(small, name, data);
    fd.release();
    let refused: string | undefined;
    rig.doors[2]!.refuse = (fop, args) => {
      if (fop !== 'removexattr' || refused) return undefined;
      refused = (args as { name: string }).name;
      return Errno.ENOTCONN;
    };
    expect(await force(rig)).toMatchObject({ state: 'completed', failures: 0 });
    expect(refused).toBe('trusted.glusterfs.dht.linkto');
    const found = await rig.onBrick(2, `/${name}`);
    expect(found?.iatt).toMatchObject({ gfid, size: data.length });
    expect(Object.keys(found!.xattrs).filter((one) => /linkto|moving/.test(one))).toEqual([]);
  });

  it('has failed if a child went away before it ended', async () => {
    const { rig } = await start();
    await force(rig);
    const [, , door] = rig.doors;
    const listings = () => door!.counts.get('readdirp') ?? 0;
    const before = listings();
    expect(await force(rig)).toMatchObject({ state: 'completed', failures: 0 });
    const last = 2 * listings() - before;
    door!.before = (fop) => {
      if (fop === 'readdirp' && listings() === last) door!.propagate({ type: 'child-down' });
      return undefined;
    };
    expect(await force(rig)).toMatchObject({ state: 'failed' });
  });
});

describe('with a subvolume just added', () => {
  it('shows all that a volume over a single one had', async () => {
    const small = await distributeRig({ children: 1 });
    await small.walk('/');
    expect(await small.xattr(0, '/', layoutName)).toMatch(/00000000ffffffff$/);
    const names = Array.from({ length: 8 }, (_, i) => `d${i}`);
    for (const name of names) await mkdir(small, `/${name}`);
    const more = await distributeRig({ children: 1, name: 'new' });
    const rig = await distributeRig({
      children: 2,
      over: { ...small, bricks: [...small.bricks, ...more.bricks], served: [...small.served, ...more.served] },
    });
    await rig.walk('/');
    const page = await rig.ops.readdirp(rig.call, { fd: new Fd(rootGfid), size: 65536, offset: 0 });
    const shown = page.ok ? page.entries.map((entry) => entry.name) : [];
    expect(shown.filter((name) => name.startsWith('d')).sort()).toEqual(names);
    for (const each of [rig, small, more]) await each.close();
  });

  it('keeps owner and mode of the root, and gives them to the new one', async () => {
    const small = await distributeRig({ children: 2 });
    await small.walk('/');
    const attr = { mode: 0o1777, uid: 7, gid: 8 };
    await small.ops.setattr(small.call, { loc: locOf(rootGfid), attr });
    const more = await distributeRig({ children: 1, name: 'new' });
    const bricks = [...small.bricks, ...more.bricks];
    // The root of the new one is the youngest of all.
    const old = await small.bricks[0]!.stat(small.call, { loc: locOf(rootGfid) });
    const ctime = { sec: (old.ok ? old.iatt.ctime : 0) + 60, nsec: 0 };
    await more.bricks[0]!.setattr(more.call, { loc: locOf(rootGfid), attr: { mode: 0o755, ctime } });
    const rig = await distributeRig({ children: 3, over: { ...small, bricks, served: bricks } });
    expect(await rig.walk('/')).toMatchObject({ ok: true, iatt: attr });
    expect(await more.bricks[0]!.stat(more.call, { loc: locOf(rootGfid) })).toMatchObject({ ok: true, iatt: attr });
    for (const each of [rig, small, more]) await each.close();
  });
});
