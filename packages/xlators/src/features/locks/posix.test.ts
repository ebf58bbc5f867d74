import { Errno, Fd, locOf } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { errnoOfReply, rigCall, settle } from '../../lib/translator-rig.ts';
import { flock, gfid, lk, make, other, outcome } from './locks-rig.ts';

describe('POSIX locks', () => {
  it('refuses a conflicting lock with EAGAIN and names the holder', async () => {
    const r = await make();
    expect(errnoOfReply(await lk(r, 'a', 'set', flock('write', 10, 10)))).toBe(0);
    expect(errnoOfReply(await lk(r, 'b', 'set', flock('read', 19, 1)))).toBe(Errno.EAGAIN);
    expect(await lk(r, 'b', 'get', flock('read', 0, 0, '02'))).toEqual({ ok: true, flock: flock('write', 10, 10) });
    expect(errnoOfReply(await lk(r, 'b', 'set', flock('write', 20, 0)))).toBe(0);
  });

  it('tells apart owners of one client, and clients with the same owner', async () => {
    const r = await make();
    await lk(r, 'a', 'set', flock('write', 0, 10, '01'));
    expect(errnoOfReply(await lk(r, 'a', 'set', flock('write', 0, 10, '01')))).toBe(0);
    expect(errnoOfReply(await lk(r, 'a', 'set', flock('write', 0, 10, '02')))).toBe(Errno.EAGAIN);
    expect(errnoOfReply(await lk(r, 'b', 'set', flock('write', 0, 10, '01')))).toBe(Errno.EAGAIN);
  });

  it('of flock(2) do not meet those of fcntl(2), and know no circles', async () => {
    const r = await make();
    const whole = (owner: string) => ({ ...flock('write', 0, 0, owner), family: 'flock' as const });
    await lk(r, 'a', 'set', flock('write'));
    expect(errnoOfReply(await lk(r, 'b', 'set', whole('02')))).toBe(0);
    expect(errnoOfReply(await lk(r, 'a', 'set', whole('03')))).toBe(Errno.EAGAIN);
    expect(await lk(r, 'a', 'get', whole('03'))).toMatchObject({ flock: { owner: '02', family: 'flock' } });
    await lk(r, 'a', 'set', whole('03'), new Fd(other));
    const waiting = lk(r, 'b', 'wait', whole('02'), new Fd(other));
    const circle = lk(r, 'a', 'wait', whole('03'));
    expect((await outcome(circle)).done).toBe(false);
    await lk(r, 'b', 'set', { ...whole('02'), type: 'unlock' });
    expect((await circle).ok).toBe(true);
    await lk(r, 'a', 'set', { ...whole('03'), type: 'unlock' }, new Fd(other));
    expect((await waiting).ok).toBe(true);
  });

  it('hands over what the same owner has by another session of its process, past those who wait, and nothing else', async () => {
    const r = await make();
    const session = (process: string, graph: number) => `${process}-1800000000-00000000000${graph}-vol-client-0`;
    const [before, after, another] = [session('n1-11', 1), session('n1-11', 2), session('n2-11', 1)];
    const move = (lock: ReturnType<typeof flock>) =>
      r.xlator.ops.lk(rigCall(after), { fd: new Fd(gfid), command: 'set', flock: lock, xdata: { handsOver: true } });
    await lk(r, before, 'set', flock('write', 0, 10));
    await lk(r, another, 'set', flock('write', 20, 10));
    const waiting = lk(r, another, 'wait', flock('write', 0, 20));
    expect(errnoOfReply(await move(flock('write', 0, 10, '02')))).toBe(Errno.EAGAIN);
    expect(errnoOfReply(await move(flock('write', 0, 30)))).toBe(Errno.EAGAIN);
    expect((await move(flock('write', 2, 8))).ok).toBe(true);
    expect((await outcome(waiting)).done).toBe(false);
    expect(await lk(r, after, 'get', flock('write', 0, 1))).toMatchObject({ flock: { type: 'write', length: 2 } });
    await lk(r, after, 'set', flock('unlock'));
    expect((await outcome(waiting)).done).toBe(false);
    r.xlator.notify({ type: 'session-ended', clientId: before }, null);
    expect(await waiting).toMatchObject({ ok: true });
  });

  it('lets readers in when a writer becomes a reader', async () => {
    const r = await make();
    await lk(r, 'a', 'set', flock('write'));
    const waiting = lk(r, 'b', 'wait', flock('read'));
    expect((await outcome(waiting)).done).toBe(false);
    await lk(r, 'a', 'set', flock('read'));
    expect(await waiting).toMatchObject({ ok: true });
  });

  it('refuses the wait that would close a circle over two files', async () => {
    const r = await make();
    await lk(r, 'a', 'set', flock('write'));
    await lk(r, 'b', 'set', flock('write'), new Fd(other));
    const waiting = lk(r, 'a', 'wait', flock('write'), new Fd(other));
    expect(errnoOfReply(await lk(r, 'b', 'wait', flock('write')))).toBe(Errno.EDEADLK);
    await lk(r, 'b', 'set', flock('unlock'), new Fd(other));
    expect(await waiting).toMatchObject({ ok: true });
  });

  it('forgets who waited once it waits no more', async () => {
    const r = await make();
    await lk(r, 'a', 'set', flock('write'));
    await lk(r, 'b', 'set', flock('write'), new Fd(other));
    const abort = new AbortController();
    const given = lk(r, 'a', 'wait', flock('write'), new Fd(other), { signal: abort.signal });
    await settle();
    abort.abort();
    expect(errnoOfReply(await given)).toBe(Errno.EINTR);
    const waiting = lk(r, 'b', 'wait', flock('write'), new Fd(gfid), { deadlineMs: 60_000 });
    expect((await outcome(waiting)).done).toBe(false);
    await lk(r, 'a', 'set', flock('unlock'));
    expect((await waiting).ok).toBe(true);
    expect(r.services.clock.pending).toBe(0);
  });

  it('gives up waiting on interrupt and at the deadline', async () => {
    const r = await make();
    await lk(r, 'a', 'set', flock('write'));
    const abort = new AbortController();
    const interrupted = lk(r, 'b', 'wait', flock('write'), new Fd(gfid), { signal: abort.signal });
    const late = lk(r, 'c', 'wait', flock('write'), new Fd(gfid), { deadlineMs: 1000 });
    await settle();
    abort.abort();
    expect(errnoOfReply(await interrupted)).toBe(Errno.EINTR);
    await r.services.clock.advance(1000);
    expect(errnoOfReply(await late)).toBe(Errno.ETIMEDOUT);
    expect(errnoOfReply(await lk(r, 'b', 'wait', flock('write'), new Fd(gfid), { signal: abort.signal }))).toBe(
      Errno.EINTR,
    );
    await lk(r, 'a', 'set', flock('unlock'));
    expect(r.xlator.list()).toEqual([]);
    expect(r.services.clock.pending).toBe(0);
  });

  it('releases on close by the owner, on the last close of the file, and not for anonymous fds', async () => {
    const r = await make();
    const opened = new Fd(gfid, 2);
    await r.xlator.ops.open(rigCall('a'), { loc: locOf(gfid), flags: 2, fd: opened });
    await lk(r, 'a', 'set', flock('write', 0, 1, '01'), opened);
    await lk(r, 'a', 'set', flock('write', 5, 1, 'f10c'), opened);
    await r.xlator.ops.flush(rigCall('a', { lockOwner: '01' }), { fd: new Fd(gfid) });
    expect(r.xlator.list().map((l) => l.owner)).toEqual(['f10c']);
    opened.release();
    expect(r.xlator.list()).toEqual([]);
    const directory = new Fd(other);
    await r.xlator.ops.opendir(rigCall('a'), { loc: locOf(other), fd: directory });
    await lk(r, 'a', 'set', flock('read', 0, 0, 'f10c'), directory);
    directory.release();
    expect(r.xlator.list()).toEqual([]);
    const anonymous = new Fd(gfid);
    await lk(r, 'a', 'set', flock('write', 0, 1, '01'), anonymous);
    anonymous.release();
    expect(r.xlator.list()).toHaveLength(1);
  });

  it('refuses nonsense', async () => {
    const r = await make();
    expect(errnoOfReply(await lk(r, 'a', 'set', flock('write', -1, 3)))).toBe(Errno.EINVAL);
    expect(errnoOfReply(await lk(r, 'a', 'set', flock('write', 0, Number.NaN)))).toBe(Errno.EINVAL);
    expect(errnoOfReply(await lk(r, 'a', 'get', flock('unlock')))).toBe(Errno.EINVAL);
    expect(r.services.inodes.stats().active).toBe(1);
  });
});
