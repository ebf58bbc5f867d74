import { Errno, Fd, locAt, locOf, rootGfid } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { rigCall } from '../../lib/translator-rig.ts';
import { flock, gfid, make, other, outcome } from './locks-rig.ts';
import { migrationDomain } from './migrations.ts';

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

describe('a file that is being moved', () => {
  it('is not to be had while another session has it open', async () => {
    const r = await set();
    const fds = [await open(r, 'a'), await open(r, 'a'), await open(r, 'mover')];
    expect(await hold(r, 'mover', 'try')).toEqual({ ok: false, errno: Errno.EAGAIN });
    fds[0]!.release();
    expect(await hold(r, 'mover', 'try')).toEqual({ ok: false, errno: Errno.EAGAIN });
    fds[1]!.release();
    expect(await hold(r, 'mover', 'try')).toEqual({ ok: true });
    expect(await hold(r, 'other', 'try')).toEqual({ ok: false, errno: Errno.EAGAIN });
    expect(await hold(r, 'other', 'unlock')).toEqual({ ok: false, errno: Errno.EINVAL });
    expect(await hold(r, 'mover', 'wait')).toEqual({ ok: false, errno: Errno.EINVAL });
  });

  it('keeps others waiting until it is given back, and nobody else', async () => {
    const r = await set();
    await hold(r, 'mover', 'try');
    const change = (client: string, which = gfid) =>
      r.xlator.ops.setattr(rigCall(client), { loc: locOf(which), attr: { mode: 0 } });
    const late = change('a');
    const opened = r.xlator.ops.open(rigCall('a'), { loc: locOf(gfid), flags: 0, fd: new Fd(gfid) });
    const removed = r.xlator.ops.unlink(rigCall('a'), { loc: locAt(rootGfid, 'f', gfid) });
    for (const waiting of [late, opened, removed]) expect(await outcome<unknown>(waiting)).toEqual({ done: false });
    expect(await outcome(change('mover'))).toMatchObject({ done: true });
    expect(await outcome(change('a', other))).toMatchObject({ done: true });
    await hold(r, 'mover', 'unlock');
    for (const waiting of [late, opened, removed]) expect(await waiting).toMatchObject({ ok: true });
    expect(await outcome(change('a'))).toMatchObject({ done: true });
  });

  it('is taken from a mover who holds it too long, and nothing of his is let through any more', async () => {
    const r = await set();
    const change = (client: string) => r.xlator.ops.setattr(rigCall(client), { loc: locOf(gfid), attr: { mode: 0 } });
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
