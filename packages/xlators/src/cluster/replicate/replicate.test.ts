import { Errno, Fd, FileType, locAt, locOf, rootGfid, type Success } from '@mortar/core';
import type { Fault } from '@mortar/testing/gate.ts';
import { describe, expect, it } from 'vitest';
import { contents, create, marks, mkdir, onBricks, rig, rigs, until, write } from './test-rig.ts';

const O_RDWR = 2;
const O_CREAT = 0o100;

/** As a brick whose disk is full in the middle of a write. */
const writesOnly = (bytes: number): Fault => {
  const cut = (fop: string, args: unknown) => {
    const given = args as { data?: Uint8Array; steps?: { fop: string; args: unknown }[] };
    if (fop === 'writev') given.data = given.data!.subarray(0, bytes);
    for (const step of given.steps ?? []) cut(step.fop, step.args);
  };
  return (fop, args) => {
    cut(fop, args);
    return 'pass';
  };
};

const isWrite = (fop: string, args: unknown) =>
  fop === 'writev' ||
  (fop === 'compound' && (args as { steps: { fop: string }[] }).steps.some((step) => step.fop === 'writev'));

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
});

describe('with a replica away', () => {
  it('blames it before the first change is acknowledged', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client();
    const { fd, gfid } = await create(client, 'f', 'old');
    await client.xlator.drain();
    rigs[0]!.cut(2);
    expect(await write(client, fd, 'new')).toMatchObject({ ok: true });
    expect((await marks(bricks[0]!, client.call, gfid))['vol-client-2']).toBe('000000010000000000000000');
    expect(await onBricks(bricks, client.call, gfid)).toEqual(['new', 'new', 'old']);
  });

  it('blames one that went in the middle of a transaction: it may have lost what was not on its disk', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client();
    const { gfid } = await create(client, 'f', 'data');
    rigs[0]!.cut(2);
    await client.xlator.drain();
    for (const brick of bricks.slice(0, 2))
      expect(await marks(brick, client.call, gfid)).toEqual({ 'vol-client-2': '000000010000000000000000' });
    rigs[0]!.join(2);
    const { daemon } = await rigs[0]!.healDaemon();
    await until(async () => (await daemon.info('all')).every((brick) => brick.connected && brick.entries.length === 0));
    for (const brick of bricks) expect(await marks(brick, client.call, gfid)).toEqual({});
  });

  it('never reads what it has when it comes back', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client({ 'read-subvolume-index': '2' });
    const { fd, gfid } = await create(client, 'f', 'old');
    rigs[0]!.cut(2);
    await write(client, fd, 'new');
    rigs[0]!.join(2);
    expect(await contents(bricks[2]!.ops, client.call, gfid)).toBe('old');
    expect(await contents(client.ops, client.call, gfid)).toBe('new');
    const other = await rigs[0]!.client({ 'read-subvolume-index': '2' });
    expect(await contents(other.ops, other.call, gfid)).toBe('new');
  });

  it('marks what is new as missing there altogether', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client();
    rigs[0]!.cut(1);
    const file = await create(client, 'f', 'x');
    const directory = await mkdir(client, 'd');
    expect((await marks(bricks[0]!, client.call, file.gfid))['vol-client-1']).toBe('000000020000000100000000');
    expect((await marks(bricks[2]!, client.call, directory))['vol-client-1']).toBe('000000010000000100000001');
    expect((await marks(bricks[0]!, client.call, rootGfid))['vol-client-1']).toMatch(/^0{16}0000000[1-9]$/);
  });

  it('refuses changes and reads below quorum with ENOTCONN and changes nothing, and goes on when the quorum is back', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client();
    const { fd, gfid } = await create(client, 'f', 'old');
    await client.xlator.drain();
    rigs[0]!.cut(1);
    rigs[0]!.cut(2);
    expect(await write(client, fd, 'new')).toEqual({ ok: false, errno: Errno.ENOTCONN });
    const fresh = rigs[0]!.newGfid();
    expect(await client.ops.mkdir(client.call, { loc: locAt(rootGfid, 'd'), mode: 0o755, gfid: fresh })).toEqual({
      ok: false,
      errno: Errno.ENOTCONN,
    });
    expect(await contents(bricks[0]!.ops, client.call, gfid)).toBe('old');
    expect(await marks(bricks[0]!, client.call, gfid)).toEqual({});
    expect(await contents(client.ops, client.call, gfid)).toBe(Errno.ENOTCONN);
    rigs[0]!.join(2);
    expect(await write(client, fd, 'new')).toMatchObject({ ok: true });
  });

  it('blames one that fails where the others succeed', async () => {
    const { bricks } = await rig();
    // Whatever child it would be read from.
    const client = await rigs[0]!.client({ 'read-subvolume-index': '1' });
    const { fd, gfid } = await create(client, 'f', 'old');
    client.gates[1]!.fault = (fop) => (fop === 'writev' ? Errno.ENOSPC : 'pass');
    expect(await write(client, fd, 'new')).toMatchObject({ ok: true });
    expect((await marks(bricks[0]!, client.call, gfid))['vol-client-1']).toBe('000000010000000000000000');
    expect(await contents(client.ops, client.call, gfid)).toBe('new');
  });

  it('unlocks a new file once more where it was made late: the first time it may have had no lock yet', async () => {
    await rig();
    const client = await rigs[0]!.client({ 'laggard-timeout': '1' });
    let answer = () => {};
    const stopped = new Promise<void>((resolve) => {
      answer = resolve;
    });
    type Given = { steps?: { fop: string }[]; loc?: { gfid: unknown }; command?: string };
    const unlocked: unknown[] = [];
    client.gates[1]!.fault = (fop, args) => {
      const { steps, loc, command } = args as Given;
      if (fop === 'inodelk' && command === 'unlock') unlocked.push(loc!.gfid);
      return steps?.some((step) => step.fop === 'create') ? stopped : 'pass';
    };
    const { gfid } = await create(client, 'f');
    expect(unlocked).toContain(gfid);
    unlocked.length = 0;
    answer();
    await until(async () => unlocked.includes(gfid));
  });

  it('blames one that wrote less than the others, as a full disk does', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client();
    const { fd, gfid } = await create(client, 'f', 'before');
    client.gates[1]!.fault = writesOnly(4);
    expect(await write(client, fd, 'all of it')).toMatchObject({ ok: true, written: 9 });
    expect(await marks(bricks[0]!, client.call, gfid)).toMatchObject({ 'vol-client-1': '000000010000000000000000' });
    client.gates[1]!.fault = () => 'pass';
    const { daemon } = await rigs[0]!.healDaemon();
    await client.xlator.drain();
    await until(async () => (await daemon.info('all')).every((brick) => brick.entries.length === 0));
    expect(await onBricks(bricks, client.call, gfid)).toEqual(['all of it', 'all of it', 'all of it']);
    for (const gate of client.gates) gate.fault = writesOnly(2);
    expect(await write(client, fd, 'nowhere')).toMatchObject({ ok: false, errno: Errno.ENOSPC });
  });

  it('reports the failure, blames nobody and keeps the dirty mark when only a minority did it', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client();
    const { fd, gfid } = await create(client, 'f', 'old');
    for (const child of [1, 2]) client.gates[child]!.fault = (fop) => (fop === 'writev' ? Errno.ENOSPC : 'pass');
    expect(await write(client, fd, 'new')).toEqual({ ok: false, errno: Errno.ENOSPC });
    await client.xlator.drain();
    expect(await marks(bricks[0]!, client.call, gfid)).toEqual({ dirty: '000000010000000000000000' });
  });

  it('says why when a quorum did it and one of them then refuses to accuse the others', async () => {
    await rig();
    const client = await rigs[0]!.client();
    const { fd } = await create(client, 'f', 'old');
    client.gates[0]!.fault = (fop) => (fop === 'writev' ? Errno.EROFS : 'pass');
    client.gates[1]!.fault = (fop) => (fop === 'compound' ? Errno.EROFS : 'pass');
    expect(await write(client, fd, 'new')).toEqual({ ok: false, errno: Errno.EROFS });
  });

  it('takes a creation back that only a minority did', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client();
    await create(client, 'other');
    for (const child of [1, 2]) client.gates[child]!.fault = (fop) => (fop === 'compound' ? Errno.ENOSPC : 'pass');
    const fresh = rigs[0]!.newGfid();
    const made = await client.ops.mkdir(client.call, { loc: locAt(rootGfid, 'd'), mode: 0o755, gfid: fresh });
    expect(made).toEqual({ ok: false, errno: Errno.ENOSPC });
    expect(await bricks[0]!.ops.lookup(client.call, { loc: locAt(rootGfid, 'd') })).toMatchObject({
      ok: false,
      errno: Errno.ENOENT,
    });
  });

  it('reads from another one where the disk of the first fails', async () => {
    await rig();
    const client = await rigs[0]!.client();
    const { gfid } = await create(client, 'f', 'data');
    await client.xlator.drain();
    for (const good of [0, 1, 2]) {
      for (const [i, gate] of client.gates.entries())
        gate.fault = (fop) => (i !== good && (fop === 'readv' || fop === 'stat') ? Errno.EIO : 'pass');
      expect(await contents(client.ops, client.call, gfid)).toBe('data');
      expect(await client.ops.stat(client.call, { loc: locOf(gfid) })).toMatchObject({ ok: true });
    }
    for (const gate of client.gates) gate.fault = (fop) => (fop === 'readv' ? Errno.EIO : 'pass');
    expect(await contents(client.ops, client.call, gfid)).toBe(Errno.EIO);
  });

  it('reads from one on this machine, if it may be read and the volume does not say otherwise', async () => {
    await rig();
    const client = await rigs[0]!.client();
    const files: Awaited<ReturnType<typeof create>>[] = [];
    for (let i = 0; i < 8; i++) files.push(await create(client, `f${i}`, 'data'));
    await client.xlator.drain();
    const readFrom = async () => {
      const asked = new Set<number>();
      for (const [i, gate] of client.gates.entries())
        gate.fault = (fop) => {
          if (fop === 'readv') asked.add(i);
          return 'pass';
        };
      for (const { gfid } of files) expect(await contents(client.ops, client.call, gfid)).toBe('data');
      return [...asked].sort();
    };
    const comes = (child: number, isLocal: boolean) =>
      client.xlator.notify({ type: 'child-up', ...(isLocal && { isLocal }) }, client.gates[child]!);
    expect(await readFrom()).toEqual([0, 1, 2]);
    expect(client.xlator.dump()).toMatchObject({ read_child: -1 });
    comes(1, true);
    expect(await readFrom()).toEqual([1]);
    expect(client.xlator.dump()).toMatchObject({ read_child: 1 });
    comes(2, true);
    expect(await readFrom()).toEqual([1, 2]);
    rigs[0]!.cut(1);
    rigs[0]!.cut(2);
    client.xlator.notify({ type: 'child-up', isLocal: true }, client.gates[0]!);
    rigs[0]!.join(1);
    rigs[0]!.join(2);
    expect(await readFrom()).toEqual([0]);
    const far = await rigs[0]!.client({ 'choose-local': 'off' });
    far.xlator.notify({ type: 'child-up', isLocal: true }, far.gates[1]!);
    expect(far.xlator.dump()).toMatchObject({ read_child: -1 });
  });

  it('does not read from one that would not give its lock', async () => {
    await rig();
    const client = await rigs[0]!.client({ 'post-op-delay-secs': '60', 'read-hash-mode': '0' });
    const { fd, gfid } = await create(client, 'f', 'old');
    await client.xlator.drain();
    expect(await contents(client.ops, client.call, gfid)).toBe('old');
    client.gates[0]!.fault = (fop) => (fop === 'compound' || fop === 'inodelk' ? Errno.EIO : 'pass');
    expect(await write(client, fd, 'new')).toMatchObject({ ok: true });
    for (const gate of client.gates) gate.fault = () => 'pass';
    expect(await contents(client.ops, client.call, gfid)).toBe('new');
    await client.xlator.drain();
    expect(await contents(client.ops, client.call, gfid)).toBe('new');
  });

  it('takes off no mark that the bricks did not write', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client({ 'post-op-delay-secs': '60' });
    const { gfid } = await create(client, 'f', 'old');
    const setattr = () => client.ops.setattr(client.call, { loc: locOf(gfid), attr: { mode: 0o600 } });
    const refuses = (args: unknown) =>
      (args as { steps?: { fop: string }[] }).steps?.some(({ fop }) => fop === 'setattr') === true;
    await client.xlator.drain();
    for (const gate of client.gates) gate.fault = (_fop, args) => (refuses(args) ? Errno.ESTALE : 'pass');
    expect(await setattr()).toMatchObject({ ok: false });
    await client.xlator.drain();
    for (const gate of client.gates) gate.fault = () => 'pass';
    for (const brick of bricks) expect(await marks(brick, client.call, gfid)).toEqual({});
    expect(await setattr()).toMatchObject({ ok: true });
    await client.xlator.drain();
    for (const brick of bricks) expect(await marks(brick, client.call, gfid)).toEqual({});
  });

  it('refuses a write of a client whose lock a brick has dropped', async () => {
    const { bricks } = await rig();
    const a = await rigs[0]!.client();
    const { fd, gfid } = await create(a, 'f', 'aaaa');
    // The bricks believe the client is gone; the client does not know.
    for (const [i, brick] of bricks.entries())
      for (const child of brick.top.children)
        child.xlator.notify({ type: 'session-ended', clientId: a.gates[i]!.clientId }, brick.top);
    const b = await rigs[0]!.client();
    expect(await write(b, new Fd(gfid, O_RDWR), 'bbbb')).toMatchObject({ ok: true });
    // Its token is worth nothing; it has to lock anew, so both see one order.
    expect(await write(a, fd, 'A')).toMatchObject({ ok: true });
    expect(await onBricks(bricks, a.call, gfid)).toEqual(['Abbb', 'Abbb', 'Abbb']);
  });
});
