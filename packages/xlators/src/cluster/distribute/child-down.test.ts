import { Errno, Fd, locAt, locOf, rootGfid } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { create, layoutName, list, mkdir, rename, rmdir, spread } from './path-rig.ts';
import { type DistributeRig, distributeRig } from './rig.ts';

describe('with a subvolume down', () => {
  const hex = (rig: DistributeRig, path: string, name = layoutName) =>
    Promise.all(rig.bricks.map((_, i) => rig.xattr(i, path, name)));

  it('does what a real client does, and heals when it is back', async () => {
    const rig = await distributeRig({ name: 'dh' });
    await rig.walk('/');
    await mkdir(rig, '/old');
    await mkdir(rig, '/dirmds0');
    rig.doors[2]!.close();
    expect((await mkdir(rig, '/new0')).ok).toBe(true);
    expect(await hex(rig, '/new0')).toEqual([
      '00000000000000007fffffffffffffff',
      '0000000000000000000000007ffffffe',
      undefined,
    ]);
    expect(await mkdir(rig, '/new2')).toMatchObject({ ok: false, errno: Errno.ENOTCONN });
    const dir = await rig.at('/dirmds0');
    expect((await rig.ops.setattr(rig.call, { loc: locOf(dir), attr: { mode: 0o711 } })).ok).toBe(true);
    const xattrs = { 'user.a': Buffer.from('1') };
    expect((await rig.ops.setxattr(rig.call, { loc: locOf(dir), xattrs, flags: 0 })).ok).toBe(true);
    expect(await hex(rig, '/dirmds0', `${layoutName}.mds`)).toEqual(['ffffffff', undefined, undefined]);
    expect((await create(rig, '/w0_1')).reply.ok).toBe(true);
    expect((await create(rig, '/w1_2')).reply.ok).toBe(true);
    expect((await create(rig, '/w2_0')).reply).toMatchObject({ errno: Errno.ENOTCONN });
    rig.doors[2]!.open();
    await rig.walk('/new0');
    await rig.walk('/dirmds0');
    expect(await hex(rig, '/new0')).toEqual([
      '00000000000000007fffffffffffffff',
      '0000000000000000000000007ffffffe',
      '00000000000000000000000000000000',
    ]);
    expect(await hex(rig, '/dirmds0', `${layoutName}.mds`)).toEqual(['00000000', undefined, undefined]);
    expect(await hex(rig, '/dirmds0', 'user.a')).toEqual(['31', '31', '31']);
    expect((await rig.onBrick(2, '/dirmds0'))!.iatt.mode).toBe(0o711);
  });

  it('says of a name in the root what the subvolume says that it hashes to, until a rebalance may have left some elsewhere', async () => {
    const rig = await distributeRig({ name: 'dh' });
    await rig.walk('/');
    rig.doors[2]!.close();
    const look = async (name: string) => rig.ops.lookup(rig.call, { loc: locAt(rootGfid, name) });
    expect(await look('w0_1')).toMatchObject({ errno: Errno.ENOENT });
    expect(await look('w2_0')).toMatchObject({ errno: Errno.ENOTCONN });
    rig.doors[2]!.open();
    const commit = { 'trusted.glusterfs.dht.commithash': Buffer.from('3134373640\0') };
    for (const brick of rig.bricks) await brick.setxattr(rig.call, { loc: locOf(rootGfid), xattrs: commit, flags: 0 });
    await rig.walk('/');
    rig.doors[2]!.close();
    expect(await look('w0_1')).toMatchObject({ errno: Errno.ENOTCONN });
  });

  it('writes a layout anew that has lost a part, with the commit hash that says so', async () => {
    const rig = await distributeRig({ name: 'dh' });
    await rig.walk('/');
    await mkdir(rig, '/old');
    const gfid = await rig.at('/old');
    const before = await hex(rig, '/old');
    await rig.bricks[1]!.removexattr(rig.call, { loc: locOf(gfid), name: layoutName });
    await rig.walk('/old');
    expect(await hex(rig, '/old')).toEqual(before.map((layout) => `00000001${layout!.slice(8)}`));
  });

  it('lists what the others have, and says so only when none is left', async () => {
    const rig = await distributeRig();
    await rig.walk('/');
    await mkdir(rig, '/d');
    const names = Array.from({ length: 30 }, (_, i) => `f${i}`);
    for (const name of names) await create(rig, `/d/${name}`);
    await mkdir(rig, '/d/sub');
    expect(await list(rig, '/d')).toEqual([...names, 'sub'].sort());
    rig.doors[1]!.close();
    const some = await list(rig, '/d');
    expect(some.length).toBeGreaterThan(10);
    expect(some).toContain('sub');
    for (const one of rig.doors) one.close();
    await expect(list(rig, '/d')).rejects.toThrow(`${Errno.ENOTCONN}`);
  });

  it('is told of locks that are given back, which it may have still when it is there again', async () => {
    const rig = await distributeRig({ name: 'dh', storage: 'posix' });
    const other = await distributeRig({ name: 'dh', over: rig });
    const { fd, gfid } = await create(rig, '/w0_1');
    const directory = new Fd(rootGfid);
    await rig.ops.opendir(rig.call, { loc: locOf(rootGfid), fd: directory });
    await other.walk('/w0_1');
    const lk = ({ ops, call }: DistributeRig, on: Fd, type: 'write' | 'unlock', clientId: string) => {
      const flock = { type, start: 0, length: 0, owner: '0a', pid: 1 };
      return ops.lk({ ...call, clientId }, { fd: on, command: 'set', flock });
    };
    for (const on of [fd, directory]) expect((await lk(rig, on, 'write', 'a')).ok).toBe(true);
    // The connection is gone; protocol/client keeps what gives a lock back until the session goes on.
    for (const door of rig.doors) {
      door.close();
      door.shut = false;
    }
    for (const on of [fd, directory]) await lk(rig, on, 'unlock', 'a');
    for (const door of rig.doors) door.open();
    for (const on of [new Fd(gfid, 2), directory])
      expect(await lk(other, on, 'write', 'b')).toMatchObject({ ok: true });
    fd.release();
    await other.close();
    await rig.close();
  });

  it('refuses to remove or rename a directory, which would come back', async () => {
    const rig = await distributeRig();
    await mkdir(rig, '/d');
    rig.doors[0]!.close();
    expect(await rmdir(rig, '/d')).toMatchObject({ errno: Errno.ENOTCONN });
    expect(await rename(rig, '/d', '/e')).toMatchObject({ ok: false, errno: Errno.ENOTCONN });
    rig.doors[0]!.open();
    expect((await rename(rig, '/d', '/e')).ok).toBe(true);
    expect(await spread(rig, '/e')).toEqual(['dir', 'dir', 'dir']);
  });
});

describe('events', () => {
  it('say up when all have answered and one is up, and down when none is', async () => {
    const rig = await distributeRig();
    const ups = () => rig.events.map((event) => event.type).filter((type) => type.startsWith('child-'));
    expect(ups()).toEqual(['child-up']);
    rig.doors[0]!.close();
    rig.doors[1]!.close();
    expect(ups()).toEqual(['child-up']);
    rig.doors[2]!.close();
    expect(ups()).toEqual(['child-up', 'child-down']);
    rig.doors[1]!.open();
    expect(ups()).toEqual(['child-up', 'child-down', 'child-up']);
  });

  it('say of each child that goes that what others change may not have been told', async () => {
    const rig = await distributeRig();
    const lost = () => rig.events.filter(({ type }) => type === 'upcalls-lost').length;
    rig.doors[0]!.close();
    expect(lost()).toBe(1);
    rig.doors[0]!.open();
    expect(lost()).toBe(1);
    rig.doors[1]!.propagate({ type: 'upcalls-lost' });
    expect(lost()).toBe(2);
  });

  it('says that it is not connected, not that a directory is stale, also when several ask at once', async () => {
    const rig = await distributeRig();
    await rig.walk('/');
    await mkdir(rig, '/d');
    const d = await rig.at('/d');
    for (const door of rig.doors) {
      // What is known is of before.
      door.close();
      door.open();
      door.shut = true;
    }
    const asked = Array.from({ length: 4 }, (_, i) => rig.ops.lookup(rig.call, { loc: locAt(d, `x${i}`) }));
    asked.push(rig.ops.lookup(rig.call, { loc: locOf(d) }));
    for (const reply of await Promise.all(asked)) expect(reply).toMatchObject({ ok: false, errno: Errno.ENOTCONN });
    expect(rig.d.stateOf(d)).toMatchObject({ kind: 'directory' });
    await rig.close();
  });
});
