import { type Args, Errno, emptyIatt, Fd, type FopName, type Reply, rootGfid } from '@mortar/core';
import { describe, expect, it, vi } from 'vitest';
import type { Welcome } from '../hello.ts';
import { settle, someCall } from '../test-rig.ts';
import { flock, iatts, root, world, write } from './session-rig.ts';

describe('after a reconnection', () => {
  it('a write whose answer was lost is answered, and done once', async () => {
    const { client, link, clock, cut, ran, events } = await world();
    link.holdReplies = true;
    const reply = write(client);
    await settle();
    expect(ran).toEqual(['writev']);
    link.holdReplies = false;
    await cut();
    await clock.advance(200);
    await expect(reply).resolves.toMatchObject({ ok: true });
    expect(ran).toEqual(['writev']);
    expect(events).toEqual(['new', 'up', 'down', 'resumed', 'up']);
  });

  it('a write that never arrived is done', async () => {
    const { client, link, clock, cut, ran } = await world();
    link.holdAll = true;
    const reply = write(client);
    await settle();
    expect(ran).toEqual([]);
    link.holdAll = false;
    await cut();
    await clock.advance(200);
    await expect(reply).resolves.toMatchObject({ ok: true });
    expect(ran).toEqual(['writev']);
  });

  it('a write that still runs is answered when it ends', async () => {
    const { client, clock, cut, ran, run } = await world();
    let finish: (reply: Reply<FopName>) => void = () => undefined;
    run.now = () => new Promise((resolve) => (finish = resolve));
    const reply = write(client);
    await settle();
    await cut();
    await clock.advance(200);
    finish({ ok: true, ...iatts } as never);
    await expect(reply).resolves.toMatchObject({ ok: true, written: 4 });
    expect(ran).toEqual(['writev']);
  });

  it('a read is done again', async () => {
    const { client, link, clock, cut, ran, run } = await world();
    run.now = async () => ({ ok: true, iatt: emptyIatt() }) as never;
    link.holdReplies = true;
    const reply = client.fop('stat', someCall, { loc: root });
    await settle();
    link.holdReplies = false;
    await cut();
    await clock.advance(200);
    await expect(reply).resolves.toMatchObject({ ok: true });
    expect(ran).toEqual(['stat', 'stat']);
  });

  it('files that were closed meanwhile are closed', async () => {
    const { client, server, clock, link, cut, run } = await world();
    const fds = [new Fd(rootGfid), new Fd(rootGfid)];
    run.now = async () => ({ ok: true }) as never;
    const ids: number[] = [];
    for (const fd of fds) await client.fop('open', someCall, { loc: root, flags: 0, fd });
    const session = server.sessionOf('client-1')!;
    for (const [id] of session.fds.all()) ids.push(id);
    expect(ids).toHaveLength(2);
    link.holdAll = true;
    await cut();
    client.release(ids[0]!);
    link.holdAll = false;
    await clock.advance(3000);
    await clock.advance(1000);
    expect([...session.fds.all()].map(([id]) => id)).toEqual([ids[1]]);
  });

  it('a file is closed whose closing was told by the connection that broke', async () => {
    const { client, server, clock, link, cut, run } = await world();
    run.now = async () => ({ ok: true, iatt: emptyIatt() }) as never;
    for (let i = 0; i < 3; i++) await client.fop('open', someCall, { loc: root, flags: 0, fd: new Fd(rootGfid) });
    const { fds } = server.sessionOf('client-1')!;
    const open = () => [...fds.all()].map(([id]) => id);
    link.holdAll = true;
    // One is told with a request, one by itself, and neither arrives.
    client.release(1);
    const reply = client.fop('stat', someCall, { loc: root });
    await settle();
    client.release(2);
    await clock.advance(10);
    expect(open()).toEqual([1, 2, 3]);
    link.holdAll = false;
    await cut();
    await clock.advance(200);
    await expect(reply).resolves.toMatchObject({ ok: true });
    await clock.advance(10);
    expect(open()).toEqual([3]);
  });

  it('a file whose closing has arrived is not closed again', async () => {
    const { client, server, clock, cut, run } = await world();
    run.now = async () => ({ ok: true, iatt: emptyIatt() }) as never;
    const open = () => client.fop('open', someCall, { loc: root, flags: 0, fd: new Fd(rootGfid) });
    await open();
    const { fds } = server.sessionOf('client-1')!;
    client.release(1);
    await open();
    expect([...fds.all()].map(([id]) => id)).toEqual([2]);
    const release = vi.spyOn(fds, 'release');
    await cut();
    await clock.advance(1000);
    expect(client.isUp).toBe(true);
    expect(release).not.toHaveBeenCalled();
  });

  it('files stay open', async () => {
    const { client, clock, cut, ids, run, server } = await world();
    const there: Fd[] = [];
    run.now = async (_fop, _call, args) => {
      there.push((args as unknown as { fd: Fd }).fd);
      return { ok: true, iatt: emptyIatt() } as never;
    };
    const fd = new Fd(rootGfid, 2);
    await client.fop('open', someCall, { loc: root, flags: 2, fd });
    expect(ids.get(fd)).toBe(1);
    await cut();
    await clock.advance(200);
    await client.fop('fstat', someCall, { fd });
    expect(there[1]).toBe(there[0]);
    client.release(1);
    await clock.advance(10);
    expect(there[0]!.released).toBe(true);
    expect(server.sessions()[0]!.fds.size).toBe(0);
  });

  it('a write whose outcome had to be forgotten fails rather than runs twice', async () => {
    const { client, link, clock, cut, ran, server } = await world({ server: { limits: { outcomes: 2 } } });
    link.holdReplies = true;
    const replies = [write(client, '1'), write(client, '2'), write(client, '3')];
    await settle();
    expect(server.sessions()[0]!.stats.outcomes).toBe(2);
    link.holdReplies = false;
    await cut();
    await clock.advance(200);
    const results = await Promise.all(replies);
    expect(results.map((reply) => (reply.ok ? 0 : reply.errno))).toEqual([Errno.ENOTCONN, 0, 0]);
    expect(ran).toHaveLength(3);
  });

  it('a write that was still queued goes out behind the handshake, not into it', async () => {
    const { client, link, clock, cut, deliver, ran, run, metrics } = await world({
      client: { limits: { outstanding: 1 } },
    });
    run.now = () => new Promise(() => undefined);
    const expiring = write(client, 'one', { ...someCall, deadlineMs: clock.nowMs() + 500 });
    const queued = write(client, 'two');
    await settle();
    link.holdAll = true;
    await cut();
    await clock.advance(500);
    await expect(expiring).resolves.toEqual({ ok: false, errno: Errno.ETIMEDOUT });
    run.now = async () => ({ ok: true, ...iatts }) as never;
    link.holdAll = false;
    await deliver();
    await expect(queued).resolves.toMatchObject({ ok: true });
    expect(ran).toEqual(['writev', 'writev']);
    expect(metrics.sum('rpc_bad_frames')).toBe(0);
  });

  it('a lock that never arrived goes ahead of what gives it back, which would find nothing', async () => {
    const done: string[] = [];
    const fd = new Fd(rootGfid, 2);
    const lk = (type: 'write' | 'unlock', isRecovery = false) =>
      w.client.fop('lk', someCall, { fd, command: 'set', flock: flock(type) }, isRecovery);
    const attached = async ({ resumed }: Welcome) => {
      if (resumed) await lk('unlock', true);
    };
    const w = await world({ client: { events: { attached } } });
    w.run.now = async (_fop, _call, args) => {
      const { flock: asked } = args as unknown as Args<'lk'>;
      done.push(asked.type);
      return { ok: true, flock: asked } as never;
    };
    w.link.holdAll = true;
    const reply = lk('write');
    await settle();
    w.link.holdAll = false;
    await w.cut();
    await w.clock.advance(200);
    await expect(reply).resolves.toMatchObject({ ok: true });
    expect(done).toEqual(['write', 'unlock']);
  });

  it('requests fail while there is no connection', async () => {
    const { client, cut } = await world();
    await cut();
    await expect(write(client)).resolves.toEqual({ ok: false, errno: Errno.ENOTCONN });
  });
});

describe('the end of a session', () => {
  it('comes when the grace time is over: fds are released, requests fail, the next one is new', async () => {
    const { client, link, clock, cut, ended, events, run, server } = await world({ server: { graceMs: 1000 } });
    let there: Fd | undefined;
    run.now = async (_fop, _call, args) => {
      there = (args as unknown as { fd: Fd }).fd;
      return { ok: true } as never;
    };
    await client.fop('open', someCall, { loc: root, flags: 2, fd: new Fd(rootGfid, 2) });
    link.holdAll = true;
    const lost = write(client);
    await settle();
    await cut();
    await clock.advance(999);
    expect(ended).toEqual([]);
    await clock.advance(1);
    expect(ended).toEqual(['client-1']);
    expect(there?.released).toBe(true);
    await expect(lost).resolves.toEqual({ ok: false, errno: Errno.ENOTCONN });
    link.holdAll = false;
    await cut();
    await clock.advance(25_000);
    expect(events.at(-2)).toBe('new');
    expect(server.sessions()).toHaveLength(1);
  });

  it('is not undone by a welcome that comes after it', async () => {
    const { client, link, clock, cut, deliver, events } = await world({ server: { graceMs: 1000 } });
    link.holdReplies = true;
    const lost = write(client);
    await settle();
    await cut();
    await clock.advance(500);
    await clock.advance(500);
    await expect(lost).resolves.toEqual({ ok: false, errno: Errno.ENOTCONN });
    link.holdReplies = false;
    const before = events.length;
    await deliver();
    await clock.advance(25_000);
    expect(events.slice(before)).not.toContain('resumed');
    expect(events.at(-2)).toBe('new');
    await expect(write(client)).resolves.toMatchObject({ ok: true });
  });

  it('comes at once with a goodbye', async () => {
    const { client, ended } = await world();
    client.stop();
    await settle();
    expect(ended).toEqual(['client-1']);
  });

  it('aborts what still runs', async () => {
    const { client, run } = await world();
    let signal: AbortSignal | undefined;
    run.now = (_fop, call) => {
      signal = call.signal;
      return new Promise(() => undefined);
    };
    const lock = { loc: root, domain: 'd', command: 'wait', flock: flock('write') } as const;
    const reply = client.fop('inodelk', someCall, lock);
    await settle();
    client.stop();
    await settle();
    expect(signal?.aborted).toBe(true);
    await expect(reply).resolves.toEqual({ ok: false, errno: Errno.ENOTCONN });
  });

  it('comes when the same client begins anew', async () => {
    const { transport, server, ended, client } = await world();
    const [first] = server.sessions();
    const again = await world();
    again.client.stop();
    client.stop();
    await settle();
    expect(ended).toEqual(['client-1']);
    expect(server.sessions()).not.toContain(first);
    expect(transport.links.size).toBe(1);
  });
});

it('a write in flight fails when the brick has forgotten the session: it is not done again', async () => {
  const { client, link, server, clock, ran, events, cut } = await world();
  link.holdReplies = true;
  const reply = write(client);
  await settle();
  server.endSession(server.sessions()[0]!, 'test');
  link.holdReplies = false;
  await cut();
  await clock.advance(1000);
  await expect(reply).resolves.toEqual({ ok: false, errno: Errno.ENOTCONN });
  expect(ran).toEqual(['writev']);
  expect(events.slice(-2)).toEqual(['new', 'up']);
});
