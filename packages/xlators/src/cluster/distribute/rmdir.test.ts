/** What is in a directory that nobody sees does not keep it, and what was removed stays away, whoever moves and heals meanwhile. */
import { Errno, Fd, FileType, type FopName, type Gfid, locAt, locOf, rootGfid } from '@mortar/core';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type DistributeRig, distributeRig } from './rig.ts';

const layoutName = 'trusted.glusterfs.dht';
const linktoName = `${layoutName}.linkto`;
const rigs: DistributeRig[] = [];

afterEach(async () => {
  for (const rig of rigs.splice(0).reverse()) await rig.close();
});

async function start(options: Parameters<typeof distributeRig>[0] = {}): Promise<DistributeRig> {
  const rig = await distributeRig(options);
  rigs.push(rig);
  await rig.walk('/');
  return rig;
}

async function mkdir(rig: DistributeRig, parent: Gfid, name: string): Promise<Gfid> {
  const gfid = rig.gfid();
  expect(await rig.ops.mkdir(rig.call, { loc: locAt(parent, name), mode: 0o755, gfid })).toMatchObject({ ok: true });
  return gfid;
}

/** While time goes on. */
async function rmdir(rig: DistributeRig, name: string, parent: Gfid = rootGfid) {
  let isOver = false;
  const removed = rig.ops.rmdir(rig.call, { loc: locAt(parent, name), recursive: false }).finally(() => {
    isOver = true;
  });
  while (!isOver) {
    await new Promise(setImmediate);
    await rig.services.clock.advance(10);
  }
  return removed;
}

/** A linkto that leads to `target`, past the translator. */
function linkto(rig: DistributeRig, child: number, parent: Gfid, name: string, target: string) {
  const initial = { [linktoName]: Buffer.from(`${target}\0`) };
  const mode = (FileType.regular << 12) | 0o1000;
  const node = { loc: locAt(parent, name), mode, rdevMajor: 0, rdevMinor: 0, gfid: rig.gfid(), initial };
  return rig.bricks[child]!.mknod(rig.call, node);
}

async function copies(rig: DistributeRig, path: string): Promise<number[]> {
  const found = await Promise.all(rig.bricks.map((_, i) => rig.onBrick(i, path)));
  return [...found.keys()].filter((i) => found[i] !== null);
}

/** What a client leaves that does not know the last child: its copy of a directory, without the mark. */
async function leftover(rig: DistributeRig, parent: Gfid, name: string): Promise<Gfid> {
  const gfid = rig.gfid();
  const initial = { [layoutName]: Buffer.from('00000001000000000000000000000000', 'hex') };
  const made = await rig.bricks[2]!.mkdir(rig.call, { loc: locAt(parent, name), mode: 0o755, gfid, initial });
  expect(made).toMatchObject({ ok: true });
  return gfid;
}

async function nameOn(rig: DistributeRig, parent: Gfid, fits: (child: number) => boolean): Promise<string> {
  for (let i = 0; ; i++) if (fits((await rig.d.hashedOf(rig.call, parent, `n${i}`)) as number)) return `n${i}`;
}

/** What the subvolumes are asked meanwhile, by fop. */
async function requestsOf(rig: DistributeRig, run: () => Promise<unknown>): Promise<Partial<Record<FopName, number>>> {
  for (const door of rig.doors) door.counts.clear();
  await run();
  const counts: Partial<Record<FopName, number>> = {};
  for (const { counts: own } of rig.doors) for (const [fop, count] of own) counts[fop] = (counts[fop] ?? 0) + count;
  return counts;
}

describe('over three subvolumes, by name as the kernel does it', () => {
  it('a directory is made with one request to each', async () => {
    const rig = await start();
    expect(await requestsOf(rig, () => mkdir(rig, rootGfid, 'd'))).toEqual({ mkdir: 3 });
  });

  it('one that is empty is looked up where its name hashes to alone, listed, and removed under its lock', async () => {
    const rig = await start();
    await mkdir(rig, rootGfid, 'd');
    const fresh = await start({ over: rig });
    // protocol/client sends opendir with the first page.
    expect(await requestsOf(fresh, () => rmdir(fresh, 'd'))).toEqual({
      lookup: 1,
      opendir: 3,
      readdirp: 3,
      entrylk: 2,
      rmdir: 3,
    });
    expect(await copies(rig, '/d')).toEqual([]);
  });

  it('a tree is listed and removed with one more request for each file', async () => {
    const rig = await start();
    const d = await mkdir(rig, rootGfid, 'd');
    const names = Array.from({ length: 10 }, (_, i) => `f${i}`);
    for (const name of names) {
      const node = { loc: locAt(d, name), mode: (FileType.fifo << 12) | 0o600, rdevMajor: 0, rdevMinor: 0 };
      expect((await rig.ops.mknod(rig.call, { ...node, gfid: rig.gfid() })).ok).toBe(true);
    }
    const fresh = await start({ over: rig });
    const list = async (gfid: Gfid) => {
      const fd = new Fd(gfid);
      await fresh.ops.opendir(fresh.call, { loc: locOf(gfid), fd });
      expect(await fresh.ops.readdirp(fresh.call, { fd, size: 65536, offset: 0 })).toMatchObject({ ok: true });
      fd.release();
    };
    await list(rootGfid);
    const counts = await requestsOf(fresh, async () => {
      await list(d);
      for (const name of names)
        expect(await fresh.ops.unlink(fresh.call, { loc: locAt(d, name) })).toMatchObject({ ok: true });
      expect(await rmdir(fresh, 'd')).toMatchObject({ ok: true });
    });
    expect(counts).toEqual({ lookup: 1, opendir: 6, readdirp: 6, unlink: 10, entrylk: 2, rmdir: 3 });
  });

  it('what is no directory where its name hashes to is looked for as ever', async () => {
    const rig = await start();
    const loc = locAt(rootGfid, 'f');
    const node = { loc, mode: (FileType.fifo << 12) | 0o600, rdevMajor: 0, rdevMinor: 0, gfid: rig.gfid() };
    await rig.ops.mknod(rig.call, node);
    expect(await rmdir(rig, 'f')).toEqual({ ok: false, errno: Errno.ENOTDIR });
    expect(await rmdir(rig, 'nothing')).toEqual({ ok: false, errno: Errno.ENOENT });
    await mkdir(rig, rootGfid, 'd');
    const hashed = (await rig.d.hashedOf(rig.call, rootGfid, 'd')) as number;
    await rig.bricks[hashed]!.rmdir(rig.call, { loc: locAt(rootGfid, 'd'), recursive: false });
    const fresh = await start({ over: rig });
    // Without its marked copy it is the rest of one that was removed.
    expect(await rmdir(fresh, 'd')).toEqual({ ok: false, errno: Errno.ENOENT });
  });
});

describe('a directory that is empty to all who look', () => {
  it.each([0, 1, 2])('goes though a mover makes a linkto in it while it goes (subvolume %i)', async (child) => {
    const rig = await start();
    const d = await mkdir(rig, rootGfid, 'd');
    let linktos = 0;
    rig.doors[child]!.refuse = (fop) => {
      if (fop === 'rmdir' && linktos++ < 2) void linkto(rig, child, d, `f${linktos}`, 'gone-client-9');
      return undefined;
    };
    expect(await rmdir(rig, 'd')).toMatchObject({ ok: true });
    expect(linktos).toBeGreaterThan(1);
    expect(await copies(rig, '/d')).toEqual([]);
  });

  it('goes though a listing does not tell what is left in it', async () => {
    const rig = await start();
    const d = await mkdir(rig, rootGfid, 'd');
    await linkto(rig, 1, d, 'f', 'gone-client-9');
    const brick = rig.d.children[1]!;
    const readdirp = brick.readdirp.bind(brick);
    vi.spyOn(brick, 'readdirp').mockImplementation(async (call, args) => {
      const page = await readdirp(call, args);
      return page.ok
        ? { ...page, entries: page.entries.map((entry) => ({ ...entry, iatt: null, xattrs: null })) }
        : page;
    });
    expect(await rmdir(rig, 'd')).toMatchObject({ ok: true });
    expect(await copies(rig, '/d')).toEqual([]);
  });

  it('goes with copies of directories that were removed by who did not know the child', async () => {
    const rig = await start();
    const d = await mkdir(rig, rootGfid, 'd');
    const gone = await leftover(rig, d, await nameOn(rig, d, (child) => child !== 2));
    await linkto(rig, 2, gone, 'f', 'gone-client-9');
    await leftover(rig, gone, 'below');
    expect(await rmdir(rig, 'd')).toMatchObject({ ok: true });
    expect(await copies(rig, '/d')).toEqual([]);
  });

  it('stays when such a copy has a file in it', async () => {
    const rig = await start();
    const d = await mkdir(rig, rootGfid, 'd');
    const name = await nameOn(rig, d, (child) => child !== 2);
    const gone = await leftover(rig, d, name);
    const mode = (FileType.regular << 12) | 0o644;
    const node = { loc: locAt(gone, 'f'), mode, rdevMajor: 0, rdevMinor: 0, gfid: rig.gfid() };
    expect(await rig.bricks[2]!.mknod(rig.call, node)).toMatchObject({ ok: true });
    expect(await rmdir(rig, 'd')).toEqual({ ok: false, errno: Errno.ENOTEMPTY });
    expect(await copies(rig, '/d')).toEqual([0, 1, 2]);
    expect(await copies(rig, `/d/${name}/f`)).toEqual([2]);
  });
});

it('a linkto that leads to a file is not taken away for a removal that is refused', async () => {
  const rig = await start();
  const d = await mkdir(rig, rootGfid, 'd');
  await rig.bricks[0]!.mknod(rig.call, {
    loc: locAt(d, 'f'),
    mode: (FileType.regular << 12) | 0o644,
    rdevMajor: 0,
    rdevMinor: 0,
    gfid: rig.gfid(),
  });
  const { iatt } = (await rig.onBrick(0, '/d/f'))!;
  const initial = { [linktoName]: Buffer.from(`${rig.d.childName(0)}\0`) };
  const mode = (FileType.regular << 12) | 0o1000;
  const loc = locAt(d, 'f');
  await rig.bricks[1]!.mknod(rig.call, { loc, mode, rdevMajor: 0, rdevMinor: 0, gfid: iatt.gfid, initial });
  // The file comes when its subvolume has been looked at.
  let isHidden = true;
  const brick = rig.d.children[0]!;
  const readdirp = brick.readdirp.bind(brick);
  vi.spyOn(brick, 'readdirp').mockImplementation(async (call, args) => {
    const page = await readdirp(call, args);
    const hide = isHidden;
    isHidden = false;
    return page.ok && hide ? { ...page, entries: page.entries.filter(({ name }) => name !== 'f') } : page;
  });
  expect(await rmdir(rig, 'd')).toEqual({ ok: false, errno: Errno.ENOTEMPTY });
  expect(await copies(rig, '/d/f')).toEqual([0, 1]);
});

describe.each(['memory', 'posix'] as const)(
  'a directory above which the layout has changed, bricks in %s',
  (storage) => {
    /** `d` and what is in it as the client knows it; then the ranges of `d` change places, so that `e` hashes elsewhere. */
    async function relaidOut() {
      const rig = await start({ storage, children: 2 });
      const other = await distributeRig({ children: 2, over: rig });
      rigs.push(other);
      const d = await mkdir(rig, rootGfid, 'd');
      const e = await mkdir(rig, d, 'e');
      await other.walk('/d/e');
      const call = { ...rig.call, internal: 'rebalance' as const };
      const layouts = await Promise.all([1, 0].map((i) => rig.xattr(i, '/d', layoutName)));
      for (const [i, hex] of layouts.entries()) {
        const xattrs = { [layoutName]: Buffer.from(hex!, 'hex') };
        await rig.bricks[i]!.setxattr(call, { loc: locOf(d), xattrs, flags: 0 });
      }
      await rig.walk('/d');
      return { rig, other, d, e };
    }

    it('is removed whole by who learns of it then', async () => {
      const { rig, other, d } = await relaidOut();
      const before = await other.d.hashedOf(other.call, d, 'e');
      expect(await rmdir(other, 'e', d)).toMatchObject({ ok: true });
      expect(await copies(rig, '/d/e')).toEqual([]);
      expect(await other.d.hashedOf(other.call, d, 'e')).not.toBe(before);
    });

    it('is not brought back by who heals it while it goes', async () => {
      const { rig, other, d } = await relaidOut();
      // The one that removes goes by the old layout, and is between its first copy and its last; the other one looks the directory up.
      let looked: Promise<unknown> | undefined;
      const hashed = (await other.d.hashedOf(other.call, d, 'e')) as number;
      other.doors[hashed]!.before = (fop) => {
        if (fop !== 'rmdir' || looked) return undefined;
        looked = rig.walk('/d/e');
        return looked.then(() => undefined);
      };
      expect(await rmdir(other, 'e', d)).toMatchObject({ ok: true });
      expect(looked).toBeDefined();
      await looked;
      expect(await copies(rig, '/d/e')).toEqual([]);
    });
  },
);
