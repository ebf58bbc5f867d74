import { Errno, Fd, FileType, type FopName, type Gfid, locAt, locOf, rootGfid } from '@mortar/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { list } from './grown-rig.ts';
import { type DistributeRig, distributeRig } from './rig.ts';

const layoutName = 'trusted.glusterfs.dht';

async function make(rig: DistributeRig, names: readonly string[]) {
  for (const name of names) {
    const gfid = rig.gfid();
    const fd = new Fd(gfid, 2);
    const mode = (FileType.regular << 12) | 0o644;
    const made = await rig.ops.create(rig.call, { loc: locAt(rootGfid, name), flags: 0o302, mode, gfid, fd });
    expect(made.ok).toBe(true);
    fd.release();
  }
}

const mkdir = (rig: DistributeRig, name: string) =>
  rig.ops.mkdir(rig.call, { loc: locAt(rootGfid, name), mode: (FileType.directory << 12) | 0o755, gfid: rig.gfid() });
const rename = (rig: DistributeRig, from: string, to: string) =>
  rig.ops.rename(rig.call, { from: locAt(rootGfid, from), to: locAt(rootGfid, to), flags: 0 });
const unlink = (rig: DistributeRig, name: string, gfid: Gfid | null = null) =>
  rig.ops.unlink(rig.call, { loc: locAt(rootGfid, name, gfid) });

/** The same volume as another client sees it, who knows nothing yet but the root. */
async function other(rig: DistributeRig): Promise<DistributeRig> {
  const fresh = await distributeRig({ over: rig });
  await fresh.walk('/');
  return fresh;
}

function count(rig: DistributeRig, ...fops: FopName[]): number {
  return rig.doors.reduce((sum, door) => sum + fops.reduce((all, fop) => all + (door.counts.get(fop) ?? 0), 0), 0);
}

function forgetCounts(rig: DistributeRig): void {
  for (const door of rig.doors) door.counts.clear();
}

async function placesOf(rig: DistributeRig, name: string): Promise<number[]> {
  const found = await Promise.all(rig.bricks.map((_, brick) => rig.onBrick(brick, name)));
  return found.flatMap((one, brick) => (one ? [brick] : []));
}

describe('after a listing with attributes', () => {
  it('files are used where they are, without a lookup', async () => {
    const rig = await distributeRig();
    await rig.walk('/');
    const names = Array.from({ length: 30 }, (_, i) => `f${i}`);
    await make(rig, names);
    // Some are not where their names hash to.
    for (const name of names.slice(20)) expect((await rename(rig, name, `moved-${name}`)).ok).toBe(true);
    const gfids = new Map<string, Gfid>();
    for (const name of await list(rig)) gfids.set(name, await rig.at(`/${name}`));
    const fresh = await other(rig);
    await list(fresh);
    forgetCounts(fresh);
    for (const gfid of gfids.values()) expect((await fresh.ops.stat(fresh.call, { loc: locOf(gfid) })).ok).toBe(true);
    expect([count(fresh, 'lookup'), count(fresh, 'stat')]).toEqual([0, 30]);
    for (const [name, gfid] of gfids) expect((await unlink(fresh, name, gfid)).ok).toBe(true);
    expect(await list(rig)).toEqual([]);
    for (const name of gfids.keys()) expect(await placesOf(rig, name)).toEqual([]);
    await rig.close();
  });

  it('directories are listed, and made files in, without a lookup', async () => {
    const rig = await distributeRig();
    await rig.walk('/');
    for (const name of ['a', 'b', 'c']) await mkdir(rig, name);
    const gfids = await Promise.all(['a', 'b', 'c'].map((name) => rig.at(`/${name}`)));
    const fresh = await other(rig);
    await list(fresh);
    forgetCounts(fresh);
    for (const [i, gfid] of gfids.entries()) {
      const fd = new Fd(gfid);
      await fresh.ops.opendir(fresh.call, { loc: locOf(gfid), fd });
      expect(await fresh.ops.readdirp(fresh.call, { fd, size: 4096, offset: 0 })).toMatchObject({
        ok: true,
        end: true,
      });
      const node = { loc: locAt(gfid, 'n'), mode: (FileType.fifo << 12) | 0o600, rdevMajor: 0, rdevMinor: 0 };
      expect((await fresh.ops.mknod(fresh.call, { ...node, gfid: fresh.gfid() })).ok, `${i}`).toBe(true);
      expect((await rig.walk(`/${'abc'[i]}/n`)).ok).toBe(true);
    }
    expect(count(fresh, 'lookup')).toBe(0);
    await rig.close();
  });

  it.each(['missing', 'without a layout', 'with another mode'] as const)(
    'a directory that is %s on one of them is looked up, and healed, when it is used',
    async (what) => {
      const rig = await distributeRig();
      await rig.walk('/');
      await mkdir(rig, 'd');
      const gfid = await rig.at('/d');
      const loc = locAt(rootGfid, 'd');
      const brick = rig.bricks[1]!;
      if (what === 'missing') await brick.rmdir(rig.call, { loc, recursive: false });
      else if (what === 'without a layout') await brick.removexattr(rig.call, { loc: locOf(gfid), name: layoutName });
      else await brick.setattr(rig.call, { loc: locOf(gfid), attr: { mode: 0o700 } });
      const fresh = await other(rig);
      await list(fresh);
      forgetCounts(fresh);
      await fresh.ops.opendir(fresh.call, { loc: locOf(gfid), fd: new Fd(gfid) });
      expect(count(fresh, 'lookup')).toBeGreaterThan(0);
      expect(await rig.onBrick(1, '/d')).toMatchObject({ iatt: { mode: 0o755 } });
      expect(await rig.xattr(1, '/d', layoutName)).toBeDefined();
      await rig.close();
    },
  );

  it.each(['missed a change', 'is missing'])(
    'a directory that %s on one of them has no attributes in it: who wants them looks it up, which heals',
    async (what) => {
      const rig = await distributeRig();
      await rig.walk('/');
      await mkdir(rig, 'd');
      const gfid = await rig.at('/d');
      const state = rig.d.stateOf(gfid);
      const away = state?.kind === 'directory' && state.mds === 1 ? 2 : 1;
      if (what === 'missed a change') rig.doors[away]!.close();
      const xattrs = { 'user.x': Buffer.from('y') };
      expect((await rig.ops.setxattr(rig.call, { loc: locOf(gfid), xattrs, flags: 0 })).ok).toBe(true);
      rig.doors[away]!.open();
      const loc = locAt(rootGfid, 'd');
      if (what === 'is missing') await rig.bricks[away]!.rmdir(rig.call, { loc, recursive: false });
      const listed = async (who: DistributeRig) => {
        const fd = new Fd(rootGfid);
        await who.ops.opendir(who.call, { loc: locOf(rootGfid), fd });
        const page = await who.ops.readdirp(who.call, { fd, size: 4096, offset: 0 });
        fd.release();
        return page.ok ? page.entries.find(({ name }) => name === 'd') : undefined;
      };
      const fresh = await other(rig);
      expect(await listed(fresh)).toMatchObject({ gfid, iatt: null });
      expect((await fresh.ops.lookup(fresh.call, { loc: locAt(rootGfid, 'd') })).ok).toBe(true);
      expect(await rig.xattr(away, '/d', 'user.x')).toBeDefined();
      expect(await listed(fresh)).toMatchObject({ gfid, iatt: { gfid } });
      await rig.close();
    },
  );

  it('a file that has just come, or is there twice, is looked at more closely before its name goes', async () => {
    const rig = await distributeRig();
    await rig.walk('/');
    await make(rig, ['f']);
    const gfid = await rig.at('/f');
    const [at] = await placesOf(rig, '/f');
    await rig.bricks[at!]!.setxattr(rig.call, {
      loc: locOf(gfid),
      xattrs: { [`${layoutName}.linkto`]: Buffer.from(`tr-client-${(at! + 1) % 3}\0`) },
      flags: 0,
    });
    const fresh = await other(rig);
    await list(fresh);
    expect(fresh.d.stateOf(gfid)).toBeUndefined();
    forgetCounts(fresh);
    expect((await unlink(fresh, 'f', gfid)).ok).toBe(true);
    expect(count(fresh, 'lookup')).toBeGreaterThan(3);
    expect(await placesOf(rig, '/f')).toEqual([]);
    await rig.close();
  });

  it('what others changed since is found all the same', async () => {
    const step = fc.record({ name: fc.nat(5), to: fc.nat(5), does: fc.constantFrom('rename', 'unlink', 'create') });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
        const rig = await distributeRig();
        await rig.walk('/');
        await make(rig, ['n0', 'n1', 'n2', 'n3']);
        const fresh = await other(rig);
        await list(fresh);
        for (const { name, to, does } of steps) {
          if (does === 'rename') await rename(rig, `n${name}`, `n${to}`);
          else if (does === 'unlink') await unlink(rig, `n${name}`);
          else if (!(await rig.walk(`/n${name}`)).ok) await make(rig, [`n${name}`]);
        }
        const expected = (await list(rig)).sort();
        for (let i = 0; i < 6; i++) {
          const known = (await rig.walk(`/n${i}`)).ok;
          expect((await unlink(fresh, `n${i}`)).ok).toBe(known);
        }
        expect(expected.length === 0 || (await list(rig)).length === 0).toBe(true);
        await rig.close();
      }),
      { numRuns: 60 },
    );
  });
});

describe('unlink by name', () => {
  it('is one request where the file is where its name hashes to', async () => {
    const rig = await distributeRig();
    await rig.walk('/');
    await make(rig, ['f']);
    const fresh = await other(rig);
    forgetCounts(fresh);
    expect((await unlink(fresh, 'f')).ok).toBe(true);
    expect([fresh.requests(), count(fresh, 'unlink')]).toEqual([1, 1]);
    expect(await placesOf(rig, '/f')).toEqual([]);
    await rig.close();
  });

  it('takes a misplaced file and its linkto', async () => {
    const rig = await distributeRig();
    await rig.walk('/');
    const names = Array.from({ length: 12 }, (_, i) => `f${i}`);
    await make(rig, names);
    for (const name of names) await rename(rig, name, `to-${name}`);
    const fresh = await other(rig);
    for (const name of names) {
      expect((await unlink(fresh, `to-${name}`)).ok).toBe(true);
      expect(await placesOf(rig, `/to-${name}`)).toEqual([]);
    }
    await rig.close();
  });

  it('of a directory says EISDIR, of nothing ENOENT, and leaves both as they are', async () => {
    const rig = await distributeRig();
    await rig.walk('/');
    await mkdir(rig, 'd');
    expect(await unlink(rig, 'd')).toEqual({ ok: false, errno: Errno.EISDIR });
    expect(await unlink(rig, 'nothing')).toEqual({ ok: false, errno: Errno.ENOENT });
    expect(await placesOf(rig, '/d')).toEqual([0, 1, 2]);
    await rig.close();
  });
});
