import { type Args, compoundStep, Errno, emptyIatt, Fd, type FopName, locAt, rootGfid } from '@mortar/core';
import { settle } from '@mortar/rpc/test-rig.ts';
import { describe, expect, it } from 'vitest';
import { cleanups, root, start } from './link-rig.ts';

describe('protocol/client, when its brick is back', () => {
  describe('a lock that was given back while the brick was away', () => {
    const flock = { type: 'unlock', start: 0, length: 0, owner: '', pid: 1 } as const;
    const inode = { loc: root, domain: 'd', command: 'unlock', flock } as const;
    const entry = { loc: root, domain: 'd', name: 'n', command: 'unlock', type: 'write' } as const;

    async function away() {
      const world = await start();
      const { client, brick, cut, call } = world;
      await cut();
      const seen: string[] = [];
      brick.child.answer = async (fop) => {
        seen.push(fop);
        return { ok: true, iatt: emptyIatt() } as never;
      };
      const gone = { ok: false, errno: Errno.ENOTCONN };
      expect(await client.ops.inodelk({ ...call, lockOwner: 'aa' }, inode)).toEqual(gone);
      expect(await client.ops.entrylk({ ...call, lockOwner: 'aa' }, entry)).toEqual(gone);
      const steps = [compoundStep('inodelk', inode), compoundStep('entrylk', entry)];
      expect(await client.ops.compound({ ...call, lockOwner: 'cc' }, { steps })).toEqual(gone);
      // What does more than that is asked again by who knows what it was for.
      await client.ops.compound(call, { steps: [...steps, compoundStep('stat', { loc: root })] });
      await client.ops.lk({ ...call, lockOwner: 'bb' }, { fd: new Fd(rootGfid), command: 'set', flock });
      await client.ops.inodelk(call, { ...inode, command: 'try', flock: { ...flock, type: 'write' } });
      return { ...world, seen };
    }

    it('is given back when the session goes on, before anything else', async () => {
      const { client, clock, seen, types } = await away();
      const whenUp = client.saw('child-up', 2).then(() => seen.splice(0));
      await clock.advance(1000);
      expect(types().at(-1)).toBe('child-up');
      expect(await whenUp).toEqual(['inodelk', 'entrylk', 'inodelk', 'entrylk', 'lk']);
    });

    // Each await of who takes the session up is such a turn.
    it.each(Array.from({ length: 10 }, (_, turns) => turns))(
      'is given back also in the moment in which the session goes on, %i turns after an answer',
      async (turns) => {
        const { client, brick, clock, cut, call, types } = await start();
        const asked: string[] = [];
        const waiting: (() => void)[] = [];
        let isBack = false;
        brick.child.answer = (_fop, { lockOwner }, args) => {
          asked.push(`${(args as Args<'inodelk'>).flock.type} ${lockOwner}`);
          return new Promise((resolve) => {
            waiting.push(() => resolve({ ok: true } as never));
            if (isBack) for (const answer of waiting.splice(0)) answer();
          });
        };
        const wanted = { ...inode, command: 'wait', flock: { ...flock, type: 'write' } } as const;
        const unwanted = client.ops.inodelk({ ...call, lockOwner: 'aa' }, wanted).then(async () => {
          for (let i = 0; i < turns; i++) await null;
          void client.ops.inodelk({ ...call, lockOwner: 'aa' }, inode);
        });
        await settle();
        await cut();
        await client.ops.inodelk({ ...call, lockOwner: 'bb' }, inode);
        isBack = true;
        await clock.advance(1000);
        await unwanted;
        await settle();
        expect(types().at(-1)).toBe('child-up');
        expect(asked).toEqual(['write aa', 'unlock bb', 'unlock aa']);
      },
    );

    it('is gone with a session that ends while it is given back, and not taken from who has it anew', async () => {
      const { client, brick, clock, cut, call, types } = await start();
      const lock = (type: 'write' | 'unlock') =>
        client.ops.inodelk({ ...call, lockOwner: 'aa' }, { ...inode, flock: { ...flock, type } });
      const asked: string[] = [];
      let isHeard = false;
      brick.child.answer = (_fop, _call, args) => {
        asked.push((args as Args<'inodelk'>).flock.type);
        return isHeard ? Promise.resolve({ ok: true } as never) : new Promise(() => undefined);
      };
      await cut();
      await lock('unlock');
      await clock.advance(1000);
      expect(asked.splice(0)).toEqual(['unlock']);
      // The brick loses its disk for a moment, and ends all sessions.
      brick.child.tell({ type: 'child-down' });
      brick.child.tell({ type: 'child-up' });
      await settle();
      await clock.advance(1000);
      expect(types().slice(-2)).toEqual(['session-lost', 'child-up']);
      isHeard = true;
      expect(await lock('write')).toEqual({ ok: true });
      await cut();
      await clock.advance(1000);
      expect(types().at(-1)).toBe('child-up');
      expect(asked).toEqual(['write']);
    });

    it('is gone with the session', async () => {
      const { clock, seen, types, network } = await away();
      const { connect } = network;
      network.connect = () => Promise.reject(new Error('unreachable'));
      await clock.advance(15_000);
      network.connect = connect;
      await clock.advance(5000);
      expect(types().slice(-2)).toEqual(['session-lost', 'child-up']);
      expect(seen).toEqual([]);
    });
  });

  it('keeps files open over a reconnection within the grace time', async () => {
    const { client, cut, clock, opened, call } = await start();
    const fd = new Fd(rootGfid, 2);
    await client.ops.open(call, { loc: root, flags: 2, fd });
    await cut();
    await clock.advance(1000);
    await client.ops.fstat(call, { fd });
    expect(opened[1]).toBe(opened[0]);
  });

  it('opens files anew, without creating or truncating them, when the brick has forgotten the session', async () => {
    const { client, brick, clock, startOwn, call, types } = await start();
    const fd = new Fd(rootGfid, 0o2 | 0o100 | 0o200 | 0o1000);
    const [folder, unread] = [new Fd(rootGfid), new Fd(rootGfid)];
    const args = { loc: locAt(rootGfid, 'f'), flags: fd.flags, mode: 0o644, gfid: rootGfid, fd };
    brick.child.answer = async () =>
      ({
        ok: true,
        iatt: emptyIatt(),
        preParent: emptyIatt(),
        postParent: emptyIatt(),
        entries: [],
        end: true,
      }) as never;
    await client.ops.create(call, args);
    await client.ops.opendir(call, { loc: root, fd: folder });
    await client.ops.readdir(call, { fd: folder, size: 1000, offset: 0 });
    await client.ops.opendir(call, { loc: root, fd: unread });
    await brick.stop();
    cleanups.splice(0, 1);
    await settle();
    const seen: [FopName, Args<FopName>][] = [];
    const again = await startOwn();
    cleanups.unshift(() => again.stop());
    again.child.answer = async (fop, _call, asked) => {
      seen.push([fop, asked]);
      return { ok: true, iatt: emptyIatt() } as never;
    };
    await clock.advance(5000);
    expect(types().slice(2)).toEqual(['child-down', 'session-lost', 'child-up']);
    expect(seen.map(([fop]) => fop).sort()).toEqual(['open', 'opendir']);
    expect(seen.find(([fop]) => fop === 'open')![1]).toMatchObject({ loc: root, flags: 2 });
    await client.ops.fstat(call, { fd });
    const reopened = seen.find(([fop]) => fop === 'open')![1] as unknown as { fd: Fd };
    expect((seen.at(-1)![1] as unknown as { fd: Fd }).fd).toBe(reopened.fd);
  });

  async function afterRestart(
    options: Record<string, string>,
    before: (world: World, fd: Fd) => Promise<unknown>,
    fails = false,
  ) {
    const world = await start({ client: options });
    const { client, brick, clock, startOwn, call } = world;
    const fd = new Fd(rootGfid, 2);
    await client.ops.open(call, { loc: root, flags: 2, fd });
    await before(world, fd);
    await brick.stop();
    cleanups.splice(0, 1);
    const again = await startOwn();
    cleanups.unshift(() => again.stop());
    const seen: FopName[] = [];
    again.child.answer = async (fop) => {
      seen.push(fop);
      return (fop === 'open' && fails ? { ok: false, errno: Errno.ENOENT } : { ok: true, iatt: emptyIatt() }) as never;
    };
    await clock.advance(5000);
    return { ...world, fd, seen };
  }
  type World = Awaited<ReturnType<typeof start>>;

  it('uses a file by its gfid when it could not be opened anew', async () => {
    const { client, call, fd, seen } = await afterRestart({}, async () => {}, true);
    await expect(client.ops.fstat(call, { fd })).resolves.toMatchObject({ ok: true });
    expect(seen).toEqual(['open', 'fstat']);
    fd.release();
  });

  describe('that has forgotten a lock', () => {
    const owner = 'aa';
    const lock = (type: 'write' | 'unlock') => ({
      command: 'set' as const,
      flock: { type, start: 0, length: 0, owner, pid: 1 },
    });
    const lockedBy =
      (...types: ('write' | 'unlock')[]) =>
      async ({ client, call, brick }: World, fd: Fd) => {
        brick.child.answer = async () => ({ ok: true, flock: lock('unlock').flock }) as never;
        for (const type of types) await client.ops.lk({ ...call, lockOwner: owner }, { fd, ...lock(type) });
      };
    const bad = { ok: false, errno: Errno.EBADFD };

    it('does nothing through the file any more with strict-locks, alone or in a compound, until it is opened anew', async () => {
      const { client, call, fd, seen } = await afterRestart({ 'strict-locks': 'on' }, lockedBy('write'));
      expect(await client.ops.fstat(call, { fd })).toEqual(bad);
      const steps = [compoundStep('stat', { loc: root }), compoundStep('fstat', { fd })];
      expect(await client.ops.compound(call, { steps })).toEqual(bad);
      expect(seen).toEqual([]);
      expect((await client.ops.stat(call, { loc: root })).ok).toBe(true);
      const other = new Fd(rootGfid, 2);
      await client.ops.open(call, { loc: root, flags: 2, fd: other });
      expect((await client.ops.fstat(call, { fd: other })).ok).toBe(true);
      fd.release();
      other.release();
    });

    it.each([
      ['the lock was given back', { 'strict-locks': 'on' }, lockedBy('write', 'unlock')],
      ['there was none', { 'strict-locks': 'on' }, lockedBy()],
      ['locks need not be kept', {}, lockedBy('write')],
    ])('is used on when %s', async (_, options, before) => {
      const { client, call, fd, seen } = await afterRestart(options as Record<string, string>, before);
      expect((await client.ops.fstat(call, { fd })).ok).toBe(true);
      expect(seen).toEqual(['open', 'fstat']);
      fd.release();
    });
  });

  describe('a lock that others have, and the brick does not', () => {
    const flock = { type: 'write', start: 0, length: 0, owner: 'aa', pid: 1 } as const;

    /** Asked for while the brick is away; `isGone`: so long that it forgets the client. */
    async function missed(strict: 'on' | 'off', isGone: boolean, ...others: 'unlock'[]) {
      const world = await start({ client: { 'strict-locks': strict } });
      const { client, clock, cut, call, network } = world;
      const fd = new Fd(rootGfid, 2);
      await client.ops.open(call, { loc: root, flags: 2, fd });
      const { connect } = network;
      await cut();
      const ask = { fd, command: 'set' as const, flock };
      await client.ops.lk(call, { ...ask, xdata: { heldElsewhere: true } });
      for (const type of others) await client.ops.lk(call, { ...ask, flock: { ...flock, type } });
      if (isGone) network.connect = () => Promise.reject(new Error('unreachable'));
      if (isGone) await clock.advance(15_000);
      network.connect = connect;
      await clock.advance(5000);
      return { ...world, fd };
    }

    it.each([false, true])('keeps the file out with strict-locks; session ended: %s', async (isGone) => {
      const { client, call, fd } = await missed('on', isGone);
      expect(await client.ops.fstat(call, { fd })).toEqual({ ok: false, errno: Errno.EBADFD });
      const other = new Fd(rootGfid, 2);
      await client.ops.open(call, { loc: root, flags: 2, fd: other });
      expect(await client.ops.fstat(call, { fd: other })).toMatchObject({ ok: true });
      fd.release();
      other.release();
    });

    it.each([
      ['on', false, 'unlock'],
      ['on', true, 'unlock'],
      ['off', false],
      ['off', true],
    ] as const)('does not with strict-locks %s, session ended: %s, %s', async (strict, isGone, other?: 'unlock') => {
      const { client, call, fd } = await missed(strict, isGone, ...(other ? [other] : []));
      expect(await client.ops.fstat(call, { fd })).toMatchObject({ ok: true });
      fd.release();
    });

    it('keeps the file out at once where the brick is there and refuses it', async () => {
      const { client, call, brick } = await start({ client: { 'strict-locks': 'on' } });
      const fd = new Fd(rootGfid, 2);
      await client.ops.open(call, { loc: root, flags: 2, fd });
      brick.child.answer = async (fop) =>
        (fop === 'lk' ? { ok: false, errno: Errno.EAGAIN } : { ok: true, iatt: emptyIatt() }) as never;
      await client.ops.lk(call, { fd, command: 'set', flock, xdata: { heldElsewhere: true } });
      expect(await client.ops.fstat(call, { fd })).toEqual({ ok: false, errno: Errno.EBADFD });
      fd.release();
    });
  });
});
