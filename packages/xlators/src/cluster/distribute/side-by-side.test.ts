/** Several processes move the files of one volume: each has a share, and no harm is done where shares overlap. */
import { FileType, locAt, locOf, rootGfid } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { content, create, digest, volume } from './grown-rig.ts';
import { encodeLinkto } from './linkto.ts';
import { migrateFile } from './migrate.ts';
import { emptyNewPlace, prepareNewPlace, tidyLinkto } from './new-place.ts';
import { Rebalance } from './rebalance.ts';
import type { DistributeRig } from './rig.ts';

const linkto = 'trusted.glusterfs.dht.linkto';
const all = '0:0/1,1:0/1,2:0/1';
const share = (text: string) => ({ 'rebalance-share': text });

async function filled(files: number) {
  const rig = await volume();
  const datas = new Map<string, Buffer>();
  for (let i = 0; i < files; i++) {
    const data = Buffer.alloc(i % 7 === 0 ? 150_000 : 10 + i, 65 + (i % 26));
    datas.set(`f${i}`, data);
    const { fd } = await create(rig.small, `f${i}`, data);
    fd.release();
  }
  return { ...rig, datas };
}

/** The bricks that have the data of each file. */
async function places(rig: DistributeRig, names: Iterable<string>): Promise<Map<string, number[]>> {
  const found = new Map<string, number[]>();
  for (const name of names) {
    const looks = await Promise.all(
      [0, 1, 2].map((i) => rig.bricks[i]!.lookup(rig.call, { loc: locAt(rootGfid, name), want: [linkto] })),
    );
    const has = looks.flatMap((one, i) => (one.ok && !(one.xattrs[linkto] && one.iatt.mode === 0o1000) ? [i] : []));
    found.set(name, has);
  }
  return found;
}

describe('processes that move files side by side', () => {
  it.each([
    ['of a share each', ['0:0/1,2:0/1', '1:0/1']],
    ['that share each brick by the gfids', ['0:0/2,1:1/2,2:0/2', '0:1/2,1:0/2,2:1/2']],
    ['that all take everything', [all, all]],
  ])('move each file once: those %s', async (_what, shares) => {
    const { client, close, datas } = await filled(60);
    const movers = await Promise.all(shares.map((text, i) => client(`mover${i}`, share(text))));
    const before = await places(movers[0]!, datas.keys());
    const done = await Promise.all(movers.map((mover) => new Rebalance(mover.d, 'force').run()));
    // Who finds the other at a file leaves it to him.
    for (const status of done) expect(status).toMatchObject({ state: 'completed', failures: 0 });
    const after = await places(movers[0]!, datas.keys());
    const changed = [...datas.keys()].filter((name) => before.get(name)![0] !== after.get(name)![0]);
    expect(changed.length).toBeGreaterThan(10);
    expect(done.reduce((sum, { movedFiles }) => sum + movedFiles, 0)).toBe(changed.length);
    const fresh = await client('fresh');
    for (const [name, data] of datas) {
      expect(after.get(name), name).toEqual([await fresh.d.hashedOf(fresh.call, rootGfid, name)]);
      expect(digest(await content(fresh, name)), name).toBe(digest(data));
    }
    await close();
  });

  it('look after nothing but their share', async () => {
    const { client, close, datas } = await filled(60);
    const mover = await client('mover', share('1:0/1'));
    const before = await places(mover, datas.keys());
    const { movedFiles } = await new Rebalance(mover.d, 'force').run();
    const after = await places(mover, datas.keys());
    const changed = [...datas.keys()].filter((name) => before.get(name)![0] !== after.get(name)![0]);
    expect(changed.map((name) => before.get(name))).toEqual(changed.map(() => [1]));
    expect(movedFiles).toBe(changed.length);
    expect(movedFiles).toBeGreaterThan(0);
    await close();
  });

  it('fail with a share that is none of their volume', async () => {
    const { client, close } = await filled(1);
    const mover = await client('mover', share('3:0/1'));
    expect(await new Rebalance(mover.d, 'force').run()).toMatchObject({ state: 'failed', movedFiles: 0 });
    await close();
  });

  it('need no lock of a directory that another one has laid out', async () => {
    const { client, close } = await filled(1);
    const [first, second] = [await client('first', share('0:0/1')), await client('second', share('1:0/1'))];
    const locksOf = async (mover: DistributeRig) => {
      for (const door of mover.doors) door.counts.clear();
      await new Rebalance(mover.d, 'fix-layout').run();
      return mover.doors.reduce((sum, door) => sum + (door.counts.get('inodelk') ?? 0), 0);
    };
    expect(await locksOf(first)).toBeGreaterThan(0);
    expect(await locksOf(second)).toBe(0);
    await close();
  });

  it('give all directories one layout, at the same time', async () => {
    const { client, close, small } = await filled(1);
    for (let i = 0; i < 12; i++)
      await small.ops.mkdir(small.call, {
        loc: locAt(rootGfid, `d${i}`),
        mode: (FileType.directory << 12) | 0o755,
        gfid: small.gfid(),
      });
    const movers = await Promise.all([0, 1, 2].map((i) => client(`mover${i}`, share(`${i}:0/1`))));
    const done = await Promise.all(movers.map((mover) => new Rebalance(mover.d, 'fix-layout').run()));
    for (const status of done) expect(status).toMatchObject({ state: 'completed', failures: 0 });
    for (const path of ['/', ...Array.from({ length: 12 }, (_, i) => `/d${i}`)]) {
      const hex = await Promise.all([0, 1, 2].map((i) => movers[0]!.xattr(i, path, 'trusted.glusterfs.dht')));
      const ranges = hex.map((one) => [one!.slice(16, 24), one!.slice(24)].map((half) => Number.parseInt(half, 16)));
      ranges.sort(([a], [b]) => a! - b!);
      expect(ranges[0]![0], path).toBe(0);
      expect(ranges[2]![1], path).toBe(0xffffffff);
      for (const i of [1, 2]) expect(ranges[i]![0], path).toBe(ranges[i - 1]![1]! + 1);
    }
    await close();
  });

  it('settle what one of them left where another one has gone by', async () => {
    const { client, close, datas } = await filled(60);
    const mover = await client('mover', share('0:0/1,2:0/1'));
    // In place, on a brick that is none of its own, and still marked as one that has just come.
    const at = await places(mover, datas.keys());
    const name = [...datas.keys()].find((one) => at.get(one)![0] === 1)!;
    const found = await mover.bricks[1]!.lookup(mover.call, { loc: locAt(rootGfid, name) });
    const loc = locOf(found.ok ? found.iatt.gfid : null!);
    const internal = { ...mover.call, internal: 'rebalance' as const };
    await mover.bricks[1]!.setxattr(internal, { loc, xattrs: { [linkto]: encodeLinkto('tr-client-0') }, flags: 0 });
    expect(await new Rebalance(mover.d, 'force').run()).toMatchObject({ state: 'completed', failures: 0 });
    expect(await mover.xattr(1, `/${name}`, linkto)).toBeUndefined();
    await close();
  });
});

describe('a linkto that one process fills', () => {
  async function large() {
    const { small, client, close } = await volume();
    const data = Buffer.alloc(900_000, 'data');
    const { gfid, fd } = await create(small, 'f', data);
    fd.release();
    const looks = await Promise.all(
      [0, 1].map((i) => small.bricks[i]!.lookup(small.call, { loc: locAt(rootGfid, 'f') })),
    );
    const from = looks.findIndex((reply) => reply.ok);
    return { client, close, data, file: { parent: rootGfid, name: 'f', gfid, from, to: 2 } };
  }

  it('is not emptied by another one, although it says that its file is elsewhere', async () => {
    const { client, close, data, file } = await large();
    const [mover, other] = [await client('mover', share(all)), await client('other', share(all))];
    let writes = 0;
    mover.doors[2]!.before = (fop) => {
      if (fop !== 'writev' || ++writes !== 3) return undefined;
      return (async () => {
        // As an older move has left it.
        const value = { [linkto]: encodeLinkto(`tr-client-${1 - file.from}`) };
        const internal = { ...mover.call, internal: 'rebalance' as const };
        await mover.bricks[2]!.setxattr(internal, { loc: locOf(file.gfid), xattrs: value, flags: 0 });
        await tidyLinkto(other.d, other.call, { ...file, from: 2, to: 2 });
        await emptyNewPlace(other.d, other.d.ownCall(other.call), file);
      })();
    };
    expect(await migrateFile(mover.d, mover.call, file)).toMatchObject({ outcome: 'moved' });
    expect(writes).toBeGreaterThan(3);
    expect(digest(await content(await client('fresh'), 'f'))).toBe(digest(data));
    await close();
  });

  it('is not emptied when it has become the file since somebody looked', async () => {
    const { client, close, data, file } = await large();
    const [mover, other] = [await client('mover', share(all)), await client('other', share(all))];
    const source = await mover.ops.lookup(mover.call, { loc: locAt(rootGfid, 'f') });
    if (!source.ok) throw new Error('no file');
    const place = { parent: rootGfid, name: 'f', child: 2 };
    await prepareNewPlace(mover.d, mover.d.ownCall(mover.call), { ...file, places: [place] }, source);
    other.doors[2]!.before = (fop) => {
      if (fop !== 'truncate') return undefined;
      other.doors[2]!.before = () => undefined;
      // The brick has lost touch with it; what it sent before is still on its way.
      other.endSession('other', 2);
      return (async () => {
        expect(await migrateFile(mover.d, mover.call, file)).toMatchObject({ outcome: 'moved' });
      })();
    };
    const own = { ...other.d.ownCall(other.call), lockOwner: other.d.nextLockOwner() };
    const there = locOf(file.gfid);
    await mover.bricks[2]!.truncate({ ...mover.call, internal: 'rebalance' }, { loc: there, size: 5 });
    await emptyNewPlace(other.d, own, file);
    if (other.doors[2]!.before('truncate')) throw new Error('it was not emptied at all');
    expect(digest(await content(await client('fresh'), 'f'))).toBe(digest(data));
    await close();
  });
});
