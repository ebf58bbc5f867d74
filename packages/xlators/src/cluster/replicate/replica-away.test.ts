import { Errno, Fd, locAt, locOf, parseOptions, rootGfid } from '@mortar/core';
import type { Fault } from '@mortar/testing/gate.ts';
import { describe, expect, it } from 'vitest';
import { xlator as mdCache } from '../../performance/md-cache/index.ts';
import { contents, create, isWrite, marks, mkdir, onBricks, rig, rigs, until, write, writesOnly } from './test-rig.ts';

/** The brick makes the marks and refuses the write (EFBIG). */
const tooFar: Fault = (_fop, args) => {
  const { steps = [] } = args as { steps?: { fop: string; args: unknown }[] };
  for (const step of steps) if (step.fop === 'writev') step.args = { ...(step.args as object), offset: 2 ** 53 - 1 };
  return 'pass';
};

const failingDisk: Fault = (fop, args) => (isWrite(fop, args) ? Errno.EIO : 'pass');

describe('with a replica away', () => {
  it('tells it of locks that it does not get, and that they are given back', async () => {
    await rig();
    const client = await rigs[0]!.client();
    const { fd } = await create(client, 'f', 'x');
    await client.xlator.drain();
    rigs[0]!.cut(2);
    const lk = (type: 'write' | 'unlock', owner: string, command: 'set' | 'wait' = 'set') => {
      const flock = { type, start: 0, length: 0, owner, pid: 1 };
      return client.ops.lk({ ...client.call, lockOwner: owner }, { fd, command, flock });
    };
    expect(await lk('write', 'aa', 'wait')).toMatchObject({ ok: true });
    expect(await lk('write', 'bb')).toMatchObject({ errno: Errno.EAGAIN });
    expect(await lk('unlock', 'aa')).toMatchObject({ ok: true });
    const told = client.gates[2]!.turnedAway.map(({ command, flock, xdata }) => [
      command,
      flock.type,
      flock.owner,
      xdata?.heldElsewhere,
    ]);
    expect(told).toEqual([
      ['set', 'write', 'aa', true],
      ['set', 'unlock', 'aa', undefined],
    ]);
  });

  it('keeps no lock that is given back while too few are there', async () => {
    await rig();
    const [client, other] = [await rigs[0]!.client(), await rigs[0]!.client()];
    const { fd, gfid } = await create(client, 'f', 'x');
    await client.xlator.drain();
    const lk = (who: typeof client, on: Fd, type: 'write' | 'unlock') => {
      const flock = { type, start: 0, length: 0, owner: 'aa', pid: 1 };
      return who.ops.lk({ ...who.call, lockOwner: 'aa' }, { fd: on, command: 'set', flock });
    };
    expect(await lk(client, fd, 'write')).toMatchObject({ ok: true });
    // Its sessions live on.
    const away = client.gates.slice(1);
    for (const gate of away) gate.shutDoor(false);
    await lk(client, fd, 'unlock');
    for (const gate of away) {
      gate.openDoor();
      // As protocol/client does.
      for (const args of gate.turnedAway) await gate.ops.lk({ ...client.call, lockOwner: 'aa' }, args);
    }
    expect(await lk(other, new Fd(gfid, 2), 'write')).toMatchObject({ ok: true });
  });

  it('leaves no lock behind that was refused elsewhere before it answered', async () => {
    await rig();
    const client = await rigs[0]!.client({ 'laggard-timeout': '1' });
    const { fd, gfid } = await create(client, 'f', 'x');
    await client.xlator.drain();
    const other = await rigs[0]!.client();
    const lk = (who: typeof client, on: Fd, type: 'write' | 'unlock') => {
      const flock = { type, start: 0, length: 0, owner: 'aa', pid: 1 };
      return who.ops.lk({ ...who.call, lockOwner: 'aa' }, { fd: on, command: 'set', flock });
    };
    const [, frozen, refuses] = client.gates;
    let thaw = () => {};
    const ice = new Promise<void>((resolve) => (thaw = resolve));
    // What is asked of it waits in its socket.
    frozen!.fault = () => ice;
    refuses!.fault = (fop) => (fop === 'lk' ? Errno.EAGAIN : 'pass');
    expect(await lk(client, fd, 'write')).toEqual({ ok: false, errno: Errno.EAGAIN });
    refuses!.fault = () => 'pass';
    frozen!.fault = () => 'pass';
    thaw();
    await until(async () => client.xlator.dump()['child_up[1]'] === 1);
    expect(await lk(other, new Fd(gfid, 2), 'write')).toMatchObject({ ok: true });
  });

  it('tells those above that they may not have heard of a change', async () => {
    await rig();
    const client = await rigs[0]!.client();
    const other = await rigs[0]!.client();
    const { gfid } = await create(other, 'f', 'old');
    const texts = new Map([['md-cache-timeout', '600']]);
    const { values: options } = parseOptions(mdCache.options, texts);
    const { services } = client.xlator;
    const cache = mdCache.create({ name: 'cache', type: mdCache.type, options, texts, services });
    cache.bind([client.xlator.ops], undefined);
    client.xlator.parents = [cache];
    const sizeSeen = async () => {
      const reply = await cache.ops.stat(client.call, { loc: locOf(gfid) });
      return reply.ok ? reply.iatt.size : reply.errno;
    };
    expect(await sizeSeen()).toBe(3);
    expect(await write(other, new Fd(gfid, 2), 'longer')).toMatchObject({ ok: true });
    rigs[0]!.cut(2);
    rigs[0]!.join(2);
    expect(await sizeSeen()).toBe(6);
  });

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

  it.each([
    { what: 'takes the blame back of a change that all refused', faults: [tooFar, tooFar], again: false, stays: 0 },
    { what: 'keeps it where one may have done it', faults: [tooFar, failingDisk], again: false, stays: 1 },
    { what: 'keeps it where another change came off', faults: [tooFar, tooFar], again: true, stays: 1 },
  ])('$what', async ({ faults, again, stays }) => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client();
    const { fd, gfid } = await create(client, 'f', 'old');
    await client.xlator.drain();
    rigs[0]!.cut(2);
    for (const [child, fault] of faults.entries()) client.gates[child]!.fault = fault;
    expect(await write(client, fd, 'new')).toMatchObject({ ok: false });
    for (const gate of client.gates) gate.fault = () => 'pass';
    if (again) expect(await write(client, fd, 'new')).toMatchObject({ ok: true });
    await client.xlator.drain();
    const blamed = (await marks(bricks[0]!, client.call, gfid))['vol-client-2'] ?? '00000000';
    expect(Number.parseInt(blamed.slice(0, 8), 16)).toBe(stays);
  });

  it('asks for no heal where a name is there already', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client();
    await mkdir(client, 'd');
    await client.xlator.drain();
    rigs[0]!.cut(2);
    const again = { loc: locAt(rootGfid, 'd'), mode: 0o755, gfid: rigs[0]!.newGfid() };
    expect(await client.ops.mkdir(client.call, again)).toMatchObject({ errno: Errno.EEXIST });
    await client.xlator.drain();
    for (const brick of bricks) expect(await marks(brick, client.call, rootGfid)).toEqual({});
  });

  it('shows of a directory the times of one that has all its names', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client();
    const directory = await mkdir(client, 'd');
    await client.xlator.drain();
    rigs[0]!.cut(2);
    const later = { ...client, call: { ...client.call, time: { sec: client.call.time.sec + 60, nsec: 7 } } };
    await create(later, 'f', 'x', directory);
    await client.xlator.drain();
    rigs[0]!.join(2);
    const other = await rigs[0]!.client({ 'read-subvolume-index': '2' });
    const loc = locOf(directory);
    const timesOf = async (ops: typeof other.ops, fop: 'stat' | 'lookup') => {
      const reply = await ops[fop](other.call, { loc });
      return reply.ok && [reply.iatt.mtime, reply.iatt.mtimeNsec];
    };
    const wanted = await timesOf(bricks[0]!.ops, 'stat');
    expect(await timesOf(bricks[2]!.ops, 'stat')).not.toEqual(wanted);
    expect(await timesOf(other.ops, 'lookup')).toEqual(wanted);
    expect(await timesOf(other.ops, 'stat')).toEqual(wanted);
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
    // By chance each file has its child: with so many no child has none.
    for (let i = 0; i < 60; i++) files.push(await create(client, `f${i}`, 'data'));
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
});
