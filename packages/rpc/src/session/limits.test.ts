import { Errno, emptyIatt, Fd, type FopName, type Reply, rootGfid } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { settle, someCall } from '../test-rig.ts';
import { flock, iatts, root, world, write } from './session-rig.ts';

describe('time', () => {
  it('ends a request at its deadline, and its late answer does no harm', async () => {
    const { client, clock, run, ids, server, metrics } = await world();
    let finish: (reply: Reply<FopName>) => void = () => undefined;
    run.now = () => new Promise((resolve) => (finish = resolve));
    const fd = new Fd(rootGfid, 2);
    const reply = client.fop('open', { ...someCall, deadlineMs: clock.nowMs() + 500 }, { loc: root, flags: 2, fd });
    await clock.advance(499);
    await clock.advance(1);
    await expect(reply).resolves.toEqual({ ok: false, errno: Errno.ETIMEDOUT });
    finish({ ok: true } as never);
    await settle();
    expect(ids.has(fd)).toBe(false);
    expect(server.sessions()[0]!.fds.size).toBe(0);
    expect(metrics.sum('rpc_bad_frames')).toBe(0);
  });

  it('closes a file again whose number nobody waited for any more', async () => {
    const { client, clock, link, server } = await world();
    link.holdReplies = true;
    const call = { ...someCall, deadlineMs: clock.nowMs() + 500 };
    const reply = client.fop('open', call, { loc: root, flags: 2, fd: new Fd(rootGfid, 2) });
    await settle();
    expect(server.sessions()[0]!.fds.size).toBe(1);
    await clock.advance(500);
    await expect(reply).resolves.toEqual({ ok: false, errno: Errno.ETIMEDOUT });
    expect(server.sessions()[0]!.fds.size).toBe(0);
  });

  it('limits every request by the timeout of the session', async () => {
    const { client, clock, run } = await world({ client: { requestTimeoutMs: 30_000, pingTimeoutMs: 0 } });
    run.now = () => new Promise(() => undefined);
    const reply = write(client);
    await clock.advance(30_000);
    await expect(reply).resolves.toEqual({ ok: false, errno: Errno.ETIMEDOUT });
  });

  it('shows that a silent brick is gone', async () => {
    const { clock, link, events, log } = await world({ client: { pingTimeoutMs: 4000 } });
    await clock.advance(60_000);
    expect(events).toEqual(['new', 'up']);
    link.holdAll = true;
    await clock.advance(5000);
    expect(events).toEqual(['new', 'up', 'down']);
    expect(log.lines.join('\n')).toContain('silent for 4000 ms');
  });

  it('in which the brick was silent ends reads at once, and leaves changes and locks to the grace time', async () => {
    const { clock, link, client } = await world({ server: { graceMs: 3000 }, client: { pingTimeoutMs: 4000 } });
    link.holdAll = true;
    const ended: string[] = [];
    const watch = (what: string, reply: Promise<{ ok: boolean }>) =>
      void reply.then((got) => ended.push(`${what} ${JSON.stringify(got)}`));
    const notConnected = JSON.stringify({ ok: false, errno: Errno.ENOTCONN });
    watch('stat', client.fop('stat', someCall, { loc: root }));
    watch('write', write(client));
    watch('lock', client.fop('lk', someCall, { fd: new Fd(rootGfid), command: 'set', flock: flock('write') }));
    await clock.advance(3500);
    expect(ended).toEqual([]);
    await clock.advance(1500);
    expect(ended).toEqual([`stat ${notConnected}`]);
    await clock.advance(3000);
    expect(ended.sort()).toEqual([`lock ${notConnected}`, `stat ${notConnected}`, `write ${notConnected}`]);
  });

  it('that passed while this process was stopped is not held against the brick', async () => {
    const { clock, events, link, deliver } = await world({ client: { pingTimeoutMs: 4000 } });
    await clock.advance(2500);
    link.holdAll = true;
    await clock.advance(2000);
    // Its answer lies in the socket; the timer comes first.
    clock.jump(100_000);
    await clock.advance(0);
    link.holdAll = false;
    await deliver();
    await clock.advance(8000);
    expect(events).toEqual(['new', 'up']);
  });

  it('shows that a silent client is gone', async () => {
    const { clock, link, ended } = await world({
      server: { pingTimeoutMs: 4000, graceMs: 1000 },
      client: { pingTimeoutMs: 0 },
    });
    link.holdAll = true;
    await clock.advance(6000);
    expect(ended).toEqual(['client-1']);
  });

  it('shows that a client is gone that takes nothing of much that is owed to it', async () => {
    const { client, clock, link, ended, run, metrics } = await world({
      server: { pingTimeoutMs: 4000, graceMs: 1000 },
      client: { pingTimeoutMs: 0 },
    });
    const data = Buffer.alloc(4 << 20);
    run.now = async () => ({ ok: true, data, iatt: emptyIatt() }) as never;
    link.holdReplies = true;
    for (let i = 0; i < 3; i++)
      void client.fop('readv', someCall, { fd: new Fd(rootGfid, 2), offset: 0, size: data.length });
    await settle();
    expect(metrics.sum('rpc_choked_total')).toBe(1);
    link.holdAll = true;
    await clock.advance(7000);
    expect(ended).toEqual(['client-1']);
  });

  it('shows that a silent brick is gone, also with much on its way to it', async () => {
    const { client, clock, link, events, metrics } = await world({ client: { pingTimeoutMs: 4000 } });
    link.holdAll = true;
    const data = Buffer.alloc(4 << 20);
    for (let i = 0; i < 3; i++) void client.fop('writev', someCall, { fd: new Fd(rootGfid, 2), offset: 0, data });
    await clock.advance(6000);
    expect([events, metrics.sum('rpc_choked_total')]).toEqual([['new', 'up', 'down'], 1]);
  });
});

describe('bounds', () => {
  it('queue requests above the limit, in order, and refuse them when the queue is full', async () => {
    const { client, run, ran } = await world({ client: { limits: { outstanding: 1, queued: 2 } } });
    const release: (() => void)[] = [];
    run.now = () => new Promise((resolve) => release.push(() => resolve({ ok: true, ...iatts } as never)));
    const replies = ['1', '2', '3', '4'].map((text) => write(client, text));
    await expect(replies[3]).resolves.toEqual({ ok: false, errno: Errno.ENOBUFS });
    for (let i = 0; i < 3; i++) {
      await settle();
      expect(ran).toHaveLength(i + 1);
      release[i]!();
    }
    expect((await Promise.all(replies)).filter((reply) => reply.ok)).toHaveLength(3);
  });

  it('stop reading from a client that has enough running', async () => {
    const { client, run, ran } = await world({ server: { limits: { outstanding: 4 } } });
    const release: (() => void)[] = [];
    run.now = () => new Promise((resolve) => release.push(() => resolve({ ok: true, ...iatts } as never)));
    const replies: Promise<unknown>[] = [];
    for (let i = 0; i < 20; i++) {
      replies.push(write(client));
      await settle();
    }
    expect(ran.length).toBeLessThanOrEqual(4);
    while (release.length > 0) {
      for (const go of release.splice(0)) go();
      await settle();
    }
    await Promise.all(replies);
    expect(ran).toHaveLength(20);
  });

  it('keep what a slow reader makes the brick hold small', async () => {
    const { client, link, run, ran, server, metrics } = await world();
    const data = Buffer.alloc(1 << 20);
    run.now = async () => ({ ok: true, data, iatt: emptyIatt() }) as never;
    link.holdReplies = true;
    for (let i = 0; i < 200; i++) {
      void client.fop('readv', someCall, { fd: new Fd(rootGfid, 2), offset: 0, size: 1 });
      await settle();
    }
    expect(ran.length).toBeLessThan(20);
    expect(metrics.sum('rpc_choked_total')).toBe(1);
    expect(server.sessions()[0]!.isConnected).toBe(true);
    client.stop();
  });

  it('never make a client and its brick wait for each other, who both have more to send than the other reads', async () => {
    const { client, link, run, deliver, ran, metrics } = await world();
    const data = Buffer.alloc(4 << 20);
    run.now = async (fop) =>
      (fop === 'readv' ? { ok: true, data, iatt: emptyIatt() } : { ok: true, ...iatts }) as never;
    link.holdReplies = true;
    const fd = new Fd(rootGfid, 2);
    const reads = [0, 1, 2].map(() => client.fop('readv', someCall, { fd, offset: 0, size: data.length }));
    await settle();
    const writes = [0, 1, 2].map(() => client.fop('writev', someCall, { fd, offset: 0, data }));
    await settle();
    expect([ran.length, metrics.sum('rpc_choked_total')]).toEqual([3, 2]);
    link.holdReplies = false;
    await deliver();
    const ended = Promise.all([...reads, ...writes]).then((replies) => replies.every(({ ok }) => ok));
    expect(await Promise.race([ended, settle().then(() => 'they wait')])).toBe(true);
  });

  it('forget outcomes that the client has', async () => {
    const { client, server } = await world();
    for (let i = 0; i < 50; i++) await write(client);
    expect(server.sessions()[0]!.stats.outcomes).toBeLessThan(3);
  });

  it('answer EMFILE when a client has too many files open', async () => {
    const { client } = await world({ server: { limits: { fds: 1 } } });
    const open = () => client.fop('open', someCall, { loc: root, flags: 2, fd: new Fd(rootGfid, 2) });
    await expect(open()).resolves.toMatchObject({ ok: true });
    await expect(open()).resolves.toEqual({ ok: false, errno: Errno.EMFILE });
  });
});
