/** What a replica set believes of a machine that lost power, and what it does so that it can know (docs/replicate.md, Marks). */
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Args, Errno, locAt, locOf, rootGfid, type Xattrs } from '@mortar/core';
import { ReplicaRig, type RigBrick, type RigClient } from '@mortar/testing/replica-rig.ts';
import { describe, expect, it } from 'vitest';
import { dirtyKey, encodeVector, shakenCount, type Vector } from './changelog.ts';
import { contents, create, marks, mkdir, onBricks, rig, rigs, until, write } from './test-rig.ts';

const pending = (child: number) => `trusted.afr.vol-client-${child}`;

async function mark(brick: RigBrick, { call }: RigClient, gfid: string, vectors: Record<string, Vector>) {
  const values: Xattrs = Object.fromEntries(
    Object.entries(vectors).map(([key, vector]) => [key, encodeVector(vector)]),
  );
  const reply = await brick.ops.xattrop(call, { loc: locOf(gfid as typeof rootGfid), operation: 'add32', values });
  expect(reply).toMatchObject({ ok: true });
}

/** The fops of the compounds that a child was sent, as they come. */
function compoundsOf(client: RigClient, child: number): string[][] {
  const seen: string[][] = [];
  client.gates[child]!.fault = (fop, args) => {
    if (fop === 'compound') seen.push((args as Args<'compound'>).steps.map((step) => step.fop));
    return 'pass';
  };
  return seen;
}

describe('with a replica away', () => {
  it('makes the marks durable before the change, once a lease; with all there it does not', async () => {
    await rig();
    const client = await rigs[0]!.client({ 'post-op-delay-secs': '60' });
    const { fd } = await create(client, 'f', 'old');
    await client.xlator.drain();
    const seen = compoundsOf(client, 0);
    expect(await write(client, fd, 'all')).toMatchObject({ ok: true });
    expect(seen).toContainEqual(['fxattrop', 'writev']);
    await client.xlator.drain();
    rigs[0]!.cut(1);
    seen.length = 0;
    expect(await write(client, fd, 'one')).toMatchObject({ ok: true });
    expect(await write(client, fd, 'two')).toMatchObject({ ok: true });
    expect(seen.filter((steps) => steps.includes('writev') || steps.includes('fsync'))).toEqual([
      ['fxattrop', 'fsync', 'writev'],
    ]);
    seen.length = 0;
    await mkdir(client, 'd');
    expect(seen.filter((steps) => steps.includes('fsyncdir')).map((steps) => steps.slice(0, 3))).toEqual([
      ['xattrop', 'fsyncdir', 'mkdir'],
    ]);
  });

  it('makes it durable as well that one failed what the others did', async () => {
    await rig();
    const client = await rigs[0]!.client();
    const { fd } = await create(client, 'f', 'old');
    const seen = compoundsOf(client, 0);
    client.gates[1]!.fault = (fop) => (fop === 'writev' ? Errno.EIO : 'pass');
    expect(await write(client, fd, 'new')).toMatchObject({ ok: true });
    expect(seen).toContainEqual(['fxattrop', 'fsync']);
  });

  it('takes no mark off that it could not make', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client();
    const { fd, gfid } = await create(client, 'f', 'old');
    await client.xlator.drain();
    rigs[0]!.cut(1);
    const [brick] = bricks;
    const { ops } = brick!.graph.top;
    const { fxattrop } = ops;
    ops.fxattrop = async () => ({ ok: false, errno: Errno.EIO });
    expect(await write(client, fd, 'new')).toEqual({ ok: false, errno: Errno.EIO });
    ops.fxattrop = fxattrop;
    await client.xlator.drain();
    expect(await marks(brick!, client.call, gfid)).toEqual({});
    expect(await marks(bricks[2]!, client.call, gfid)).toMatchObject({ dirty: '000000010000000000000000' });
  });

  it('asks for no sync where durability is not wanted', async () => {
    await rig();
    const client = await rigs[0]!.client({ 'ensure-durability': 'off' });
    const { fd } = await create(client, 'f', 'old');
    await client.xlator.drain();
    rigs[0]!.cut(1);
    const seen = compoundsOf(client, 0);
    expect(await write(client, fd, 'new')).toMatchObject({ ok: true });
    expect(seen).toContainEqual(['fxattrop', 'writev']);
  });
});

describe('where most of those that are there are to be healed', () => {
  /** 0 is right, 1 missed a change, 2 is away and is blamed for another one. */
  async function staleSecond() {
    const made = await rig();
    const client = await rigs[0]!.client({ 'post-op-delay-secs': '60' });
    const { fd, gfid } = await create(client, 'f', 'old');
    const directory = await mkdir(client, 'd');
    await client.xlator.drain();
    await mark(made.bricks[0]!, client, gfid, { [pending(1)]: [1, 1, 0], [pending(2)]: [1, 1, 0] });
    await mark(made.bricks[0]!, client, directory, { [pending(1)]: [0, 0, 1], [pending(2)]: [0, 0, 1] });
    rigs[0]!.cut(2);
    return { ...made, client, fd, gfid, directory };
  }
  const named = (...seen: string[][][]) => seen.map((all) => all.filter((steps) => !steps.includes('inodelk')));

  it('what is acknowledged is on the disk of the one that is believed, every time', async () => {
    const { client, fd, gfid, directory } = await staleSecond();
    const seen = [compoundsOf(client, 0), compoundsOf(client, 1)];
    expect(await write(client, fd, 'one')).toMatchObject({ ok: true });
    expect(await write(client, fd, 'two')).toMatchObject({ ok: true });
    const marked = ['fxattrop', 'fsync', 'writev'];
    expect(named(...seen)).toEqual([[marked, ['fsync'], ['fsync']], [marked]]);
    for (const one of seen) one.length = 0;
    expect(await client.ops.setattr(client.call, { loc: locOf(gfid), attr: { uid: 7 } })).toMatchObject({ ok: true });
    expect(named(...seen)).toEqual([[['xattrop', 'fsync', 'setattr'], ['fsync']], [['xattrop', 'fsync', 'setattr']]]);
    for (const one of seen) one.length = 0;
    await mkdir(client, 'sub', directory);
    expect(seen[0]!.at(-1)).toEqual(['fsyncdir']);
    expect(seen[1]!.at(-1)).not.toEqual(['fsyncdir']);
  });

  it('it fails, and an append is taken back, where that disk cannot say so', async () => {
    const { bricks, client, fd, gfid } = await staleSecond();
    client.gates[0]!.fault = (fop, args) =>
      fop === 'compound' && (args as Args<'compound'>).steps[0]!.fop === 'fsync' ? Errno.EIO : 'pass';
    const data = Buffer.from('+new');
    const reply = await client.ops.writev(client.call, { fd, offset: 0, data, append: true });
    expect(reply).toEqual({ ok: false, errno: Errno.EIO });
    await client.xlator.drain();
    expect(await contents(bricks[0]!.ops, client.call, gfid)).toBe('old');
    expect(await marks(bricks[0]!, client.call, gfid)).toMatchObject({ dirty: '000000010000000000000000' });
  });
});

describe('a replica whose machine went down in a change', () => {
  const shaken: Vector = [shakenCount + 1, 0, 0];

  it('is accused by whoever writes next beside one that is whole', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client();
    const { fd, gfid } = await create(client, 'f', 'whole');
    await client.xlator.drain();
    await mark(bricks[0]!, client, gfid, { [dirtyKey]: shaken });
    await mark(bricks[2]!, client, gfid, { [dirtyKey]: [1, 0, 0] });
    rigs[0]!.cut(1);
    expect(await write(client, fd, 'W')).toMatchObject({ ok: true });
    expect(await marks(bricks[2]!, client.call, gfid)).toMatchObject({
      'vol-client-0': '000000010000000000000000',
      'vol-client-1': '000000010000000000000000',
    });
    expect(await marks(bricks[0]!, client.call, gfid)).not.toHaveProperty('vol-client-2');
    expect(await contents(client.ops, client.call, gfid)).toBe('Whole');
  });

  it('is neither read nor written while it is the only one left and another that may know better is away', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client();
    const { fd, gfid } = await create(client, 'f', 'old');
    const directory = await mkdir(client, 'd');
    await client.xlator.drain();
    await mark(bricks[0]!, client, gfid, { [pending(1)]: [1, 1, 0], [dirtyKey]: [shaken[0], shaken[0], 0] });
    await mark(bricks[0]!, client, directory, { [pending(1)]: [0, 0, 1], [dirtyKey]: [0, 0, shaken[0]] });
    rigs[0]!.cut(2);
    expect(await contents(client.ops, client.call, gfid)).toBe(Errno.EIO);
    expect(await client.ops.stat(client.call, { loc: locOf(gfid) })).toEqual({ ok: false, errno: Errno.EIO });
    expect(await write(client, fd, 'x')).toEqual({ ok: false, errno: Errno.ENOTCONN });
    const loc = locAt(directory, 'name');
    const made = await client.ops.mkdir(client.call, { loc, mode: 0o755, gfid: rigs[0]!.newGfid() });
    expect(made).toEqual({ ok: false, errno: Errno.ENOTCONN });
    // The one that was away has what was acknowledged.
    await bricks[2]!.ops.writev(client.call, { fd, offset: 0, data: Buffer.from('new') });
    await mark(bricks[2]!, client, gfid, { [pending(1)]: [1, 1, 0], [dirtyKey]: [1, 1, 0] });
    rigs[0]!.join(2);
    expect(await contents(client.ops, client.call, gfid)).toBe('new');
    const { daemon } = await rigs[0]!.healDaemon();
    await until(async () => (await daemon.info('all')).every((brick) => brick.connected && brick.entries.length === 0));
    expect(await onBricks(bricks, client.call, gfid)).toEqual(['new', 'new', 'new']);
  });
});

describe.runIf(process.getuid?.() === 0)('a brick on a disk', () => {
  it('says when it starts under another boot what was under a change', async () => {
    const made = await ReplicaRig.make(3, 'posix');
    rigs.push(made);
    const client = await made.client({ 'post-op-delay-secs': '60' });
    const { fd, gfid } = await create(client, 'f', 'old');
    const [brick] = made.bricks;
    // Held open by a lease, as when the machine goes down under it.
    const { top } = brick!.graph;
    await top.fini();
    writeFileSync(join(dirname(made.directoryOf(0)), 'indices', 'boot'), 'another boot\n');
    await top.init();
    expect(await marks(brick!, client.call, gfid)).toEqual({ dirty: '000100010000000000000000' });
    expect(await marks(brick!, client.call, rootGfid)).toEqual({ dirty: '000000000000000000010001' });
    expect(await marks(made.bricks[1]!, client.call, gfid)).toEqual({ dirty: '000000010000000000000000' });
    // What a transaction takes off leaves that for heal.
    expect(await write(client, fd, 'new')).toMatchObject({ ok: true });
    await client.xlator.drain();
    expect(await marks(brick!, client.call, gfid)).toEqual({ dirty: '000100000000000000000000' });
    await made.healDaemon();
    await until(async () => Object.keys(await marks(brick!, client.call, gfid)).length === 0);
  });

  it('can make the marks of anything durable while another one is away', async () => {
    const made = await ReplicaRig.make(3, 'posix');
    rigs.push(made);
    const client = await made.client();
    const { fd } = await create(client, 'f', 'old');
    const { ops, call } = client;
    const [link, fifo] = [made.newGfid(), made.newGfid()];
    await ops.symlink(call, { loc: locAt(rootGfid, 'link'), target: 'f', gfid: link });
    const S_IFIFO = 0o010000;
    const given = { mode: S_IFIFO | 0o644, rdevMajor: 0, rdevMinor: 0, gfid: fifo };
    expect(await ops.mknod(call, { loc: locAt(rootGfid, 'fifo'), ...given })).toMatchObject({ ok: true });
    await client.xlator.drain();
    made.cut(1);
    expect(await write(client, fd, 'new')).toMatchObject({ ok: true });
    for (const gfid of [link, fifo, await mkdir(client, 'd')])
      expect(await ops.setattr(call, { loc: locOf(gfid), attr: { uid: 7 } })).toMatchObject({ ok: true });
    expect(await ops.unlink(call, { loc: locAt(rootGfid, 'f') })).toMatchObject({ ok: true });
    expect(await write(client, fd, 'gone')).toMatchObject({ ok: true });
    await client.xlator.drain();
  });
});

describe('what cannot be known is not answered', () => {
  it('attributes of which every replica is accused', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client();
    const { gfid } = await create(client, 'f', 'x');
    await client.xlator.drain();
    for (const [i, brick] of bricks.entries()) await mark(brick, client, gfid, { [pending((i + 1) % 3)]: [0, 1, 0] });
    const other = await rigs[0]!.client();
    expect(await other.ops.stat(other.call, { loc: locOf(gfid) })).toEqual({ ok: false, errno: Errno.EIO });
  });

  it('attributes that only an accused replica could tell, the others having failed', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client();
    const { gfid } = await create(client, 'f', 'x');
    await client.xlator.drain();
    await mark(bricks[0]!, client, gfid, { [pending(2)]: [0, 1, 0] });
    const other = await rigs[0]!.client();
    for (const child of [0, 1]) other.gates[child]!.fault = (fop) => (fop === 'stat' ? Errno.EIO : 'pass');
    expect(await other.ops.stat(other.call, { loc: locOf(gfid) })).toEqual({ ok: false, errno: Errno.EIO });
  });

  it('what one says while another cannot say whom it accuses', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client();
    const { gfid } = await create(client, 'f', 'x');
    await client.xlator.drain();
    await mark(bricks[1]!, client, gfid, { [pending(0)]: [1, 0, 0] });
    const other = await rigs[0]!.client();
    rigs[0]!.cut(2);
    other.gates[1]!.fault = (fop) => (fop === 'lookup' ? Errno.EIO : 'pass');
    expect(await contents(other.ops, other.call, gfid)).toBe(Errno.ENOTCONN);
  });
});

describe('a directory that was healed between two while the third was away', () => {
  it('is compared name by name with the third, whatever names were recorded', async () => {
    const { bricks } = await rig();
    const granular = { 'granular-entry-heal': 'on' };
    const { daemon } = await rigs[0]!.healDaemon(granular);
    const client = await rigs[0]!.client(granular);
    const directory = await mkdir(client, 'd');
    await client.xlator.drain();
    rigs[0]!.cut(1);
    await create(client, 'recorded', '', directory);
    await client.xlator.drain();
    // Made by a client that died: dirty on those that have it, and recorded nowhere.
    const gfid = rigs[0]!.newGfid();
    for (const child of [0, 2]) {
      await mark(bricks[child]!, client, directory, { [dirtyKey]: [0, 0, 1] });
      const made = await bricks[child]!.ops.mkdir(client.call, { loc: locAt(directory, 'late'), mode: 0o755, gfid });
      expect(made).toMatchObject({ ok: true });
    }
    daemon.launch(false);
    await until(async () => !('dirty' in (await marks(bricks[0]!, client.call, directory))));
    rigs[0]!.join(1);
    await until(async () => (await daemon.info('all')).every((brick) => brick.connected && brick.entries.length === 0));
    const found = await bricks[1]!.ops.lookup(client.call, { loc: locAt(directory, 'late') });
    expect(found).toMatchObject({ ok: true });
  });
});
