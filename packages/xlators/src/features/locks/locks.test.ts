import { Errno, Fd, locOf, type Reply } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { errnoOfReply, type Rig, rigCall, settle } from '../../lib/translator-rig.ts';
import type { Locks } from './index.ts';
import { domain, entrylk, fenceOf, flock, gfid, inodelk, lk, make, outcome } from './locks-rig.ts';

describe('inodelk', () => {
  it('lets one owner hold several and unlocks by the exact range', async () => {
    const r = await make();
    await inodelk(r, 'a', 'try', 'write', [0, 10]);
    expect((await inodelk(r, 'a', 'try', 'write', [5, 10])).ok).toBe(true);
    expect(errnoOfReply(await inodelk(r, 'a', 'unlock', 'write', [0, 15]))).toBe(Errno.EINVAL);
    expect((await inodelk(r, 'a', 'unlock', 'write', [0, 10])).ok).toBe(true);
    expect((await inodelk(r, 'b', 'try', 'write', [0, 5])).ok).toBe(true);
    expect(errnoOfReply(await inodelk(r, 'b', 'try', 'write', [0, 6]))).toBe(Errno.EAGAIN);
  });

  it('keeps domains apart', async () => {
    const r = await make();
    await inodelk(r, 'a', 'try');
    const args = { loc: locOf(gfid), domain: `${domain}:self-heal`, command: 'try' as const, flock: flock('write') };
    expect((await r.xlator.ops.inodelk(rigCall('b'), args)).ok).toBe(true);
    expect((await entrylk(r, 'b', 'try')).ok).toBe(true);
  });

  it('does not let a reader past a waiting writer, but lets the holder re-enter', async () => {
    const r = await make();
    await inodelk(r, 'a', 'try', 'read');
    const writer = inodelk(r, 'b', 'wait', 'write');
    expect(errnoOfReply(await inodelk(r, 'c', 'try', 'read'))).toBe(Errno.EAGAIN);
    const reader = inodelk(r, 'c', 'wait', 'read');
    expect((await inodelk(r, 'a', 'try', 'read', [0, 5])).ok).toBe(true);
    await inodelk(r, 'a', 'unlock', 'read', [0, 5]);
    await inodelk(r, 'a', 'unlock', 'read');
    expect(await writer).toMatchObject({ ok: true });
    expect((await outcome(reader)).done).toBe(false);
    await inodelk(r, 'b', 'unlock');
    expect(await reader).toMatchObject({ ok: true });
  });

  it('moves on when a waiter gives up', async () => {
    const r = await make();
    await inodelk(r, 'a', 'try', 'read');
    const abort = new AbortController();
    const writer = inodelk(r, 'b', 'wait', 'write', [0, 0], { signal: abort.signal });
    const reader = inodelk(r, 'c', 'wait', 'read');
    abort.abort();
    expect(errnoOfReply(await writer)).toBe(Errno.EINTR);
    expect((await reader).ok).toBe(true);
  });
});

describe('entrylk', () => {
  it('locks a name or the whole directory', async () => {
    const r = await make();
    expect((await entrylk(r, 'a', 'try', 'x')).ok).toBe(true);
    expect((await entrylk(r, 'b', 'try', 'y')).ok).toBe(true);
    expect(errnoOfReply(await entrylk(r, 'b', 'try', 'x'))).toBe(Errno.EAGAIN);
    expect(errnoOfReply(await entrylk(r, 'c', 'try'))).toBe(Errno.EAGAIN);
    expect(errnoOfReply(await entrylk(r, 'a', 'unlock'))).toBe(Errno.EINVAL);
    await entrylk(r, 'a', 'unlock', 'x');
    await entrylk(r, 'b', 'unlock', 'y');
    expect((await entrylk(r, 'c', 'try')).ok).toBe(true);
  });

  it('refuses names that cannot be', async () => {
    const r = await make();
    for (const name of ['', '.', '..', 'a/b', 'x'.repeat(256)])
      expect(errnoOfReply(await entrylk(r, 'a', 'try', name))).toBe(Errno.EINVAL);
  });
});

describe('fences', () => {
  const write = (fence: number) => ({ loc: locOf(gfid), xattrs: {}, flags: 0, xdata: { fence } });

  it('grow, and are given for write locks only', async () => {
    const r = await make();
    const first = fenceOf(await inodelk(r, 'a', 'try', 'write', [0, 1]));
    const second = fenceOf(await inodelk(r, 'a', 'try', 'write', [1, 1]));
    expect(second).toBeGreaterThan(first);
    expect(Number.isSafeInteger(second)).toBe(true);
    expect(await inodelk(r, 'b', 'try', 'read', [2, 1])).toEqual({ ok: true });
  });

  it('let a change pass while the lock is held, and refuse it with ESTALE afterwards or from another client', async () => {
    const r = await make();
    const fence = fenceOf(await inodelk(r, 'a', 'try'));
    const { ops } = r.xlator;
    expect((await ops.setxattr(rigCall('a'), write(fence))).ok).toBe(true);
    expect(errnoOfReply(await ops.setxattr(rigCall('b'), write(fence)))).toBe(Errno.ESTALE);
    await inodelk(r, 'a', 'unlock');
    expect(errnoOfReply(await ops.setxattr(rigCall('a'), write(fence)))).toBe(Errno.ESTALE);
    expect((await ops.setxattr(rigCall('a'), { ...write(0), xdata: {} })).ok).toBe(true);
    const truncating = { loc: locOf(gfid), flags: 0o1000, fd: new Fd(gfid), xdata: { fence } };
    expect(errnoOfReply(await ops.open(rigCall('a'), truncating))).toBe(Errno.ESTALE);
    expect((await ops.open(rigCall('a'), { ...truncating, flags: 2 })).ok).toBe(true);
  });

  it('are checked before each step of a compound', async () => {
    const r = await make();
    const fence = fenceOf(await inodelk(r, 'a', 'try'));
    r.child.answers.setxattr = async () => {
      await inodelk(r, 'a', 'unlock');
      return { ok: true };
    };
    const steps = [1, 2].map(() => ({ fop: 'setxattr', args: { loc: locOf(gfid), xattrs: {}, flags: 0 } }));
    const reply = await r.xlator.ops.compound(rigCall('a'), { steps, xdata: { fence } });
    expect(reply).toMatchObject({ ok: true, replies: [{ ok: true }, { ok: false, errno: Errno.ESTALE }] });
  });

  it('keep the next holder out until operations under a lost lock have ended', async () => {
    const r = await make();
    const fence = fenceOf(await inodelk(r, 'a', 'try'));
    let finish: () => void = () => {};
    r.child.answers.setxattr = () =>
      new Promise((resolve) => {
        finish = () => resolve({ ok: true });
      });
    const running = r.xlator.ops.setxattr(rigCall('a'), write(fence));
    await settle();
    const next = inodelk(r, 'b', 'wait');
    r.xlator.notify({ type: 'session-ended', clientId: 'a' }, null);
    expect((await outcome(next)).done).toBe(false);
    expect(errnoOfReply(await r.xlator.ops.setxattr(rigCall('a'), write(fence)))).toBe(Errno.ESTALE);
    finish();
    expect((await running).ok).toBe(true);
    expect(fenceOf(await next)).toBeGreaterThan(fence);
  });
});

describe('a session that has ended', () => {
  it('is given nothing any more, and the next client waits for nobody', async () => {
    const r = await make();
    // The lock is the last step of a request that was under way when the session ended.
    const session = { isEnded: false };
    const late = (command: 'try' | 'wait') => inodelk(r, 'a', command, 'write', [0, 0], { session });
    expect((await late('try')).ok).toBe(true);
    session.isEnded = true;
    r.xlator.notify({ type: 'session-ended', clientId: 'a' }, null);
    for (const command of ['try', 'wait'] as const) expect(errnoOfReply(await late(command))).toBe(Errno.ENOTCONN);
    const posix = await lk(r, 'a', 'set', flock('write', 0, 0), undefined, { session });
    expect(errnoOfReply(posix)).toBe(Errno.ENOTCONN);
    expect((await inodelk(r, 'b', 'try')).ok).toBe(true);
    expect((await lk(r, 'b', 'set', flock('write', 0, 0))).ok).toBe(true);
  });
});

describe('a lost lock under which something still runs', () => {
  it('is not given again to the same owner either', async () => {
    const r = await make();
    const fence = fenceOf(await inodelk(r, 'a', 'try'));
    let finish: () => void = () => {};
    r.child.answers.unlink = () =>
      new Promise((resolve) => {
        finish = () => resolve({ ok: false, errno: Errno.ENOENT });
      });
    const running = r.xlator.ops.unlink(rigCall('a'), { loc: locOf(gfid), xdata: { fence } });
    await inodelk(r, 'a', 'unlock');
    expect(errnoOfReply(await inodelk(r, 'a', 'try'))).toBe(Errno.EAGAIN);
    finish();
    await running;
    expect((await inodelk(r, 'a', 'try')).ok).toBe(true);
  });
});

describe('contention', () => {
  it('tells the holder at once, then every delay as long as somebody waits', async () => {
    const r = await make();
    await inodelk(r, 'a', 'try');
    const waiting = inodelk(r, 'b', 'wait');
    await settle();
    const notice = { type: 'upcall', what: 'lock-contended', gfid, domain, clientId: 'a' };
    expect(r.events).toEqual([notice]);
    expect(errnoOfReply(await inodelk(r, 'c', 'try'))).toBe(Errno.EAGAIN);
    await r.services.clock.advance(4999);
    expect(r.events).toHaveLength(1);
    await r.services.clock.advance(1);
    expect(r.events).toHaveLength(2);
    await inodelk(r, 'a', 'unlock');
    expect((await waiting).ok).toBe(true);
    await r.services.clock.advance(60_000);
    expect(r.events).toHaveLength(2);
    expect(r.services.clock.pending).toBe(0);
  });

  it('tells the name, and a new holder by its answer', async () => {
    const r = await make();
    await entrylk(r, 'a', 'try', 'x');
    const second = entrylk(r, 'b', 'wait', 'x');
    const third = entrylk(r, 'c', 'wait', 'x');
    await entrylk(r, 'a', 'unlock', 'x');
    expect(await second).toMatchObject({ ok: true, xdata: { contended: true } });
    expect(errnoOfReply(await entrylk(r, 'd', 'try', 'x'))).toBe(Errno.EAGAIN);
    expect(r.events).toMatchObject([{ name: 'x', clientId: 'a' }]);
    await r.services.clock.advance(5000);
    expect(r.events[1]).toMatchObject({ name: 'x', clientId: 'b' });
    await entrylk(r, 'b', 'unlock', 'x');
    expect(await third).toEqual({ ok: true, fence: expect.any(Number) });
  });

  it('is silent when switched off, live', async () => {
    const r = await make();
    r.reconfigure({ 'notify-contention': 'no' });
    await inodelk(r, 'a', 'try');
    void inodelk(r, 'b', 'wait');
    await r.services.clock.advance(60_000);
    expect(r.events).toEqual([]);
  });

  it('takes an old lock away when told to', async () => {
    const r = await make({ 'revocation-secs': '30' });
    const fence = fenceOf(await inodelk(r, 'a', 'try'));
    const waiting = inodelk(r, 'b', 'wait');
    await r.services.clock.advance(29_000);
    expect((await outcome(waiting)).done).toBe(false);
    await r.services.clock.advance(1000);
    expect((await waiting).ok).toBe(true);
    const args = { loc: locOf(gfid), xattrs: {}, flags: 0, xdata: { fence } };
    expect(errnoOfReply(await r.xlator.ops.setxattr(rigCall('a'), args))).toBe(Errno.ESTALE);
    expect(r.services.lines.some((line) => line.text.includes('Lock revocation [reason: age'))).toBe(true);
  });

  describe('of a holder who is silent', () => {
    const lease = (r: Rig<Locks>, client: string, command: 'try' | 'wait') =>
      inodelk(r, client, command, 'write', [0, 0], {}, { isLease: true });
    const silent = (r: Rig<Locks>, clientId: string) => r.xlator.notify({ type: 'session-silent', clientId }, null);

    it('takes the leases that others wait for', async () => {
      const r = await make();
      const fence = fenceOf(await lease(r, 'a', 'try'));
      const waiting = lease(r, 'b', 'wait');
      silent(r, 'b');
      expect((await outcome(waiting)).done).toBe(false);
      silent(r, 'a');
      expect(await waiting).toMatchObject({ ok: true });
      const args = { loc: locOf(gfid), xattrs: {}, flags: 0, xdata: { fence } };
      expect(errnoOfReply(await r.xlator.ops.setxattr(rigCall('a'), args))).toBe(Errno.ESTALE);
      expect(r.services.lines.some((line) => line.text.includes('[reason: silent holder'))).toBe(true);
      expect(r.events.at(-1)).toMatchObject({ what: 'accused', gfid, except: 'a' });
      expect(errnoOfReply(await inodelk(r, 'a', 'unlock'))).toBe(Errno.EINVAL);
    });

    it('leaves what nobody waits for, and asks at once when somebody does', async () => {
      const r = await make();
      await lease(r, 'a', 'try');
      expect(errnoOfReply(await lease(r, 'b', 'try'))).toBe(Errno.EAGAIN);
      silent(r, 'a');
      const told = r.events.length;
      const waiting = lease(r, 'b', 'wait');
      expect(r.events.slice(told)).toMatchObject([{ what: 'lock-contended', clientId: 'a' }]);
      silent(r, 'a');
      expect(await waiting).toMatchObject({ ok: true });
    });

    it('leaves other locks', async () => {
      const r = await make();
      await inodelk(r, 'a', 'try');
      const waiting = inodelk(r, 'b', 'wait');
      await lk(r, 'a', 'set', flock('write'));
      silent(r, 'a');
      expect((await outcome(waiting)).done).toBe(false);
      expect(errnoOfReply(await lk(r, 'b', 'set', flock('write')))).toBe(Errno.EAGAIN);
    });
  });

  it('takes a lock away when too many wait, and them too if told so', async () => {
    const r = await make({ 'revocation-max-blocked': '2', 'revocation-clear-all': 'on' });
    await inodelk(r, 'a', 'try');
    const waits = [inodelk(r, 'b', 'wait'), inodelk(r, 'c', 'wait')];
    expect((await Promise.all(waits)).map(errnoOfReply)).toEqual([Errno.EAGAIN, Errno.EAGAIN]);
    expect(r.xlator.list()).toEqual([]);
  });
});

describe('sessions', () => {
  it('that end with a lease leave others in doubt of the file', async () => {
    const r = await make();
    const said = (clientId: string) => {
      r.xlator.notify({ type: 'session-ended', clientId }, null);
      return r.events.filter((event) => event.type === 'upcall' && event.what === 'accused').length;
    };
    await inodelk(r, 'a', 'try', 'write', [0, 1]);
    expect(said('a')).toBe(0);
    await inodelk(r, 'b', 'try', 'write', [0, 0], {}, { isLease: true });
    await inodelk(r, 'b', 'unlock');
    expect(said('b')).toBe(0);
    await inodelk(r, 'c', 'try', 'write', [0, 0], {}, { isLease: true });
    expect(said('c')).toBe(1);
  });

  it('leave nothing behind', async () => {
    const r = await make();
    await lk(r, 'a', 'set', flock('write'));
    await inodelk(r, 'a', 'try');
    await entrylk(r, 'a', 'try', 'x');
    const waits = [lk(r, 'b', 'wait', flock('write')), inodelk(r, 'b', 'wait'), entrylk(r, 'b', 'wait')];
    const dead = [lk(r, 'c', 'wait', flock('write')), inodelk(r, 'c', 'wait')];
    await settle();
    r.xlator.notify({ type: 'session-ended', clientId: 'c' }, null);
    expect((await Promise.all(dead)).map((reply) => errnoOfReply<'lk' | 'inodelk'>(reply))).toEqual([
      Errno.ENOTCONN,
      Errno.ENOTCONN,
    ]);
    r.xlator.notify({ type: 'session-ended', clientId: 'a' }, null);
    for (const reply of await Promise.all(waits)) expect(reply.ok).toBe(true);
    expect(r.child.events).toHaveLength(2);
    r.xlator.notify({ type: 'session-ended', clientId: 'b' }, null);
    expect(r.xlator.list()).toEqual([]);
    expect(r.xlator.dump()).toMatchObject({ inodes: 0, fences: 0 });
    expect(r.services.inodes.stats().active).toBe(1);
  });
});

describe('administration', () => {
  it('clears locks by the virtual xattr, for root only', async () => {
    const r = await make();
    await inodelk(r, 'a', 'try', 'write', [0, 10]);
    const blocked = inodelk(r, 'b', 'wait', 'write', [0, 10]);
    await entrylk(r, 'a', 'try', 'x');
    const get = (name: string, uid = 0) => r.xlator.ops.getxattr(rigCall('cli', { uid }), { loc: locOf(gfid), name });
    expect(errnoOfReply(await get('glusterfs.clrlk.tinode.kall', 1))).toBe(Errno.EPERM);
    expect(errnoOfReply(await get('glusterfs.clrlk.tnothing.kall'))).toBe(Errno.EINVAL);
    const text = (reply: Reply<'getxattr'>) =>
      reply.ok ? Buffer.from(Object.values(reply.xattrs)[0]!).toString() : reply;
    expect(text(await get('glusterfs.clrlk.tinode.kall.0,10-5'))).toMatch(/inode blocked locks=0 granted locks=0\0$/);
    expect(text(await get('glusterfs.clrlk.tinode.kblocked'))).toMatch(/blocked locks=1 granted locks=0/);
    expect(errnoOfReply(await blocked)).toBe(Errno.EAGAIN);
    expect(text(await get('glusterfs.clrlk.tinode.kgranted.0,5-1'))).toMatch(/blocked locks=0 granted locks=1/);
    expect(text(await get('glusterfs.clrlk.tentry.kall.y'))).toMatch(/granted locks=0/);
    const set = { loc: locOf(gfid), xattrs: { 'glusterfs.clrlk.tentry.kall.x': new Uint8Array() }, flags: 0 };
    expect((await r.xlator.ops.setxattr(rigCall('cli'), set)).ok).toBe(true);
    expect(r.xlator.list()).toEqual([]);
  });

  it('counts and lists by ipc', async () => {
    const r = await make();
    await inodelk(r, 'a', 'try', 'write', [4, 2]);
    void inodelk(r, 'b', 'wait');
    const ask = async (operation: string, data?: unknown) => {
      const args = data === undefined ? { operation } : { operation, data: Buffer.from(JSON.stringify(data)) };
      const reply = await r.xlator.ops.ipc(rigCall('cli'), args);
      return reply.ok ? JSON.parse(Buffer.from(reply.data!).toString()) : reply.errno;
    };
    expect(await ask('locks.count', { gfid, domain })).toEqual({ granted: 1, blocked: 1 });
    expect(await ask('locks.count', { gfid: 'x', domain })).toBe(Errno.EINVAL);
    expect(await ask('locks.list')).toMatchObject([
      { kind: 'inode', state: 'granted', start: 4, length: 2, clientId: 'a' },
      { kind: 'inode', state: 'blocked', start: 0, length: 0, clientId: 'b' },
    ]);
  });
});
