import { type Args, Errno, FileType, locAt, locOf, rootGfid } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { list, volume } from './grown-rig.ts';
import { migrateFile } from './migrate.ts';
import type { DistributeRig } from './rig.ts';

const types = [
  ['a link', FileType.symlink],
  ['a device', FileType.char],
] as const;

async function one(type: FileType) {
  const rigs = await volume();
  const { small } = rigs;
  const gfid = small.gfid();
  const loc = locAt(rootGfid, 'l');
  const made =
    type === FileType.symlink
      ? await small.ops.symlink(small.call, { loc, target: 'x', gfid })
      : await small.ops.mknod(small.call, { loc, mode: (type << 12) | 0o640, rdevMajor: 1, rdevMinor: 3, gfid });
  expect(made.ok).toBe(true);
  const [app, mover] = [await rigs.client('app'), await rigs.client('mover')];
  const from = (await small.onBrick(0, '/l')) ? 0 : 1;
  const file = { parent: rootGfid, name: 'l', gfid, from, to: 2 };
  expect((await app.walk('/l')).ok).toBe(true);
  const unlink = () => app.ops.unlink(app.call, { loc: locAt(rootGfid, 'l', gfid) });
  const everywhere = (rig: DistributeRig) => Promise.all([0, 1, 2].map((i) => rig.onBrick(i, '/l')));
  return { ...rigs, app, mover, file, unlink, everywhere };
}

describe.each(types)('%s that is moved', (_what, type) => {
  it('is there once, and as it was', async () => {
    const { app, mover, file, client, close } = await one(type);
    const [atime, mtime] = [
      { sec: 1000, nsec: 1 },
      { sec: 2000, nsec: 2 },
    ];
    await app.ops.setattr(app.call, { loc: locOf(file.gfid), attr: { uid: 7, gid: 8, atime, mtime } });
    expect(await migrateFile(mover.d, mover.call, file)).toMatchObject({ outcome: 'moved' });
    for (const rig of [app, await client('fresh')])
      expect(await rig.walk('/l')).toMatchObject({
        ok: true,
        iatt: { gfid: file.gfid, type, uid: 7, gid: 8, atime: 1000, mtime: 2000, mtimeNsec: 2 },
      });
    const copies = await Promise.all([0, 1, 2].map((i) => app.onBrick(i, '/l')));
    expect(copies.map((copy) => copy?.iatt.type === type)).toEqual([false, false, true]);
    expect(await app.xattr(2, '/l', 'trusted.glusterfs.dht.linkto')).toBeUndefined();
    await close();
  });

  it.each(['setattr', 'setxattr'] as const)(
    'stays where it is, when %s does not bring over what it has',
    async (fop) => {
      const { app, mover, file, everywhere, client, close } = await one(type);
      const [loc, name] = [locOf(file.gfid), 'trusted.a'];
      const attr = { uid: 7, gid: 8, mtime: { sec: 2000, nsec: 2 } };
      await app.ops.setattr(app.call, { loc, attr });
      expect((await app.ops.setxattr(app.call, { loc, xattrs: { [name]: Buffer.from('1') }, flags: 0 })).ok).toBe(true);
      const isRefused = (asked: string, args: unknown) =>
        asked === fop && (fop === 'setattr' || name in (args as Args<'setxattr'>).xattrs);
      mover.doors[2]!.refuse = (asked, args) => (isRefused(asked, args) ? Errno.ENOSPC : undefined);
      expect(await migrateFile(mover.d, mover.call, file)).toMatchObject({ outcome: 'failed' });
      for (const rig of [app, await client('fresh')]) {
        expect(await rig.walk('/l')).toMatchObject({ ok: true, iatt: { uid: 7, gid: 8, mtime: 2000 } });
        expect(await rig.ops.getxattr(rig.call, { loc, name })).toMatchObject({ ok: true });
        expect(await list(rig)).toEqual(['l']);
      }
      expect((await everywhere(app)).filter((copy) => copy?.iatt.type === type)).toHaveLength(1);
      await close();
    },
  );

  it('does not come back when it is removed meanwhile', async () => {
    const { app, mover, file, unlink, client, close } = await one(type);
    const from = mover.d.children[file.from]! as { unlink: (typeof mover.ops)['unlink'] };
    const run = from.unlink;
    let removed: ReturnType<typeof unlink> | undefined;
    from.unlink = async (...args) => {
      removed ??= unlink();
      for (let i = 0; i < 20; i++) await new Promise((resolve) => setTimeout(resolve, 2));
      return run(...args);
    };
    await migrateFile(mover.d, mover.call, file);
    expect(await removed).toMatchObject({ ok: true });
    for (const rig of [app, await client('fresh')]) {
      expect((await rig.walk('/l')).ok).toBe(false);
      expect(await list(rig)).toEqual([]);
    }
    await close();
  });

  it.each(['setxattr', 'symlink', 'mknod', 'setattr', 'unlink', 'removexattr'] as const)(
    'does not come back when it is removed after its move was killed at %s',
    async (fop) => {
      const { all, mover, file, unlink, client, close } = await one(type);
      for (const door of mover.doors) door.dead = (name) => name === fop;
      void migrateFile(mover.d, mover.call, file);
      await new Promise((resolve) => setTimeout(resolve, 300));
      for (const door of mover.doors) door.dead = () => true;
      all.endSession('mover');
      expect(await unlink()).toMatchObject({ ok: true });
      const fresh = await client('fresh');
      expect((await fresh.walk('/l')).ok).toBe(false);
      expect(await list(fresh)).toEqual([]);
      await close();
    },
  );
});
