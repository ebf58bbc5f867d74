import { Errno, Fd, locAt, locOf, rootGfid } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { create, directory, layoutName, list, mkdir, regular, rename, rmdir, spread, unlink } from './path-rig.ts';
import { distributeRig } from './rig.ts';

describe('directories', () => {
  it('are removed from all, with the linktos in them, unless there is a file', async () => {
    const rig = await distributeRig();
    await mkdir(rig, '/d');
    await create(rig, '/d/f');
    expect(await rmdir(rig, '/d')).toMatchObject({ errno: Errno.ENOTEMPTY });
    expect(await spread(rig, '/d')).toEqual(['dir', 'dir', 'dir']);
    await unlink(rig, '/d/f');
    const gfid = await rig.at('/d');
    for (const brick of rig.bricks)
      await brick.mknod(rig.call, {
        loc: locAt(gfid, 'stale'),
        mode: regular | 0o1000,
        rdevMajor: 0,
        rdevMinor: 0,
        gfid: rig.gfid(),
        initial: { [`${layoutName}.linkto`]: Buffer.from('gone-client-9\0') },
      });
    expect((await rmdir(rig, '/d')).ok).toBe(true);
    expect(await spread(rig, '/d')).toEqual(['-', '-', '-']);
  });

  it('come back whole when a removal fails half-way', async () => {
    const rig = await distributeRig();
    await rig.walk('/');
    await mkdir(rig, '/d');
    const hashed = (await rig.d.hashedOf(rig.call, rootGfid, 'd')) as number;
    rig.doors[hashed]!.refuse = (fop) => (fop === 'rmdir' ? Errno.EROFS : undefined);
    expect(await rmdir(rig, '/d')).toMatchObject({ errno: Errno.EROFS });
    await rig.walk('/d');
    expect(await spread(rig, '/d')).toEqual(['dir', 'dir', 'dir']);
    rig.doors[hashed]!.refuse = () => undefined;
    expect((await create(rig, '/d/f')).reply.ok).toBe(true);
  });

  it('cost one round to the first and one to the rest', async () => {
    const rig = await distributeRig();
    await rig.walk('/');
    await mkdir(rig, '/a');
    const before = rig.requests();
    await rig.ops.mkdir(rig.call, { loc: locAt(rootGfid, 'b'), mode: directory | 0o755, gfid: rig.gfid() });
    expect(rig.requests() - before).toBe(3);
  });

  it('are listed once, in any portions', async () => {
    const rig = await distributeRig();
    await mkdir(rig, '/d');
    const names: string[] = [];
    for (let i = 0; i < 25; i++) {
      await mkdir(rig, `/d/dir${i}`);
      await create(rig, `/d/file${i}`);
      names.push(`dir${i}`, `file${i}`);
    }
    for (const size of [200, 1000, 65536]) expect(await list(rig, '/d', size)).toEqual(names.sort());
  });

  it('have no sizes of their own and the latest times', async () => {
    const rig = await distributeRig();
    await mkdir(rig, '/d');
    const later = { ...rig.call, time: { sec: rig.call.time.sec + 100, nsec: 5 } };
    const gfid = rig.gfid();
    const parent = await rig.at('/d');
    await rig.ops.create(later, { loc: locAt(parent, 'f'), flags: 0o302, mode: regular, gfid, fd: new Fd(gfid, 2) });
    expect(await rig.ops.stat(rig.call, { loc: locOf(parent) })).toMatchObject({
      iatt: { size: 4096, blocks: 8, mtime: later.time.sec, mtimeNsec: 5 },
    });
  });
});

describe('without use-readdirp', () => {
  it('lists every name once by plain readdir, also those whose data is not where they hash to', async () => {
    const rig = await distributeRig({ options: { 'use-readdirp': 'off' } });
    await rig.walk('/');
    await mkdir(rig, '/d');
    const names = Array.from({ length: 20 }, (_, i) => `f${i}`);
    for (const name of names) await create(rig, `/${name}`);
    for (const [i, name] of names.entries()) if (i % 2) await rename(rig, `/${name}`, `/moved${i}`);
    const expected = ['d', ...names.map((name, i) => (i % 2 ? `moved${i}` : name))].sort();
    for (const door of rig.doors) door.counts.clear();
    const fd = new Fd(rootGfid, 0);
    await rig.ops.opendir(rig.call, { loc: locOf(rootGfid), fd });
    const found: string[] = [];
    for (let offset = 0, end = false; !end; ) {
      const reply = await rig.ops.readdir(rig.call, { fd, size: 400, offset });
      if (!reply.ok) throw new Error(`readdir: ${reply.errno}`);
      found.push(...reply.entries.map((entry) => entry.name).filter((name) => !/^\.\.?$/.test(name)));
      offset = reply.entries.at(-1)?.offset ?? offset;
      end = reply.end;
    }
    expect(found.sort()).toEqual(expected);
    expect(rig.doors.map((door) => door.counts.get('readdirp'))).toEqual([undefined, undefined, undefined]);
    await rig.close();
  });
});
