import { isDeepStrictEqual } from 'node:util';
import { type Args, Errno, Fd, type Gfid, locAt, locOf, rootGfid, type Success } from '@mortar/core';
import type { RigClient } from '@mortar/testing/replica-rig.ts';
import { describe, expect, it } from 'vitest';
import { decodeVector, encodeVector, negated } from './changelog.ts';
import { passOn } from './heal/pass-on.ts';
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

  it('removes no name when the only replica that knew leaves in the middle', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client();
    for (const name of ['a', 'b', 'c']) await create(client, name);
    await client.xlator.drain();
    // Only the first has all that was done; the others missed something.
    const { daemon, client: healer } = await rigs[0]!.healDaemon({ 'granular-entry-heal': 'off' });
    const one = Buffer.from('000000000000000000000001', 'hex');
    const accusation = { 'trusted.afr.vol-client-1': one, 'trusted.afr.vol-client-2': one };
    await bricks[0]!.ops.setxattr(client.call, { loc: locOf(rootGfid), xattrs: accusation, flags: 0 });
    const left = new Promise<void>((resolve) => {
      healer.gates[0]!.fault = (fop, args) => {
        if (fop !== 'lookup' || (args as Args<'lookup'>).loc.name === null) return 'pass';
        healer.gates[0]!.shutDoor();
        resolve();
        return 'drop-request';
      };
    });
    daemon.launch(false);
    await left;
    await new Promise((resolve) => setTimeout(resolve, 300));
    for (const brick of bricks)
      for (const name of ['a', 'b', 'c'])
        expect(await brick.ops.lookup(client.call, { loc: locAt(rootGfid, name) })).toMatchObject({ ok: true });
  });

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

  it('brings a small file over in one go: contents, owner, xattrs, and no more than it has', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client();
    const changed = await create(client, 'changed', 'was longer before');
    await client.xlator.drain();
    rigs[0]!.cut(2);
    await client.ops.ftruncate(client.call, { fd: changed.fd, size: 3 });
    const made = [changed];
    for (let i = 0; i < 20; i++) made.push(await create(client, `new${i}`, i === 0 ? '' : `data ${i}`));
    for (const { gfid } of made) {
      await client.ops.setattr(client.call, { loc: locOf(gfid), attr: { mode: 0o604, uid: 7 } });
      await client.ops.setxattr(client.call, { loc: locOf(gfid), xattrs: { 'user.x': Buffer.from('y') }, flags: 0 });
    }
    await client.xlator.drain();
    rigs[0]!.join(2);
    const { daemon, client: healer } = await rigs[0]!.healDaemon();
    await until(async () => (await daemon.info('all')).every((brick) => brick.connected && brick.entries.length === 0));
    for (const { gfid } of made) {
      const [one, , two] = await onBricks(bricks, client.call, gfid);
      expect(two).toBe(one);
      expect(await bricks[2]!.ops.stat(client.call, { loc: locOf(gfid) })).toMatchObject({
        iatt: { mode: 0o604, uid: 7 },
      });
      const { ops } = bricks[2]!;
      expect(await ops.getxattr(client.call, { loc: locOf(gfid), name: 'user.x' })).toMatchObject({ ok: true });
      for (const brick of bricks) expect(await marks(brick, client.call, gfid)).toEqual({});
    }
    const requests = healer.gates.map((gate) => [...gate.counts.values()].reduce((sum, count) => sum + count, 0));
    // Who waits here asks as well.
    expect(Math.max(...requests) / made.length).toBeLessThan(16);
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

  it('gives who is accused no vote on what the others have, when one of them has lost it', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client({ 'post-op-delay-secs': '0' });
    const { fd, gfid } = await create(client, 'f', '\0\0\0\0');
    await client.xlator.drain();
    // All but brick 0, which missed it, were interrupted in a write; brick 1 has lost that, and brick 2 has it.
    const later = { ...client.call, time: { ...client.call.time, sec: client.call.time.sec + 60 } };
    await bricks[2]!.ops.writev(later, { fd: new Fd(gfid, 2), offset: 0, data: Buffer.from('good') });
    const open = (key: string) => ({ [`trusted.afr.${key}`]: Buffer.from('000000010000000000000000', 'hex') });
    for (const brick of bricks.slice(1)) {
      const values = { ...open('dirty'), ...open('vol-client-0') };
      await brick.ops.xattrop(client.call, { loc: locOf(gfid), operation: 'add32', values });
    }
    fd.release();
    await rigs[0]!.healDaemon();
    await until(async () => Object.keys(await marks(bricks[2]!, client.call, gfid)).length === 0);
    expect(await onBricks(bricks, client.call, gfid)).toEqual(['good', 'good', 'good']);
  });

  it('makes those alike of whom each is accused by one, and nobody by enough', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client({ 'post-op-delay-secs': '0' });
    const { fd, gfid } = await create(client, 'f', 'good');
    fd.release();
    await client.xlator.drain();
    // Brick 0 wrote what brick 1 had no room for, and brick 2 lost with its machine that it says so, too.
    const later = { ...client.call, time: { ...client.call.time, sec: client.call.time.sec + 60 } };
    await bricks[0]!.ops.writev(later, { fd: new Fd(gfid, 2), offset: 0, data: Buffer.from('some') });
    const one = Buffer.from('000000010000000000000000', 'hex');
    const accuse = (by: number, accused: readonly number[]) =>
      bricks[by]!.ops.xattrop(client.call, {
        loc: locOf(gfid),
        operation: 'add32',
        values: Object.fromEntries(accused.map((child) => [`trusted.afr.vol-client-${child}`, one])),
      });
    await accuse(0, [1]);
    await accuse(1, [0, 2]);
    await rigs[0]!.healDaemon();
    const left = async () => Promise.all(bricks.map((brick) => marks(brick, client.call, gfid)));
    await until(async () => (await left()).every((one) => Object.keys(one).length === 0));
    expect(await onBricks(bricks, client.call, gfid)).toEqual(['good', 'good', 'good']);
  });

  it('leaves the mark of an interrupted write while one of those that were in it cannot be looked at', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client({ 'post-op-delay-secs': '0' });
    const { fd, gfid } = await create(client, 'f', 'none');
    await client.xlator.drain();
    // Brick 0 was away, brick 1 failed, and brick 2 has what was written.
    const later = { ...client.call, time: { ...client.call.time, sec: client.call.time.sec + 60 } };
    await bricks[2]!.ops.writev(later, { fd: new Fd(gfid, 2), offset: 0, data: Buffer.from('some') });
    const open = (key: string) => ({ [`trusted.afr.${key}`]: Buffer.from('000000010000000000000000', 'hex') });
    for (const brick of bricks.slice(1)) {
      const values = { ...open('dirty'), ...open('vol-client-0') };
      await brick.ops.xattrop(client.call, { loc: locOf(gfid), operation: 'add32', values });
    }
    fd.release();
    const { daemon, client: healer } = await rigs[0]!.healDaemon();
    healer.gates[1]!.fault = (fop, args) =>
      fop === 'lookup' && (args as Args<'lookup'>).loc.gfid === gfid ? Errno.EIO : 'pass';
    await until(async () => (await contents(bricks[0]!.ops, client.call, gfid)) === 'some');
    await until(async () => !('vol-client-0' in (await marks(bricks[2]!, client.call, gfid))));
    for (const brick of bricks.slice(1))
      expect(await marks(brick, client.call, gfid)).toEqual({ dirty: '000000010000000000000000' });
    healer.gates[1]!.fault = () => 'pass';
    daemon.launch(false);
    await until(async () => Object.keys(await marks(bricks[1]!, client.call, gfid)).length === 0);
    expect(await onBricks(bricks, client.call, gfid)).toEqual(['some', 'some', 'some']);
  });

  it('of different files of one name takes the one that an accused replica has as well, where those that are right differ', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client();
    const directory = await mkdir(client, 'd');
    await client.xlator.drain();
    const [common, other] = [rigs[0]!.newGfid(), rigs[0]!.newGfid()];
    const loc = locAt(directory, 'name');
    for (const [i, gfid] of [common, common, other].entries())
      await bricks[i]!.ops.mkdir(client.call, { loc, mode: 0o755, gfid });
    const add = (name: string, hex: string) => ({ [`trusted.afr.${name}`]: Buffer.from(hex, 'hex') });
    const blame = { ...add('vol-client-0', '000000010000000000000001'), ...add('dirty', '000000000000000000000001') };
    for (const brick of bricks.slice(1))
      await brick.ops.xattrop(client.call, { loc: locOf(directory), operation: 'add32', values: blame });
    const { daemon } = await rigs[0]!.healDaemon();
    await until(async () => (await daemon.info('all')).every((brick) => brick.connected && brick.entries.length === 0));
    for (const brick of bricks)
      expect(await brick.ops.lookup(client.call, { loc })).toMatchObject({ ok: true, iatt: { gfid: common } });
  });

  /** What the replicas have under a name: the gfid, or undefined. */
  const under = (client: RigClient, parent: Gfid, name: string) =>
    Promise.all(
      rigs[0]!.bricks.map(async ({ ops }) => {
        const reply = await ops.lookup(client.call, { loc: locAt(parent, name) });
        return reply.ok ? reply.iatt.gfid : undefined;
      }),
    );

  const mark = async (client: RigClient, child: number, gfid: Gfid, marks: Record<string, string>) => {
    const values = Object.fromEntries(
      Object.entries(marks).map(([key, hex]) => [`trusted.afr.${key}`, Buffer.from(hex, 'hex')]),
    );
    const { ops } = rigs[0]!.bricks[child]!;
    expect(await ops.xattrop(client.call, { loc: locOf(gfid), operation: 'add32', values })).toMatchObject({
      ok: true,
    });
  };

  const anyName = '000000010000000000000001';
  const oneName = '000000000000000000000001';

  it('keeps what two have that accuse each other, beside a third one that is right and accuses nobody', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client();
    const directory = await mkdir(client, 'd');
    const [first, last] = [
      await create(client, 'on the first', '1', directory),
      await create(client, 'on the last', '3', directory),
    ];
    const both = await mkdir(client, 'moved', directory);
    const inside = await create(client, 'inside', 'deep', both);
    await client.xlator.drain();
    for (const { fd } of [first, last, inside]) fd.release();
    const call = { ...client.call };
    for (const child of [1, 2]) await bricks[child]!.ops.unlink(call, { loc: locAt(directory, 'on the first') });
    for (const child of [0, 1]) await bricks[child]!.ops.unlink(call, { loc: locAt(directory, 'on the last') });
    // A name of which each has a file of its own: that of the right one.
    const made = bricks.map(() => rigs[0]!.newGfid());
    for (const [i, { ops }] of bricks.entries())
      await ops.mknod(call, {
        loc: locAt(directory, 'three'),
        mode: 0o100644,
        rdevMajor: 0,
        rdevMinor: 0,
        gfid: made[i]!,
      });
    // One of which those have different files that are not right.
    for (const child of [0, 2])
      await bricks[child]!.ops.mkdir(call, { loc: locAt(directory, 'two'), mode: 0o755, gfid: rigs[0]!.newGfid() });
    for (const [child, name] of [[0, 'there'] as const, [2, 'elsewhere'] as const])
      await bricks[child]!.ops.rename(call, { from: locAt(directory, 'moved'), to: locAt(directory, name), flags: 0 });
    await mark(client, 0, directory, { 'vol-client-2': anyName });
    await mark(client, 2, directory, { 'vol-client-0': anyName });
    const seen = await client.ops.lookup(client.call, { loc: locAt(directory, 'on the last') });
    expect(seen).toMatchObject({ ok: true, iatt: { gfid: last.gfid } });
    const { daemon } = await rigs[0]!.healDaemon();
    await until(async () => (await daemon.info('all')).every((brick) => brick.connected && brick.entries.length === 0));
    expect(await under(client, directory, 'on the first')).toEqual(Array(3).fill(first.gfid));
    expect(await under(client, directory, 'on the last')).toEqual(Array(3).fill(last.gfid));
    expect(await under(client, directory, 'three')).toEqual(Array(3).fill(made[1]));
    expect(await under(client, directory, 'two')).toEqual(Array(3).fill(undefined));
    expect(await under(client, directory, 'moved')).toEqual(Array(3).fill(both));
    for (const name of ['there', 'elsewhere'])
      expect(await under(client, directory, name)).toEqual(Array(3).fill(undefined));
    expect(await onBricks(bricks, client.call, inside.gfid)).toEqual(['deep', 'deep', 'deep']);
    expect(await onBricks(bricks, client.call, last.gfid)).toEqual(['3', '3', '3']);
    for (const brick of bricks) expect(await marks(brick, client.call, directory)).toEqual({});
  });

  it('lets one that it heals accuse those that its source accuses: a removal stays one when the source is gone', async () => {
    await rig();
    const client = await rigs[0]!.client();
    const directory = await mkdir(client, 'd');
    await create(client, 'removed', 'x', directory);
    const kept = await create(client, 'kept', 'before', directory);
    await client.xlator.drain();
    rigs[0]!.cut(2);
    await client.ops.unlink(client.call, { loc: locAt(directory, 'removed') });
    await write(client, kept.fd, 'after!');
    await client.xlator.drain();
    // The disk of the second is replaced: it knows nothing any more.
    for (const [gfid, hex] of [
      [directory, anyName],
      [kept.gfid, '000000010000000100000000'],
    ] as const) {
      const said = (await marks(rigs[0]!.bricks[1]!, client.call, gfid))['vol-client-2']!;
      const values = { 'trusted.afr.vol-client-2': encodeVector(negated(decodeVector(Buffer.from(said, 'hex')))) };
      await rigs[0]!.bricks[1]!.ops.xattrop(client.call, { loc: locOf(gfid), operation: 'add32', values });
      await mark(client, 0, gfid, { 'vol-client-1': hex });
    }
    const { daemon, client: healer } = await rigs[0]!.healDaemon();
    healer.gates[2]!.shutDoor();
    daemon.launch(false);
    const about = (child: number, gfid: Gfid) => marks(rigs[0]!.bricks[child]!, client.call, gfid);
    for (const gfid of [directory, kept.gfid])
      await until(async () => (await about(0, gfid))['vol-client-1'] === undefined);
    expect(await about(1, directory)).toEqual({ 'vol-client-2': anyName });
    expect(await about(1, kept.gfid)).toEqual({ 'vol-client-2': '000000010000000000000000' });
    healer.gates[0]!.shutDoor();
    rigs[0]!.cut(0);
    rigs[0]!.join(2);
    await until(async () => (await under(client, directory, 'removed'))[2] === undefined);
    await until(async () => (await contents(rigs[0]!.bricks[2]!.ops, client.call, kept.gfid)) === 'after!');
  });

  it('lets none that it has healed accuse itself, having left since', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client();
    const { fd, gfid } = await create(client, 'f', 'x');
    await client.xlator.drain();
    fd.release();
    for (const child of [0, 1]) await mark(client, child, gfid, { 'vol-client-2': '000000010000000000000000' });
    const { replica } = client.xlator;
    const lease = await replica.leases.acquire(gfid, client.call);
    if ('errno' in lease) throw new Error(`no lease: ${lease.errno}`);
    lease.leaveOut(2);
    expect(await passOn(replica, lease, gfid, 'data', [0, 1, 2], [0, 1])).toBe(true);
    replica.leases.done(lease);
    expect(await marks(bricks[2]!, client.call, gfid)).toEqual({});
  });

  it('takes no name from the one that is right, because an accused one has the directory under another', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client();
    const [parent, to] = [await mkdir(client, 'd'), rigs[0]!.newGfid()];
    const moved = await mkdir(client, 'from', parent);
    const { gfid } = await create(client, 'inside', 'deep', moved);
    await client.xlator.drain();
    await bricks[2]!.ops.mkdir(client.call, { loc: locAt(parent, 'to'), mode: 0o755, gfid: to });
    for (const child of [0, 1]) {
      const loc = { from: locAt(parent, 'from'), to: locAt(parent, 'to') };
      await bricks[child]!.ops.rename(client.call, { ...loc, flags: 0 });
      await mark(client, child, parent, { 'vol-client-2': oneName, dirty: oneName });
    }
    rigs[0]!.cut(0);
    const found = await client.ops.lookup(client.call, { loc: locAt(parent, 'to') });
    expect(found).toMatchObject({ ok: true, iatt: { gfid: moved } });
    expect((await under(client, parent, 'to')).slice(0, 2)).toEqual([moved, moved]);
    rigs[0]!.join(0);
    const { daemon } = await rigs[0]!.healDaemon();
    // Storage in memory does not tell where a directory is: it is made anew once its old name is gone.
    await until(async () => {
      daemon.launch(false);
      return (await daemon.info('all')).every((brick) => brick.connected && brick.entries.length === 0);
    });
    expect(await under(client, parent, 'to')).toEqual([moved, moved, moved]);
    expect(await onBricks(bricks, client.call, gfid)).toEqual(['deep', 'deep', 'deep']);
  });

  it('does not bring back a name that a majority removed, for the sake of one who accuses it of what is long healed', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client();
    const directory = await mkdir(client, 'd');
    for (const name of ['removed', 'kept']) await create(client, name, name, directory);
    await client.xlator.drain();
    const { daemon } = await rigs[0]!.healDaemon();
    rigs[0]!.cut(0);
    await create(client, 'missed by 0', 'x', directory);
    await client.xlator.drain();
    rigs[0]!.cut(2);
    rigs[0]!.join(0);
    const has = async (child: number, name: string) =>
      (await bricks[child]!.ops.lookup(client.call, { loc: locAt(directory, name) })).ok;
    await until(() => has(0, 'missed by 0'));
    await until(async () => (await marks(bricks[1]!, client.call, directory))['vol-client-0'] === undefined);
    await client.ops.unlink(client.call, { loc: locAt(directory, 'removed') });
    await client.xlator.drain();
    rigs[0]!.cut(1);
    rigs[0]!.join(2);
    // Now two accuse each other, and the one who knows is away.
    const doomed = { loc: locAt(directory, 'kept') };
    expect(await client.ops.unlink(client.call, doomed)).toMatchObject({ ok: false, errno: Errno.ENOTCONN });
    expect(await has(0, 'removed')).toBe(false);
    rigs[0]!.join(1);
    await until(async () => (await daemon.info('all')).every((brick) => brick.connected && brick.entries.length === 0));
    for (const child of [0, 1, 2]) {
      expect([child, await has(child, 'removed')]).toEqual([child, false]);
      for (const name of ['kept', 'missed by 0']) expect([child, await has(child, name)]).toEqual([child, true]);
    }
  });

  it('lets nobody read one of two different files of a name that it takes no majority to make, until the operator decides', async () => {
    const { bricks } = await rig(2);
    const client = await rigs[0]!.client({ 'quorum-type': 'none' });
    const directory = await mkdir(client, 'd');
    await client.xlator.drain();
    for (const [child, text] of ['one', 'the other'].entries()) {
      rigs[0]!.cut(1 - child);
      await create(client, 'name', text, directory);
      await create(client, text, text, directory);
      await client.xlator.drain();
      rigs[0]!.join(1 - child);
    }
    const lookup = (name: string) => client.ops.lookup(client.call, { loc: locAt(directory, name) });
    for (let i = 0; i < 3; i++) expect(await lookup('name')).toMatchObject({ ok: false, errno: Errno.EIO });
    // What only one of them has, both have had a right to make.
    for (const text of ['one', 'the other']) expect(await lookup(text)).toMatchObject({ ok: true });
    const { daemon } = await rigs[0]!.healDaemon({ 'quorum-type': 'none' });
    const decided = await daemon.resolve('bigger-file', '/d/name', undefined);
    expect(decided).toMatchObject({ lines: ['GFID split-brain resolved for file /d/name'], failed: false });
    const found = await lookup('name');
    expect(found.ok && (await onBricks(bricks, client.call, found.iatt.gfid))).toEqual(['the other', 'the other']);
  });

  it('lets the operator decide against the majority of two different files of a name, but not between two that are as good', async () => {
    const { bricks } = await rig(3);
    const client = await rigs[0]!.client({ 'quorum-type': 'none' });
    const directory = await mkdir(client, 'd');
    await client.xlator.drain();
    for (const [away, text] of [[[0], 'made by two'] as const, [[1, 2], 'by one'] as const]) {
      for (const child of away) rigs[0]!.cut(child);
      await create(client, 'name', text, directory);
      await client.xlator.drain();
      for (const child of away) rigs[0]!.join(child);
    }
    const { daemon } = await rigs[0]!.healDaemon({ 'quorum-type': 'none', 'self-heal-daemon': 'off' });
    expect(await daemon.resolve('bigger-file', '/d/name', undefined)).toEqual({
      lines: ['No bigger file for file /d/name'],
      failed: false,
      exit: 1,
    });
    expect(await daemon.resolve('source-brick', '/d/name', 'vol-client-0')).toMatchObject({
      lines: ['GFID split-brain resolved for file /d/name'],
      exit: 0,
    });
    const found = await client.ops.lookup(client.call, { loc: locAt(directory, 'name') });
    const gfid = found.ok && found.iatt.gfid;
    expect(gfid && (await onBricks(bricks, client.call, gfid))).toEqual(['by one', 'by one', 'by one']);
  });

  it('heals a large sparse file while a client goes on writing to it', async () => {
    const { bricks } = await rig();
    const { daemon } = await rigs[0]!.healDaemon({ 'data-self-heal-window-size': '1' });
    const client = await rigs[0]!.client();
    const { fd, gfid } = await create(client, 'big', 'start');
    await client.xlator.drain();
    rigs[0]!.cut(1);
    for (let i = 0; i < 6; i++) await write(client, fd, `block ${i}`, i * 300_000);
    rigs[0]!.join(1);
    for (let i = 0; i < 20; i++) {
      await write(client, fd, `later ${i}`, (i % 6) * 300_000 + 50);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await client.xlator.drain();
    await until(async () => (await daemon.info('all')).every((brick) => brick.entries.length === 0));
    const sums = await Promise.all(
      bricks.map(
        async (brick) =>
          (
            (await brick.ops.rchecksum(client.call, {
              fd: new Fd(gfid, 0),
              offset: 0,
              size: 2_000_000,
            })) as Success<'rchecksum'>
          ).strong,
      ),
    );
    expect(sums.map((sum) => Buffer.from(sum).toString('hex'))).toEqual(
      Array(3).fill(Buffer.from(sums[0]!).toString('hex')),
    );
  });

  /** Two replicas with different data of one file, each accusing the other. */
  async function splitBrain(options: Record<string, string> = {}) {
    const { bricks } = await rig(2);
    const { daemon } = await rigs[0]!.healDaemon(options);
    const client = await rigs[0]!.client(options);
    const { fd, gfid } = await create(client, 'f', 'same');
    await client.xlator.drain();
    rigs[0]!.cut(1);
    await write(client, fd, 'left');
    await client.xlator.drain();
    rigs[0]!.cut(0);
    rigs[0]!.join(1);
    const later = { ...client.call, time: { sec: client.call.time.sec + 1, nsec: 0 } };
    await client.ops.writev(later, { fd, offset: 0, data: Buffer.from('right') });
    await client.xlator.drain();
    rigs[0]!.join(0);
    return { bricks, daemon, client, fd, gfid };
  }

  it('changes nothing in a split-brain, and says so', async () => {
    const { bricks, daemon, client, fd, gfid } = await splitBrain();
    expect(await contents(client.ops, client.call, gfid)).toBe(Errno.EIO);
    expect(await write(client, fd, 'more')).toEqual({ ok: false, errno: Errno.EIO });
    await until(async () => (await daemon.info('split-brain')).every((brick) => brick.entries.length === 1));
    expect(await onBricks(bricks, client.call, gfid)).toEqual(['left', 'right']);
    await until(async () => rigs[0]!.lines.some((line) => line.includes('split-brain')));
  });

  it.each([
    ['bigger-file', undefined, 'right'],
    ['latest-mtime', undefined, 'right'],
    ['source-brick', 'vol-client-0', 'left'],
  ] as const)('lets the operator decide by %s', async (policy, brick, winner) => {
    const { bricks, daemon, client, gfid } = await splitBrain();
    expect(await daemon.resolve(policy, '/nosuch', brick)).toMatchObject({
      failed: true,
      exit: 22,
      lines: ['Lookup failed on /nosuch:No such file or directory.'],
    });
    expect(await daemon.resolve(policy, '/f', brick)).toEqual({ failed: false, exit: 0, lines: ['Healed /f.'] });
    expect(await onBricks(bricks, client.call, gfid)).toEqual([winner, winner]);
    for (const one of bricks) expect(await marks(one, client.call, gfid)).toEqual({});
    expect(await daemon.resolve(policy, '/f', brick)).toMatchObject({
      failed: true,
      lines: ['Healing /f failed: File not in split-brain.'],
    });
  });

  it('heals the attributes of a file in split-brain, and leaves the times that tell which data win', async () => {
    const { bricks } = await rig(2);
    const client = await rigs[0]!.client({ 'post-op-delay-secs': '0', 'favorite-child-policy': 'mtime' });
    const { fd, gfid } = await create(client, 'f', 'same');
    await client.xlator.drain();
    const at = (sec: number) => ({ ...client.call, time: { sec: client.call.time.sec + sec, nsec: 0 } });
    rigs[0]!.cut(0);
    await client.ops.writev(at(1), { fd, offset: 0, data: Buffer.from('left') });
    await client.ops.setattr(at(1), { loc: locOf(gfid), attr: { mode: 0o600 } });
    await client.xlator.drain();
    rigs[0]!.join(0);
    rigs[0]!.cut(1);
    await client.ops.writev(at(2), { fd, offset: 0, data: Buffer.from('won!') });
    await client.xlator.drain();
    rigs[0]!.join(1);
    await rigs[0]!.healDaemon();
    const blame = { 'vol-client-0': '000000010000000000000000' };
    await until(async () => isDeepStrictEqual(await marks(bricks[1]!, client.call, gfid), blame));
    expect(await bricks[0]!.ops.stat(client.call, { loc: locOf(gfid) })).toMatchObject({ iatt: { mode: 0o600 } });
    expect(await contents(client.ops, client.call, gfid)).toBe('won!');
  });

  it('decides by the policy of the volume when the file is read', async () => {
    const { client, gfid } = await splitBrain({ 'favorite-child-policy': 'size', 'self-heal-daemon': 'off' });
    expect(await contents(client.ops, client.call, gfid)).toBe('right');
  });
});
