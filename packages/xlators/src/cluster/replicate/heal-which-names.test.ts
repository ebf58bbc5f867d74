import { type Args, Errno, type Gfid, locAt, locOf, rootGfid } from '@mortar/core';
import type { RigClient } from '@mortar/testing/replica-rig.ts';
import { describe, expect, it } from 'vitest';
import { decodeVector, encodeVector, negated } from './changelog.ts';
import { passOn } from './heal/pass-on.ts';
import { contents, create, marks, mkdir, onBricks, rig, rigs, until, write } from './test-rig.ts';

describe('healing the names of a directory', () => {
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
    // It took one alone to acknowledge it: that two have another one takes nothing from it.
    const lookup = () => client.ops.lookup(client.call, { loc: locAt(directory, 'name') });
    for (let i = 0; i < 3; i++) expect(await lookup()).toMatchObject({ ok: false, errno: Errno.EIO });
    const gfidOn = async (child: number) => {
      const there = await bricks[child]!.ops.lookup(client.call, { loc: locAt(directory, 'name') });
      return there.ok && there.iatt.gfid;
    };
    expect(await gfidOn(0)).not.toBe(await gfidOn(1));
    expect(await gfidOn(2)).toBe(await gfidOn(1));
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
    const found = await lookup();
    const gfid = found.ok && found.iatt.gfid;
    expect(gfid && (await onBricks(bricks, client.call, gfid))).toEqual(['by one', 'by one', 'by one']);
  });
});
