import { Errno, locOf, rootGfid } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { create, layoutName, mkdir, read, spread } from './path-rig.ts';
import { distributeRig } from './rig.ts';

describe('xattrs', () => {
  it('of the file system are hidden and guarded', async () => {
    const rig = await distributeRig();
    await mkdir(rig, '/d');
    const loc = locOf(await rig.at('/d'));
    await rig.ops.setxattr(rig.call, { loc, xattrs: { 'user.k': Buffer.from('v') }, flags: 0 });
    const all = await rig.ops.getxattr(rig.call, { loc });
    expect(all.ok && Object.keys(all.xattrs)).toEqual(['user.k']);
    expect(await rig.ops.getxattr(rig.call, { loc, name: layoutName })).toMatchObject({ errno: Errno.ENODATA });
    const xattrs = { [layoutName]: Buffer.alloc(16) };
    expect(await rig.ops.setxattr(rig.call, { loc, xattrs, flags: 0 })).toMatchObject({ errno: Errno.EPERM });
    expect((await rig.ops.removexattr(rig.call, { loc, name: 'user.k' })).ok).toBe(true);
  });

  it('tell where a name would go', async () => {
    const rig = await distributeRig();
    await rig.walk('/');
    await create(rig, '/f');
    const name = 'dht.file.hashed-subvol.f';
    const reply = await rig.ops.getxattr(rig.call, { loc: locOf(rootGfid), name });
    const child = (await spread(rig, '/f')).indexOf('data');
    expect(reply.ok && Buffer.from(reply.xattrs[name]!).toString()).toBe(`tr-client-${child}\0`);
  });
});

describe('a full subvolume', () => {
  it('gets linktos, the roomiest one the files', async () => {
    const rig = await distributeRig({ options: { 'min-free-disk': '99%' } });
    await rig.walk('/');
    const { d } = rig;
    await d.space.refresh();
    const statfs = await rig.ops.statfs(rig.call, { loc: locOf(rootGfid) });
    if (!statfs.ok) throw new Error('statfs');
    const one = { ...statfs.statfs, blocks: 100, blocksFree: 50, blocksAvailable: 50 };
    const original = rig.doors.map((door) => door.ops.statfs);
    rig.doors.forEach((door, i) => {
      const answers = door.ops as { statfs: unknown };
      answers.statfs = async () => ({ ok: true, statfs: { ...one, blocksAvailable: i === 1 ? 60 : 50 } });
    });
    await rig.services.clock.advance(1500);
    await d.space.refresh();
    await rig.services.clock.advance(0);
    for (let i = 0; i < 12; i++) {
      await create(rig, `/mf${i}`);
      expect((await spread(rig, `/mf${i}`))[1]).toBe('data');
      expect(await read(rig, `/mf${i}`)).toBe('x');
    }
    expect((await spread(rig, '/mf1')).filter((kind) => kind === 'linkto:tr-client-1').length).toBeLessThanOrEqual(1);
    expect(original).toHaveLength(3);
  });
});

describe('over a single subvolume', () => {
  it('passes straight through, and lays directories out', async () => {
    const rig = await distributeRig({ children: 1, name: 'dl1' });
    await rig.walk('/');
    // GlusterFS leaves the root without, and lays it out as soon as there is a second subvolume.
    expect(await rig.xattr(0, '/', layoutName)).toBe('000000000000000000000000ffffffff');
    expect(rig.d.ops.readv).toBe(rig.doors[0]!.ops.readv);
    await mkdir(rig, '/dir0');
    expect(await rig.xattr(0, '/dir0', layoutName)).toBe('000000000000000000000000ffffffff');
    expect(await rig.xattr(0, '/dir0', `${layoutName}.mds`)).toBeUndefined();
  });
});

describe('a compound', () => {
  it('on one file goes to its subvolume whole', async () => {
    const rig = await distributeRig();
    const { fd } = await create(rig, '/f', 'hello');
    const steps = [
      { fop: 'writev', args: { fd, offset: 0, data: Buffer.from('J') } },
      { fop: 'readv', args: { fd, size: 10, offset: 0 } },
      { fop: 'flush', args: { fd } },
    ];
    const before = rig.requests();
    const reply = await rig.ops.compound(rig.call, { steps });
    expect(reply.ok && reply.replies.map((one) => one.ok)).toEqual([true, true, true]);
    expect(rig.doors.reduce((sum, door) => sum + (door.counts.get('compound') ?? 0), 0)).toBe(1);
    expect(rig.requests() - before).toBe(1);
  });
});
