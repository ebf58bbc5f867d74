import { Errno, Fd, FileType, locAt, locOf, rootGfid, type Success } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { contents, create, isWrite, marks, mkdir, onBricks, rig, rigs, until, write, writesOnly } from './test-rig.ts';

const O_RDWR = 2;
const O_CREAT = 0o100;

it('gives locks of its callers back on replicas that are away, too: their sessions may live on', async () => {
  await rig();
  const client = await rigs[0]!.client();
  const call = { ...client.call, lockOwner: 'aa' };
  const args = { loc: locOf(rootGfid), domain: 'd', name: 'n', type: 'write' } as const;
  expect(await client.ops.entrylk(call, { ...args, command: 'try' })).toMatchObject({ ok: true });
  const asked: string[] = [];
  const gate = client.gates[1]!;
  client.xlator.notify({ type: 'child-down' }, gate);
  gate.fault = (fop, given) => {
    asked.push(`${fop} ${(given as { command?: string }).command}`);
    return 'pass';
  };
  expect(await client.ops.entrylk(call, { ...args, command: 'unlock' })).toMatchObject({ ok: true });
  expect(asked).toEqual(['entrylk unlock']);
});

describe('a name in a directory that one replica lacks until it is healed', () => {
  it.each([0, 1, 2])('does not exist yet, and can be made (replica %i)', async (away) => {
    await rig();
    const client = await rigs[0]!.client();
    rigs[0]!.cut(away);
    const parent = await mkdir(client, 'd');
    rigs[0]!.join(away);
    const loc = locAt(parent, 'x');
    expect(await client.ops.lookup(client.call, { loc })).toMatchObject({ ok: false, errno: Errno.ENOENT });
    await create(client, 'x', 'data', parent);
    expect(await client.ops.lookup(client.call, { loc })).toMatchObject({ ok: true });
  });

  it.each([0, 1])('does not exist yet with two replicas, either (replica %i)', async (away) => {
    await rig(2);
    const client = await rigs[0]!.client();
    rigs[0]!.cut(away);
    const parent = await mkdir(client, 'd');
    rigs[0]!.join(away);
    expect(await client.ops.lookup(client.call, { loc: locAt(parent, 'x') })).toMatchObject({
      ok: false,
      errno: Errno.ENOENT,
    });
  });

  it.each([0, 1, 2])('is not asked for in a directory that all others have lost (replica %i)', async (away) => {
    await rig();
    const client = await rigs[0]!.client();
    const parent = await mkdir(client, 'd');
    rigs[0]!.cut(away);
    expect(await client.ops.rmdir(client.call, { loc: locAt(rootGfid, 'd'), recursive: false })).toMatchObject({
      ok: true,
    });
    rigs[0]!.join(away);
    expect(await client.ops.lookup(client.call, { loc: locAt(parent, 'x') })).toMatchObject({
      ok: false,
      errno: Errno.ESTALE,
    });
  });
});

describe('a healthy replica set', () => {
  it('writes the same to all and leaves no mark once the lease ends', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client();
    const { fd, gfid } = await create(client, 'f', 'hello');
    expect(await onBricks(bricks, client.call, gfid)).toEqual(['hello', 'hello', 'hello']);
    expect(await marks(bricks[0]!, client.call, gfid)).toEqual({ dirty: '000000010000000000000000' });
    fd.release();
    await client.xlator.drain();
    for (const brick of bricks) {
      expect(await marks(brick, client.call, gfid)).toEqual({});
      expect(await marks(brick, client.call, rootGfid)).toEqual({});
    }
  });

  it('pays one round trip for each change in steady state', async () => {
    await rig();
    const client = await rigs[0]!.client();
    const { fd } = await create(client, 'f', 'x');
    const requests = () => client.gates.map((gate) => [...gate.counts.values()].reduce((sum, n) => sum + n, 0));
    const before = requests();
    for (let i = 0; i < 10; i++) await write(client, fd, 'y', i);
    expect(requests().map((n, i) => n - before[i]!)).toEqual([10, 10, 10]);
    await create(client, 'g');
    const entry = requests();
    for (let i = 0; i < 10; i++) await create(client, `h${i}`);
    expect(requests().map((n, i) => n - entry[i]!)).toEqual([10, 10, 10]);
    const refused = requests();
    const again = { loc: locAt(rootGfid, 'h1'), mode: 0o755, gfid: rigs.at(-1)!.newGfid() };
    expect(await client.ops.mkdir(client.call, again)).toEqual({ ok: false, errno: Errno.EEXIST });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(requests().map((n, i) => n - refused[i]!)).toEqual([1, 1, 1]);
  });

  it('opens a file that is there already as that file, on whichever bricks', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client();
    const { fd, gfid } = await create(client, 'f', 'theirs');
    fd.release();
    const mine = rigs.at(-1)!.newGfid();
    const asked = { loc: locAt(rootGfid, 'f'), flags: O_RDWR | O_CREAT, mode: 0o644, gfid: mine, fd: new Fd(mine, 2) };
    expect(await client.ops.create(client.call, asked)).toMatchObject({ ok: true, iatt: { gfid } });
    await client.ops.unlink(client.call, { loc: locAt(rootGfid, 'f', gfid) });
    await client.xlator.drain();
    // One has a file of that name which the others lost long ago: it is blamed, and not written to.
    const stale = rigs.at(-1)!.newGfid();
    const left = { ...asked, gfid: stale, fd: new Fd(stale, 2) };
    expect(await bricks[2]!.ops.create(client.call, left)).toMatchObject({ ok: true });
    expect(await client.ops.create(client.call, asked)).toMatchObject({ ok: true, iatt: { gfid: mine } });
    await write(client, asked.fd, 'mine');
    const [first, second, third] = await onBricks(bricks, client.call, mine);
    expect([first, second]).toEqual(['mine', 'mine']);
    expect(third).not.toBe('mine');
    expect(await onBricks(bricks.slice(2), client.call, stale)).toEqual(['']);
    expect(Object.keys(await marks(bricks[0]!, client.call, rootGfid))).toContain('vol-client-2');
  });

  it('takes no name away that only a minority has while the others are not healed', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client({ 'post-op-delay-secs': '0' });
    const { gfid } = await create(client, 'f', 'good');
    // Brick 0 misses it, and is accused of that; brick 2 goes.
    await bricks[0]!.ops.unlink(client.call, { loc: locAt(rootGfid, 'f', gfid) });
    const accused = { 'trusted.afr.vol-client-0': Buffer.from('000000000000000000000001', 'hex') };
    for (const brick of bricks.slice(1))
      await brick.ops.xattrop(client.call, { loc: locOf(rootGfid), operation: 'add32', values: accused });
    rigs[0]!.cut(2);
    const loc = locAt(rootGfid, 'f', gfid);
    const refused = { ok: false, errno: Errno.ENOTCONN };
    expect(await client.ops.unlink(client.call, { loc })).toEqual(refused);
    expect(await client.ops.rename(client.call, { from: loc, to: locAt(rootGfid, 'g'), flags: 0 })).toEqual(refused);
    expect(await onBricks(bricks.slice(1, 2), client.call, gfid)).toEqual(['good']);
    rigs[0]!.join(2);
    expect(await client.ops.unlink(client.call, { loc })).toMatchObject({ ok: true });
  });

  it('a write that a quorum had no room for is read by nobody from who made it', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client({ 'post-op-delay-secs': '0' });
    const reader = await rigs[0]!.client({ 'read-subvolume-index': '2' });
    const { fd, gfid } = await create(client, 'f', 'old');
    await client.xlator.drain();
    expect(await reader.ops.lookup(reader.call, { loc: locAt(rootGfid, 'f') })).toMatchObject({ ok: true });
    expect(await contents(reader.ops, reader.call, gfid)).toBe('old');
    for (const gate of client.gates.slice(0, 2))
      gate.fault = (fop, args) => (isWrite(fop, args) ? Errno.ENOSPC : 'pass');
    expect(await write(client, fd, 'new')).toMatchObject({ ok: false, errno: Errno.ENOSPC });
    expect(await onBricks(bricks, client.call, gfid)).toEqual(['old', 'old', 'new']);
    expect(await contents(client.ops, client.call, gfid)).toBe('old');
    expect(await contents(reader.ops, reader.call, gfid)).toBe('old');
    expect(Object.keys(await marks(bricks[0]!, client.call, gfid))).toContain('vol-client-2');
  });

  it('a write for which one of two had no room is read by nobody from who made it, also while the third is away', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client({ 'post-op-delay-secs': '0' });
    const reader = await rigs[0]!.client({ 'read-subvolume-index': '1' });
    const { fd, gfid } = await create(client, 'f', 'old');
    await client.xlator.drain();
    rigs[0]!.cut(0);
    expect(await contents(reader.ops, reader.call, gfid)).toBe('old');
    client.gates[2]!.fault = (fop, args) => (isWrite(fop, args) ? Errno.ENOSPC : 'pass');
    for (const data of ['new', 'newer'])
      expect(await write(client, fd, data)).toMatchObject({ ok: false, errno: Errno.ENOSPC });
    await client.xlator.drain();
    expect(await contents(bricks[1]!.ops, client.call, gfid)).toBe('newer');
    expect(await contents(client.ops, client.call, gfid)).toBe('old');
    expect(await contents(reader.ops, reader.call, gfid)).toBe('old');
    expect(await marks(bricks[1]!, client.call, gfid)).not.toHaveProperty('vol-client-2');
    expect(await marks(bricks[2]!, client.call, gfid)).toMatchObject({ 'vol-client-1': '000000010000000000000000' });
    // Whoever of the two goes: what is there afterwards is not taken back.
    rigs[0]!.join(0);
    const { daemon } = await rigs[0]!.healDaemon();
    client.gates[2]!.fault = () => 'pass';
    await until(async () => (await daemon.info('all')).every((brick) => brick.connected && brick.entries.length === 0));
    expect(await onBricks(bricks, client.call, gfid)).toEqual(['old', 'old', 'old']);
  });

  it('who wrote a part of what it had no room for accuses nobody of the whole', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client({ 'post-op-delay-secs': '0' });
    const { fd, gfid } = await create(client, 'f', 'before');
    await client.xlator.drain();
    rigs[0]!.cut(0);
    client.gates[2]!.fault = writesOnly(2);
    expect(await write(client, fd, 'whole')).toMatchObject({ ok: false, errno: Errno.ENOSPC });
    await client.xlator.drain();
    expect(await marks(bricks[2]!, client.call, gfid)).not.toHaveProperty('vol-client-1');
  });

  it('hands the lease over to another client and back', async () => {
    const { bricks } = await rig();
    const a = await rigs[0]!.client();
    const b = await rigs[0]!.client();
    const { fd, gfid } = await create(a, 'f', 'aaaa');
    const other = new Fd(gfid, O_RDWR);
    for (let i = 0; i < 5; i++) {
      expect(await write(b, other, 'b', i % 4)).toMatchObject({ ok: true });
      expect(await write(a, fd, 'a', (i + 1) % 4)).toMatchObject({ ok: true });
    }
    const copies = await onBricks(bricks, a.call, gfid);
    expect(new Set(copies).size).toBe(1);
  });

  it('keeps no lease that another client asked for before the last replica had granted it', async () => {
    await rig();
    const lazy = { 'post-op-delay-secs': '60' };
    const [a, b] = [await rigs[0]!.client(lazy), await rigs[0]!.client(lazy)];
    const { fd, gfid } = await create(a, 'f', 'aaaa');
    await a.xlator.drain();
    let answer = () => {};
    const held = new Promise<void>((resolve) => {
      answer = resolve;
    });
    a.gates[2]!.late = (fop) => (fop === 'compound' ? held : undefined);
    const first = write(a, fd, 'b');
    await new Promise((resolve) => setTimeout(resolve, 20));
    const second = write(b, new Fd(gfid, O_RDWR), 'c');
    await new Promise((resolve) => setTimeout(resolve, 20));
    a.gates[2]!.late = () => undefined;
    answer();
    expect(await first).toMatchObject({ ok: true });
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(a.xlator.replica.leases.count).toBe(0);
    expect(await second).toMatchObject({ ok: true });
  });

  it('keeps replicas alike when two clients write and create at once', async () => {
    const { bricks } = await rig();
    const clients = [await rigs[0]!.client(), await rigs[0]!.client()];
    const { gfid } = await create(clients[0]!, 'shared', '--------');
    await Promise.all(
      clients.flatMap((client, c) =>
        Array.from({ length: 12 }, async (_, i) => {
          await write(client, new Fd(gfid, O_RDWR), `${c}${i}`, i % 7);
          const fresh = rigs[0]!.newGfid();
          await client.ops.create(client.call, {
            loc: locAt(rootGfid, `n${i}`),
            flags: O_CREAT,
            mode: 0o600,
            gfid: fresh,
            fd: new Fd(fresh, 0),
          });
        }),
      ),
    );
    const copies = await onBricks(bricks, clients[0]!.call, gfid);
    expect(new Set(copies).size).toBe(1);
    for (let i = 0; i < 12; i++) {
      const gfids = await Promise.all(
        bricks.map(
          async (brick) =>
            ((await brick.ops.lookup(clients[0]!.call, { loc: locAt(rootGfid, `n${i}`) })) as Success<'lookup'>).iatt
              .gfid,
        ),
      );
      expect(new Set(gfids).size).toBe(1);
    }
  });

  it('hides its own xattrs and refuses to set them', async () => {
    await rig();
    const client = await rigs[0]!.client();
    const { gfid } = await create(client, 'f', 'x');
    const all = await client.ops.getxattr(client.call, { loc: locOf(gfid) });
    expect(all.ok && Object.keys(all.xattrs).filter((name) => name.startsWith('trusted.afr'))).toEqual([]);
    const set = await client.ops.setxattr(client.call, {
      loc: locOf(gfid),
      xattrs: { 'trusted.afr.dirty': Buffer.alloc(12) },
      flags: 0,
    });
    expect(set).toEqual({ ok: false, errno: Errno.EPERM });
  });

  it('goes on with an open file that has no name any more', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client();
    const { fd, gfid } = await create(client, 'f', 'hello');
    await client.ops.unlink(client.call, { loc: locAt(rootGfid, 'f', gfid) });
    expect(await write(client, fd, 'J')).toMatchObject({ ok: true });
    expect(await client.ops.ftruncate(client.call, { fd, size: 3 })).toMatchObject({ ok: true });
    const reply = await client.ops.readv(client.call, { fd, size: 10, offset: 0 });
    expect(reply.ok && Buffer.from(reply.data).toString()).toBe('Jel');
    fd.release();
    await client.xlator.drain();
    for (const brick of bricks) {
      const index = await brick.ops.ipc(
        { ...client.call, internal: 'self-heal' },
        { operation: 'index.list', data: Buffer.from('{"kind":"dirty"}') },
      );
      expect(index.ok && JSON.parse(Buffer.from(index.data!).toString())).toMatchObject({ names: [] });
    }
  });

  it('lists a directory with attributes from all replicas in one round trip', async () => {
    await rig();
    const client = await rigs[0]!.client();
    for (const name of ['a', 'b', 'c']) await create(client, name, name);
    const fd = new Fd(rootGfid);
    await client.ops.opendir(client.call, { loc: locOf(rootGfid), fd });
    const page = await client.ops.readdirp(client.call, { fd, size: 65536, offset: 0 });
    const entries = page.ok ? page.entries.filter((entry) => !entry.name.startsWith('.')) : [];
    expect(entries.map((entry) => entry.name).sort()).toEqual(['a', 'b', 'c']);
    expect(entries.every((entry) => entry.iatt?.type === FileType.regular)).toBe(true);
  });
});

describe('an arbiter', () => {
  it('never says how large a file is: not in a lookup, not in stat, not in a listing', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client({ 'arbiter-count': '1', 'read-subvolume-index': '2' });
    const { gfid } = await create(client, 'f', 'data');
    await client.xlator.drain();
    // As features/arbiter keeps it.
    await bricks[2]!.ops.truncate(client.call, { loc: locOf(gfid), size: 0 });
    const other = await rigs[0]!.client({ 'arbiter-count': '1', 'read-subvolume-index': '2' });
    const fd = new Fd(rootGfid);
    await other.ops.opendir(other.call, { loc: locOf(rootGfid), fd });
    const page = await other.ops.readdirp(other.call, { fd, size: 65536, offset: 0 });
    expect(page.ok && page.entries.find((entry) => entry.name === 'f')?.iatt).toMatchObject({ size: 4 });
    expect(await other.ops.lookup(other.call, { loc: locAt(rootGfid, 'f') })).toMatchObject({ iatt: { size: 4 } });
    expect(await other.ops.stat(other.call, { loc: locOf(gfid) })).toMatchObject({ iatt: { size: 4 } });
    expect(await contents(other.ops, other.call, gfid)).toBe('data');
    // Marks that are just coming off leave the arbiter as the only settled one.
    const dirty = { 'trusted.afr.dirty': Buffer.from('000000010000000000000000', 'hex') };
    await bricks[0]!.ops.xattrop(client.call, { loc: locOf(gfid), operation: 'add32', values: dirty });
    rigs[0]!.cut(1);
    expect(await other.ops.lookup(other.call, { loc: locAt(rootGfid, 'f') })).toMatchObject({ iatt: { size: 4 } });
  });

  it('that alone is right about the data of a file neither tells nor changes anything of it, but its names', async () => {
    await rig();
    const client = await rigs[0]!.client({ 'arbiter-count': '1' });
    const { fd, gfid } = await create(client, 'f', 'data');
    const directory = await mkdir(client, 'd');
    await client.xlator.drain();
    rigs[0]!.cut(0);
    expect(await write(client, fd, 'more')).toMatchObject({ ok: true });
    const [xattrs, loc] = [{ 'user.x': Buffer.from('y') }, locOf(gfid)];
    await client.xlator.drain();
    rigs[0]!.join(0);
    rigs[0]!.cut(1);
    const { call, ops } = client;
    const gone = { ok: false, errno: Errno.ENOTCONN };
    expect(await ops.getxattr(call, { loc })).toEqual(gone);
    expect(await ops.fgetxattr(call, { fd })).toEqual(gone);
    expect(await ops.fstat(call, { fd })).toEqual(gone);
    expect(await contents(ops, call, gfid)).toBe(Errno.ENOTCONN);
    expect(await ops.setxattr(call, { loc, xattrs, flags: 0 })).toEqual(gone);
    expect(await ops.setattr(call, { loc, attr: { mode: 0o600 } })).toEqual(gone);
    expect(await write(client, fd, 'x')).toEqual(gone);
    expect(await ops.setxattr(call, { loc: locOf(directory), xattrs, flags: 0 })).toMatchObject({ ok: true });
    const to = locAt(directory, 'here');
    expect(await ops.rename(call, { from: locAt(rootGfid, 'f', gfid), to, flags: 0 })).toMatchObject({ ok: true });
    rigs[0]!.join(1);
    expect(await ops.setxattr(call, { loc, xattrs, flags: 0 })).toMatchObject({ ok: true });
    expect(await contents(ops, call, gfid)).toBe('more');
  });
});
