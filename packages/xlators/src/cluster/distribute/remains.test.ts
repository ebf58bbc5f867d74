/** What a client that does not know a subvolume yet removes there stays removed, and what it could not see stays. */
import { Errno, Fd, FileType, type Gfid, locAt, rootGfid } from '@mortar/core';
import { afterEach, describe, expect, it } from 'vitest';
import { volume } from './grown-rig.ts';
import { Rebalance } from './rebalance.ts';
import type { DistributeRig } from './rig.ts';

const directory = (FileType.directory << 12) | 0o755;
const newChild = 2;
const mdsName = 'trusted.glusterfs.dht.mds';
const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

/** `late` knows two children, `known` all three, as the rebalance does. */
async function start() {
  const { small: late, client, close } = await volume();
  ends.push(close);
  return { late, known: await client('known'), mover: (session = 'mover') => client(session) };
}

async function mkdir(rig: DistributeRig, parent: Gfid, name: string): Promise<Gfid> {
  const gfid = rig.gfid();
  const made = await rig.ops.mkdir(rig.call, { loc: locAt(parent, name), mode: directory, gfid });
  expect(made).toMatchObject({ ok: true });
  return gfid;
}

const rmdir = (rig: DistributeRig, parent: Gfid, name: string) =>
  rig.ops.rmdir(rig.call, { loc: locAt(parent, name), recursive: false });

async function create(rig: DistributeRig, parent: Gfid, name: string): Promise<Gfid> {
  const gfid = rig.gfid();
  const fd = new Fd(gfid, 2);
  const loc = locAt(parent, name);
  expect(await rig.ops.create(rig.call, { loc, flags: 0o302, mode: 0o644, gfid, fd })).toMatchObject({ ok: true });
  fd.release();
  return gfid;
}

const force = (rig: DistributeRig) => new Rebalance(rig.d, 'force').run();
const whole = { state: 'completed', failures: 0 };

async function copies(rig: DistributeRig, path: string): Promise<(Gfid | null)[]> {
  const found = await Promise.all([0, 1, 2].map((brick) => rig.onBrick(brick, path)));
  return found.map((one) => one?.iatt.gfid ?? null);
}

/** Names of which many will hash to the new child. */
const names = Array.from({ length: 12 }, (_, i) => `d${i}`);

describe('directories that were removed by who did not know the new subvolume', () => {
  /** Each has been made there by who does, with one below it. */
  async function removed() {
    const rigs = await start();
    const { late, known } = rigs;
    for (const name of names) await mkdir(late, await mkdir(late, rootGfid, name), 'below');
    for (const name of names) expect((await known.walk(`/${name}/below`)).ok).toBe(true);
    for (const name of names) {
      expect(await known.onBrick(newChild, `/${name}/below`)).not.toBeNull();
      expect(await rmdir(late, await late.at(`/${name}`), 'below')).toMatchObject({ ok: true });
      expect(await rmdir(late, rootGfid, name)).toMatchObject({ ok: true });
    }
    return rigs;
  }

  it('are not there for who has looked them up before, by name or knowing them', async () => {
    const { late, known } = await start();
    for (const name of names) {
      const gfid = await mkdir(late, rootGfid, name);
      await known.walk(`/${name}`);
      await rmdir(late, rootGfid, name);
      for (const loc of [locAt(rootGfid, name, gfid), locAt(rootGfid, name)])
        expect(await known.ops.lookup(known.call, { loc })).toEqual({ ok: false, errno: Errno.ENOENT });
    }
  });

  it('do not come back with a rebalance', async () => {
    const { known, mover } = await removed();
    expect(await force(await mover())).toMatchObject(whole);
    for (const name of names) {
      expect(await copies(known, `/${name}`), name).toEqual([null, null, null]);
      expect((await known.walk(`/${name}`)).ok).toBe(false);
    }
  });

  it.each(['rmdir', 'lookup', 'entrylk', 'readdirp', 'setxattr'] as const)(
    'do not come back if it is killed in its middle (%s)',
    async (fop) => {
      const { known, mover } = await removed();
      for (const after of [1, 7, 19]) {
        const dying = await mover(`dying-${after}`);
        let count = 0;
        let die: () => void = () => undefined;
        const died = new Promise<void>((resolve) => {
          die = resolve;
        });
        for (const door of dying.doors)
          door.dead = (given) => {
            if (given === fop && ++count === after) die();
            return count >= after;
          };
        await Promise.race([force(dying), died]);
        dying.endSession(`dying-${after}`);
      }
      expect(await force(await mover())).toMatchObject(whole);
      for (const name of names) expect(await copies(known, `/${name}`), name).toEqual([null, null, null]);
    },
  );

  it('give way to new ones of their names, which are whole after a rebalance', async () => {
    const { late, known, mover } = await removed();
    const made = new Map<string, Gfid>();
    for (const name of names) made.set(name, await mkdir(late, rootGfid, name));
    expect(await force(await mover())).toMatchObject(whole);
    for (const [name, gfid] of made) expect(await copies(known, `/${name}`), name).toEqual([gfid, gfid, gfid]);
  });

  it('give way to files of their names', async () => {
    const { late, known, mover } = await removed();
    const made = new Map<string, Gfid>();
    for (const name of names) made.set(name, await create(late, rootGfid, name));
    const rebalancing = await mover();
    expect(await force(rebalancing)).toMatchObject(whole);
    const reader = await mover('reader');
    for (const [name, gfid] of made) {
      expect(await reader.walk(`/${name}`), name).toMatchObject({ ok: true, iatt: { gfid, type: FileType.regular } });
      expect((await copies(known, `/${name}`)).filter((one) => one !== null)).toEqual([gfid]);
    }
  });
});

it('a directory renamed by who did not know the new subvolume is whole after a rebalance, under its new name alone', async () => {
  const { late, known, mover } = await start();
  for (const name of names) {
    const gfid = await mkdir(late, rootGfid, name);
    await known.walk(`/${name}`);
    const names = { from: locAt(rootGfid, name, gfid), to: locAt(rootGfid, `new-${name}`) };
    expect(await late.ops.rename(late.call, { ...names, flags: 0 })).toMatchObject({ ok: true });
  }
  expect(await force(await mover())).toMatchObject(whole);
  for (const name of names) {
    expect(await copies(known, `/${name}`), name).toEqual([null, null, null]);
    expect((await copies(known, `/new-${name}`)).includes(null), name).toBe(false);
  }
});

describe('a directory with files that who removed it could not see', () => {
  /** `d`, made by who knows all subvolumes, and in it what is where another one does not look. */
  async function unseen() {
    const rigs = await start();
    const { late, known } = rigs;
    const files: [string, Gfid][] = [];
    for (const name of names) {
      const d = await mkdir(known, rootGfid, name);
      for (let i = 0; files.at(-1)?.[0].startsWith(`/${name}/`) !== true; i++)
        if ((await known.d.hashedOf(known.call, d, `f${i}`)) === newChild)
          files.push([`/${name}/f${i}`, await create(known, d, `f${i}`)]);
      for (const child of [0, 1]) {
        const done = await late.bricks[child]!.rmdir(late.call, { loc: locAt(rootGfid, name), recursive: false });
        expect(done).toMatchObject({ ok: true });
      }
    }
    return { ...rigs, files };
  }

  it('is there again after a rebalance', async () => {
    const { known, mover, files } = await unseen();
    expect(await force(await mover())).toMatchObject(whole);
    const reader = await mover('reader');
    for (const [path, gfid] of files) {
      expect(await reader.walk(path), path).toMatchObject({ ok: true, iatt: { gfid } });
      const d = path.slice(0, path.lastIndexOf('/'));
      expect((await copies(known, d)).includes(null), d).toBe(false);
      const marks = await Promise.all([0, 1, 2].map((brick) => known.xattr(brick, d, mdsName)));
      expect(marks.filter((mark) => mark !== undefined)).toHaveLength(1);
    }
  });

  it('keeps its files and says so where another one has its name', async () => {
    const { late, known, mover, files } = await unseen();
    const taken = new Map<string, Gfid>();
    for (const name of names) taken.set(name, await create(late, rootGfid, name));
    const other = await mkdir(late, rootGfid, 'other');
    await mkdir(late, other, 'below');
    const before = await known.xattr(newChild, '/', 'trusted.glusterfs.dht');
    const status = await force(await mover());
    // The directory that they are in stays as it is laid out: they would hide what has their names. All others are laid out.
    expect(status).toMatchObject({ state: 'completed', failures: 1 });
    expect(await known.xattr(newChild, '/', 'trusted.glusterfs.dht')).toBe(before);
    for (const path of ['/other', '/other/below'])
      expect((await known.xattr(newChild, path, 'trusted.glusterfs.dht'))?.endsWith('0'.repeat(16)), path).toBe(false);
    const reader = await mover('reader');
    for (const [name, gfid] of taken) expect(await reader.walk(`/${name}`), name).toMatchObject({ iatt: { gfid } });
    for (const [path, gfid] of files) expect((await known.onBrick(newChild, path))?.iatt.gfid, path).toBe(gfid);
  });
});
