import { Errno, Fd, locAt, rootGfid } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { create, directory, list, misplaced, mkdir, regular, rename, split, spread, unlink } from './path-rig.ts';
import { distributeRig } from './rig.ts';

describe('a name', () => {
  it('is made in a directory that its subvolume lacked', async () => {
    const rig = await distributeRig();
    await mkdir(rig, '/d');
    const { parent } = await split(rig, '/d/a');
    for (const door of rig.doors) {
      let lacks = true;
      door.refuse = (fop) => (lacks && fop === 'create' ? Errno.ESTALE : undefined);
      door.before = (fop) => {
        // The directory is made then.
        if (fop === 'lookup') lacks = false;
        return undefined;
      };
    }
    for (const name of ['a', 'b', 'c', 'd']) {
      const fd = new Fd(rig.gfid(), 2);
      const args = { loc: locAt(parent, name), flags: 0o302, mode: regular | 0o644, gfid: fd.gfid, fd };
      expect(await rig.ops.create(rig.call, args)).toMatchObject({ ok: true });
    }
    await rig.close();
  });

  it('is looked for on one subvolume, unless it may be elsewhere', async () => {
    const rig = await distributeRig();
    await rig.walk('/');
    await mkdir(rig, '/d');
    const gfid = await rig.at('/d');
    const before = rig.requests();
    await rig.ops.lookup(rig.call, { loc: locAt(gfid, 'none') });
    expect(rig.requests() - before).toBe(1);
    rig.d.volumeCommit = 4711;
    await rig.ops.lookup(rig.call, { loc: locAt(gfid, 'none') });
    expect(rig.requests() - before).toBe(4);
  });

  it('whose file lies elsewhere gets a linkto', async () => {
    const rig = await distributeRig();
    await rig.walk('/');
    await create(rig, '/f');
    const home = (await spread(rig, '/f')).indexOf('data');
    await unlink(rig, '/f');
    const other = (home + 1) % 3;
    const loc = locAt(rootGfid, 'f');
    await rig.bricks[other]!.mknod(rig.call, {
      loc,
      mode: regular | 0o600,
      rdevMajor: 0,
      rdevMinor: 0,
      gfid: rig.gfid(),
    });
    expect((await rig.walk('/f')).ok).toBe(true);
    expect((await spread(rig, '/f'))[home]).toBe(`linkto:tr-client-${other}`);
    expect(await list(rig, '/')).toEqual(['f']);
    // Gone behind our back: the linkto is stale, and goes too.
    await rig.bricks[other]!.unlink(rig.call, { loc });
    expect(await rig.walk('/f')).toMatchObject({ errno: Errno.ENOENT });
    expect(await spread(rig, '/f')).toEqual(['-', '-', '-']);
  });

  it('whose data is on a subvolume that is down keeps its linkto', async () => {
    const rig = await distributeRig();
    await rig.walk('/');
    const [from, to] = await misplaced(rig);
    const where = await spread(rig, to);
    rig.doors[where.indexOf('data')]!.close();
    expect(await rig.walk(to)).toMatchObject({ errno: Errno.ENOTCONN });
    expect(await spread(rig, to)).toEqual(where);
    expect(from).not.toBe(to);
  });

  it('that is a file here and a directory there is an error', async () => {
    const rig = await distributeRig();
    await rig.walk('/');
    const [, to] = await misplaced(rig);
    const free = (await spread(rig, to)).indexOf('-');
    await rig.bricks[free]!.mkdir(rig.call, { loc: locAt(rootGfid, 'x'), mode: directory | 0o755, gfid: rig.gfid() });
    const data = await create(rig, '/x2');
    expect(data.reply.ok).toBe(true);
    for (const i of [0, 1, 2].filter((one) => one !== free))
      await rig.bricks[i]!.mknod(rig.call, {
        loc: locAt(rootGfid, 'x'),
        mode: regular,
        rdevMajor: 0,
        rdevMinor: 0,
        gfid: rig.gfid(),
      });
    rig.d.volumeCommit = 99;
    expect((await rig.walk('/x')).ok && (await rename(rig, '/x', '/y')).ok && (await spread(rig, '/y'))).not.toBe(true);
  });
});
