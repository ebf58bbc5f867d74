import { Errno, Fd, locAt, locOf, rootGfid } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { contents, create, marks, mkdir, onBricks, rig, rigs, until, write } from './test-rig.ts';

describe('healing', () => {
  it('brings back data, names, attributes and removals', async () => {
    const { bricks } = await rig();
    const { daemon } = await rigs[0]!.healDaemon();
    const client = await rigs[0]!.client();
    const kept = await create(client, 'kept', 'old');
    await create(client, 'gone', 'x');
    await create(client, 'moved', 'moved');
    const directory = await mkdir(client, 'd');
    await client.xlator.drain();
    rigs[0]!.cut(2);
    await write(client, kept.fd, 'new data');
    await client.ops.setattr(client.call, { loc: locOf(kept.gfid), attr: { mode: 0o600, uid: 5 } });
    await client.ops.setxattr(client.call, { loc: locOf(directory), xattrs: { 'user.x': Buffer.from('y') }, flags: 0 });
    await client.ops.unlink(client.call, { loc: locAt(rootGfid, 'gone') });
    await client.ops.rename(client.call, { from: locAt(rootGfid, 'moved'), to: locAt(directory, 'here'), flags: 0 });
    const inside = await create(client, 'inside', 'deep', await mkdir(client, 'sub', directory));
    const symlink = rigs[0]!.newGfid();
    await client.ops.symlink(client.call, { loc: locAt(directory, 'link'), target: 'inside', gfid: symlink });
    await client.xlator.drain();
    rigs[0]!.join(2);
    await until(async () => (await daemon.info('all')).every((brick) => brick.connected && brick.entries.length === 0));
    const [, , healed] = bricks;
    expect(await contents(healed!.ops, client.call, kept.gfid)).toBe('new data');
    expect(await contents(healed!.ops, client.call, inside.gfid)).toBe('deep');
    const stat = await healed!.ops.stat(client.call, { loc: locOf(kept.gfid) });
    expect(stat).toMatchObject({ iatt: { mode: 0o600, uid: 5 } });
    expect(await healed!.ops.lookup(client.call, { loc: locAt(rootGfid, 'gone') })).toMatchObject({
      errno: Errno.ENOENT,
    });
    expect(await healed!.ops.lookup(client.call, { loc: locAt(directory, 'here') })).toMatchObject({ ok: true });
    expect(await healed!.ops.readlink(client.call, { loc: locOf(symlink) })).toMatchObject({ target: 'inside' });
    const xattr = await healed!.ops.getxattr(client.call, { loc: locOf(directory), name: 'user.x' });
    expect(xattr.ok && Buffer.from(xattr.xattrs['user.x']!).toString()).toBe('y');
    for (const brick of bricks)
      for (const gfid of [rootGfid, kept.gfid, directory, inside.gfid])
        expect(await marks(brick, client.call, gfid)).toEqual({});
  });

  it('does not count what was removed while a replica was away, and takes it off the index when it is asked', async () => {
    await rig();
    const { daemon } = await rigs[0]!.healDaemon();
    const client = await rigs[0]!.client();
    rigs[0]!.cut(2);
    const files = [];
    for (const name of ['a', 'b', 'c']) files.push(await create(client, name, 'x'));
    for (const { fd } of files.slice(0, 2)) fd.release();
    // Their marks are there to stay.
    await client.xlator.drain();
    for (const name of ['a', 'b', 'c']) await client.ops.unlink(client.call, { loc: locAt(rootGfid, name) });
    await client.xlator.drain();
    const entries = async () => (await daemon.info('all')).map((brick) => brick.entries.map(({ gfid }) => gfid));
    expect(await entries()).toEqual([[rootGfid], [rootGfid], []]);
    expect((await daemon.count()).map(({ count }) => count)).toEqual([1, 1, undefined]);
    rigs[0]!.join(2);
    await until(async () => (await daemon.info('all')).every((brick) => brick.connected && brick.entries.length === 0));
  });

  it.each([{}, { 'use-anonymous-inode': 'yes', 'volume-id': 'ed5290f4-0000-4000-8000-00000000abcd' }])(
    'moves a directory that was renamed with all that is in it, parking %o',
    async (options: Record<string, string>) => {
      const { bricks } = await rig();
      const { daemon } = await rigs[0]!.healDaemon(options);
      const client = await rigs[0]!.client();
      const [from, to] = [await mkdir(client, 'from'), await mkdir(client, 'to')];
      const moved = await mkdir(client, 'moved', from);
      const file = await create(client, 'file', 'kept', moved);
      await create(client, 'elsewhere', 'e', from);
      await client.xlator.drain();
      rigs[0]!.cut(2);
      await client.ops.rename(client.call, { from: locAt(from, 'moved'), to: locAt(to, 'there'), flags: 0 });
      await client.ops.rename(client.call, { from: locAt(from, 'elsewhere'), to: locAt(to, 'too'), flags: 0 });
      await client.xlator.drain();
      rigs[0]!.join(2);
      await until(async () =>
        (await daemon.info('all')).every((brick) => brick.connected && brick.entries.length === 0),
      );
      expect(await bricks[2]!.ops.lookup(client.call, { loc: locAt(to, 'there') })).toMatchObject({
        iatt: { gfid: moved },
      });
      expect(await bricks[2]!.ops.lookup(client.call, { loc: locAt(from, 'moved') })).toMatchObject({ ok: false });
      expect(await contents(bricks[2]!.ops, client.call, file.gfid)).toBe('kept');
      if (options['volume-id']) {
        const loc = locAt(rootGfid, `.glusterfs-anonymous-inode-${options['volume-id']}`);
        const made = await bricks[2]!.ops.mkdir(client.call, { loc, mode: 0o755, gfid: rigs[0]!.newGfid() });
        expect(made.ok || made.errno === Errno.EEXIST).toBe(true);
        expect(await client.ops.lookup(client.call, { loc })).toEqual({ ok: false, errno: Errno.ENOENT });
      }
      await until(async () => {
        const parked = await bricks[2]!.ops.lookup(client.call, {
          loc: locAt(rootGfid, `.glusterfs-anonymous-inode-${options['volume-id']}`),
        });
        if (!parked.ok) return true;
        const fd = new Fd(parked.iatt.gfid);
        const page = await bricks[2]!.ops.readdir(client.call, { fd, size: 4096, offset: 0 });
        return page.ok && page.entries.every((entry) => entry.name === '.' || entry.name === '..');
      });
    },
  );

  it('gives a file that a client has open its name back, not another file beside it', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client();
    const { fd, gfid } = await create(client, 'f', 'old');
    await client.xlator.drain();
    // Something went wrong with it on one brick, where the client goes on having it open.
    expect(await bricks[2]!.ops.unlink(client.call, { loc: locAt(rootGfid, 'f') })).toMatchObject({ ok: true });
    const one = Buffer.from('000000000000000000000001', 'hex');
    const stale = Buffer.from('000000010000000000000000', 'hex');
    await bricks[2]!.ops.setxattr(client.call, {
      loc: locOf(gfid),
      xattrs: { 'trusted.afr.vol-client-0': stale },
      flags: 0,
    });
    for (const brick of bricks.slice(0, 2))
      await brick.ops.setxattr(client.call, {
        loc: locOf(rootGfid),
        xattrs: { 'trusted.afr.vol-client-2': one },
        flags: 0,
      });
    const { daemon } = await rigs[0]!.healDaemon({ 'granular-entry-heal': 'off' });
    await until(async () => (await daemon.info('all')).every((brick) => brick.connected && brick.entries.length === 0));
    expect(await bricks[2]!.ops.lookup(client.call, { loc: locAt(rootGfid, 'f') })).toMatchObject({ iatt: { gfid } });
    expect(await write(client, fd, 'new')).toMatchObject({ ok: true });
    await client.xlator.drain();
    expect(await onBricks(bricks, client.call, gfid)).toEqual(['new', 'new', 'new']);
    for (const brick of bricks) expect(await marks(brick, client.call, gfid)).toEqual({});
  });

  it.each([
    ['on', true],
    ['off', false],
  ] as const)('with ensure-durability %s waits for disks: %s', async (value, waits) => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client();
    const { fd, gfid } = await create(client, 'large', 'before');
    await client.xlator.drain();
    rigs[0]!.cut(2);
    await write(client, fd, 'x'.repeat(300_000), 0);
    await client.xlator.drain();
    rigs[0]!.join(2);
    const { daemon, client: healer } = await rigs[0]!.healDaemon({ 'ensure-durability': value });
    await until(async () => (await daemon.info('all')).every((brick) => brick.connected && brick.entries.length === 0));
    const [one, , two] = await onBricks(bricks, client.call, gfid);
    expect(two).toBe(one);
    expect(healer.gates.some((gate) => (gate.counts.get('fsync') ?? 0) > 0)).toBe(waits);
  });
});
