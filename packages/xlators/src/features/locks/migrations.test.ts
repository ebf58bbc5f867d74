import { Errno, Fd, locAt, locOf, rootGfid } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { rigCall } from '../../lib/translator-rig.ts';
import { flock, gfid, inodelk, lk, make, other, outcome } from './locks-rig.ts';
import { migrationDomain, writtenXattr } from './migrations.ts';

type Rig = Awaited<ReturnType<typeof make>>;

function hold(r: Rig, client: string, command: 'try' | 'wait' | 'unlock') {
  const lock = flock(command === 'unlock' ? 'unlock' : 'write');
  return r.xlator.ops.inodelk(rigCall(client), { loc: locOf(gfid), domain: migrationDomain, command, flock: lock });
}

async function open(r: Rig, client: string): Promise<Fd> {
  const fd = new Fd(gfid, 2);
  await r.xlator.ops.open(rigCall(client), { loc: locOf(gfid), flags: 2, fd });
  return fd;
}

async function set(): Promise<Rig> {
  const r = await make();
  r.child.answers.open = async () => ({ ok: true });
  r.child.answers.setattr = async () => ({ ok: true }) as never;
  r.child.answers.unlink = async () => ({ ok: true }) as never;
  return r;
}

/** A mover's work is internal; what else its session does waits like everybody's. */
const callOf = (client: string) => rigCall(client, client === 'mover' ? { internal: 'rebalance' } : {});

describe('a file that is being moved', () => {
  it('is had though others have it open, and by one mover at a time', async () => {
    const r = await set();
    await open(r, 'a');
    await open(r, 'mover');
    expect(await hold(r, 'mover', 'try')).toEqual({ ok: true });
    expect(await hold(r, 'other', 'try')).toEqual({ ok: false, errno: Errno.EAGAIN });
    expect(await hold(r, 'other', 'unlock')).toEqual({ ok: false, errno: Errno.EINVAL });
    expect(await hold(r, 'mover', 'wait')).toEqual({ ok: false, errno: Errno.EINVAL });
  });

  it('waits for locks of others: theirs would be lost, or wait for the mover', async () => {
    const r = await set();
    const fd = await open(r, 'a');
    await lk(r, 'a', 'set', flock('write'), fd);
    expect(await hold(r, 'mover', 'try')).toEqual({ ok: false, errno: Errno.EBUSY });
    await lk(r, 'a', 'set', flock('unlock'), fd);
    await inodelk(r, 'a', 'try');
    expect(await hold(r, 'mover', 'try')).toEqual({ ok: false, errno: Errno.EAGAIN });
    await inodelk(r, 'a', 'unlock');
    expect(await hold(r, 'mover', 'try')).toEqual({ ok: true });
    const late = [lk(r, 'a', 'set', flock('write'), fd), inodelk(r, 'a', 'wait')];
    for (const waiting of late) expect(await outcome<unknown>(waiting)).toEqual({ done: false });
    await hold(r, 'mover', 'unlock');
    for (const waiting of late) expect(await waiting).toMatchObject({ ok: true });
  });

  it('is held when what was let in before has ended', async () => {
    const r = await set();
    let end = () => {};
    r.child.answers.setattr = () =>
      new Promise((resolve) => {
        end = () => resolve({ ok: true } as never);
      });
    const change = r.xlator.ops.setattr(rigCall('a'), { loc: locOf(gfid), attr: { mode: 0 } });
    const held = hold(r, 'mover', 'try');
    expect(await outcome(held)).toEqual({ done: false });
    end();
    await change;
    expect(await held).toEqual({ ok: true });
  });

  it('tells its mover what was written since the watch before the last', async () => {
    const r = await set();
    const fd = await open(r, 'a');
    const iatt = { size: 1000 };
    r.child.answers.writev = async () => ({ ok: true, written: 10, pre: iatt, post: iatt }) as never;
    const write = (offset: number, client = 'a') =>
      r.xlator.ops.writev(callOf(client), { fd, offset, data: Buffer.alloc(10) });
    const watch = () =>
      r.xlator.ops.inodelk(rigCall('mover'), {
        loc: locOf(gfid),
        domain: migrationDomain,
        command: 'try',
        flock: flock('read'),
      });
    const written = async (client = 'mover') => {
      const reply = await r.xlator.ops.getxattr(rigCall(client), { loc: locOf(gfid), name: writtenXattr });
      return reply.ok ? JSON.parse(Buffer.from(reply.xattrs[writtenXattr]!).toString()) : reply.errno;
    };
    expect(await written()).toBe(Errno.ENODATA);
    await watch();
    await write(0);
    await write(10);
    await write(500, 'mover');
    expect(await written()).toEqual([[0, 20]]);
    expect(await written('a')).toBe(Errno.ENODATA);
    await watch();
    await write(100);
    expect(await written()).toEqual([
      [0, 20],
      [100, 110],
    ]);
    await watch();
    expect(await written()).toEqual([[100, 110]]);
    await hold(r, 'mover', 'unlock');
    expect(await written()).toBe(Errno.ENODATA);
  });

  it('has dead descriptors once its mover removed it', async () => {
    const r = await set();
    const fd = await open(r, 'a');
    const flushed = () => r.xlator.ops.flush(rigCall('a'), { fd });
    r.child.answers.fstat = async () => ({ ok: true }) as never;
    await hold(r, 'mover', 'try');
    const late = r.xlator.ops.ftruncate(rigCall('a'), { fd, size: 0 });
    await r.xlator.ops.unlink(callOf('mover'), { loc: locAt(rootGfid, 'f', gfid) });
    await hold(r, 'mover', 'unlock');
    const stale = { ok: false, errno: Errno.ESTALE };
    expect(await late).toEqual(stale);
    expect(await r.xlator.ops.fstat(rigCall('a'), { fd })).toEqual(stale);
    expect(await lk(r, 'a', 'set', flock('write'), fd)).toEqual(stale);
    expect(await flushed()).toMatchObject({ ok: true });
    expect(await r.xlator.ops.fstat(rigCall('a'), { fd: new Fd(gfid) })).toMatchObject({ ok: true });
  });

  it('keeps others waiting until it is given back, and nobody else', async () => {
    const r = await set();
    await hold(r, 'mover', 'try');
    const change = (client: string, which = gfid) =>
      r.xlator.ops.setattr(callOf(client), { loc: locOf(which), attr: { mode: 0 } });
    const late = change('a');
    const opened = r.xlator.ops.open(rigCall('a'), { loc: locOf(gfid), flags: 0, fd: new Fd(gfid) });
    const removed = r.xlator.ops.unlink(rigCall('a'), { loc: locAt(rootGfid, 'f', gfid) });
    for (const waiting of [late, opened, removed]) expect(await outcome<unknown>(waiting)).toEqual({ done: false });
    expect(await outcome(change('mover'))).toMatchObject({ done: true });
    expect(await outcome(change('a', other))).toMatchObject({ done: true });
    const own = r.xlator.ops.setattr(rigCall('mover'), { loc: locOf(gfid), attr: { mode: 0 } });
    expect(await outcome<unknown>(own)).toEqual({ done: false });
    await hold(r, 'mover', 'unlock');
    for (const waiting of [late, opened, removed]) expect(await waiting).toMatchObject({ ok: true });
    expect(await outcome(change('a'))).toMatchObject({ done: true });
  });

  it('is taken from a mover who holds it too long, and nothing of his is let through any more', async () => {
    const r = await set();
    const change = (client: string) => r.xlator.ops.setattr(callOf(client), { loc: locOf(gfid), attr: { mode: 0 } });
    await hold(r, 'mover', 'try');
    const waiting = change('a');
    await r.services.clock.advance(11_000);
    expect(await waiting).toMatchObject({ ok: true });
    // What he compared before may not be so any more.
    expect(await change('mover')).toEqual({ ok: false, errno: Errno.ESTALE });
    expect(await hold(r, 'mover', 'try')).toEqual({ ok: false, errno: Errno.EAGAIN });
    expect(await hold(r, 'mover', 'unlock')).toEqual({ ok: true });
    expect(await change('mover')).toMatchObject({ ok: true });
    expect(await hold(r, 'mover', 'try')).toEqual({ ok: true });
  });

  it('is not shown at its new place by a mover who does not hold it there, or has for long', async () => {
    const r = await set();
    const show = () =>
      r.xlator.ops.setattr(callOf('mover'), { loc: locOf(gfid), attr: { mode: 0o644 }, xdata: { whileHeld: true } });
    expect(await show()).toEqual({ ok: false, errno: Errno.ESTALE });
    expect(await hold(r, 'mover', 'try')).toEqual({ ok: true });
    await r.services.clock.advance(7_900);
    expect(await show()).toEqual({ ok: true });
    await r.services.clock.advance(100);
    expect(await show()).toEqual({ ok: false, errno: Errno.ESTALE });
    // What does not depend on it is done.
    const back = await r.xlator.ops.setattr(callOf('mover'), { loc: locOf(gfid), attr: { mode: 0o644 } });
    expect(back).toEqual({ ok: true });
  });

  it('does not keep its mover waiting for locks and marks of replicas, which say nothing of him', async () => {
    const r = await set();
    r.child.answers.xattrop = async () => ({ ok: true, xattrs: {} }) as never;
    expect(await hold(r, 'mover', 'try')).toEqual({ ok: true });
    const mark = { loc: locOf(gfid), operation: 'add32' as const, values: {} };
    expect(await inodelk(r, 'mover', 'try')).toMatchObject({ ok: true });
    expect(await r.xlator.ops.xattrop(rigCall('mover'), mark)).toMatchObject({ ok: true });
    expect(await inodelk(r, 'mover', 'unlock')).toMatchObject({ ok: true });
    const others = [inodelk(r, 'a', 'try'), r.xlator.ops.xattrop(rigCall('a'), mark)];
    for (const waiting of others) expect(await outcome<unknown>(waiting)).toEqual({ done: false });
    // What else his session does is not his.
    const change = r.xlator.ops.setattr(rigCall('mover'), { loc: locOf(gfid), attr: { mode: 0o600 } });
    expect(await outcome<unknown>(change)).toEqual({ done: false });
    await hold(r, 'mover', 'unlock');
    for (const waiting of [...others, change]) expect(await waiting).toMatchObject({ ok: true });
  });

  it('gives no lock to who gave it back before he got it', async () => {
    const r = await set();
    expect(await hold(r, 'mover', 'try')).toEqual({ ok: true });
    const late = [inodelk(r, 'a', 'try'), inodelk(r, 'a', 'wait')];
    for (const waiting of late) expect(await outcome<unknown>(waiting)).toEqual({ done: false });
    expect(await inodelk(r, 'a', 'unlock')).toMatchObject({ ok: true });
    await hold(r, 'mover', 'unlock');
    for (const waiting of late) expect(await waiting).toEqual({ ok: false, errno: Errno.EAGAIN });
    expect(await inodelk(r, 'b', 'try')).toMatchObject({ ok: true });
  });

  it('is free when the session of its mover ends, before that or after', async () => {
    const r = await set();
    const change = () => r.xlator.ops.setattr(rigCall('a'), { loc: locOf(gfid), attr: { mode: 0 } });
    await hold(r, 'mover', 'try');
    const first = change();
    r.xlator.notify({ type: 'session-ended', clientId: 'mover' }, null);
    expect(await first).toMatchObject({ ok: true });
    await hold(r, 'mover', 'try');
    const second = change();
    await r.services.clock.advance(11_000);
    expect(await second).toMatchObject({ ok: true });
    r.xlator.notify({ type: 'session-ended', clientId: 'mover' }, null);
    expect(await hold(r, 'other', 'try')).toEqual({ ok: true });
  });

  it('lets those who wait give up', async () => {
    const r = await set();
    await hold(r, 'mover', 'try');
    const abort = new AbortController();
    const late = r.xlator.ops.setattr(rigCall('a', { signal: abort.signal }), { loc: locOf(gfid), attr: { mode: 0 } });
    abort.abort();
    expect(await late).toEqual({ ok: false, errno: Errno.EINTR });
  });
});
