import { type Call, Errno, emptyIatt, Fd, rootGfid } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { settle, someCall } from '../test-rig.ts';
import { flock, iatts, root, world, write } from './session-rig.ts';

describe('a session', () => {
  it('comes up and answers', async () => {
    const { client, events, run } = await world();
    run.now = async (_fop, call) => ({ ok: true, target: call.clientId, iatt: emptyIatt() }) as never;
    const reply = await client.fop('readlink', someCall, { loc: root });
    expect(reply).toMatchObject({ ok: true, target: 'client-1' });
    expect(events).toEqual(['new', 'up']);
  });

  it('brings uid, groups, lock owner and time to the brick', async () => {
    const { client, run } = await world();
    let got: Call | undefined;
    run.now = async (_fop, call) => {
      got = call;
      return { ok: false, errno: Errno.EACCES };
    };
    await expect(client.fop('stat', someCall, { loc: root })).resolves.toEqual({ ok: false, errno: Errno.EACCES });
    const { session, ...told } = got!;
    expect(told).toEqual({ ...someCall, clientId: 'client-1' });
    expect(session?.isEnded).toBe(false);
    client.stop();
    await expect.poll(() => session?.isEnded).toBe(true);
  });

  it('turns an exception on the brick into EIO, with its stack in the log', async () => {
    const { client, run, log } = await world();
    run.now = () => {
      throw new TypeError('x is undefined');
    };
    await expect(client.fop('stat', someCall, { loc: root })).resolves.toEqual({ ok: false, errno: Errno.EIO });
    expect(log.lines.some((line) => line.includes('x is undefined') && line.includes('session.test.ts'))).toBe(true);
  });

  it('is refused with the reason, and asks again later', async () => {
    let allow = false;
    const { client, events, clock, log } = await world({
      server: { admit: () => (allow ? { isTrusted: false } : { errno: Errno.EACCES, reason: 'not on the list' }) },
    });
    expect(events).toEqual(['down']);
    expect(log.lines.join('\n')).toContain('not on the list');
    await expect(client.fop('stat', someCall, { loc: root })).resolves.toEqual({ ok: false, errno: Errno.ENOTCONN });
    allow = true;
    await clock.advance(4000);
    expect(events).toEqual(['down', 'new', 'up']);
  });
});

describe('a file that is closed', () => {
  async function opened() {
    const all = await world();
    const there: Fd[] = [];
    all.run.now = async (fop, _call, args) => {
      if (fop === 'open') there.push((args as unknown as { fd: Fd }).fd);
      return { ok: true, iatt: emptyIatt() } as never;
    };
    await all.client.fop('open', someCall, { loc: root, flags: 2, fd: new Fd(rootGfid, 2) });
    return { ...all, file: there[0]! };
  }

  it('is told a little later by itself', async () => {
    const { client, clock, file } = await opened();
    client.release(1);
    await settle();
    expect(file.released).toBe(false);
    await clock.advance(10);
    expect(file.released).toBe(true);
  });

  it('is told with the next request, ahead of it', async () => {
    const { client, file, run } = await opened();
    let releasedBefore: boolean | undefined;
    run.now = async () => {
      releasedBefore = file.released;
      return { ok: true, iatt: emptyIatt() } as never;
    };
    client.release(1);
    await client.fop('stat', someCall, { loc: root });
    expect(releasedBefore).toBe(true);
  });
});

describe('fds of one request', () => {
  it('are freed after it when it was anonymous, or could not be opened', async () => {
    const { client, run } = await world();
    const seen: Fd[] = [];
    run.now = async (_fop, _call, args) => {
      seen.push((args as unknown as { fd: Fd }).fd);
      return { ok: false, errno: Errno.EIO };
    };
    await client.fop('fstat', someCall, { fd: new Fd(rootGfid) });
    await client.fop('open', someCall, { loc: root, flags: 2, fd: new Fd(rootGfid, 2) });
    expect(seen.map((fd) => fd.released)).toEqual([true, true]);
  });
});

describe('a lock that waits', () => {
  const lock = { loc: root, domain: 'd', command: 'wait', flock: flock('write') } as const;

  it('is interrupted on the brick, whose answer counts', async () => {
    const { client, run } = await world();
    run.now = (_fop, call) =>
      new Promise((resolve) => {
        call.signal?.addEventListener('abort', () => resolve({ ok: false, errno: Errno.EINTR }));
      });
    const abort = new AbortController();
    const reply = client.fop('inodelk', { ...someCall, signal: abort.signal }, lock);
    await settle();
    abort.abort();
    await expect(reply).resolves.toEqual({ ok: false, errno: Errno.EINTR });
  });

  it('does not keep other requests from passing, however many wait', async () => {
    const { client, run } = await world({
      server: { limits: { outstanding: 2 } },
      client: { limits: { outstanding: 2 } },
    });
    run.now = (fop) =>
      fop === 'inodelk' ? new Promise(() => undefined) : Promise.resolve({ ok: true, ...iatts } as never);
    for (let i = 0; i < 10; i++) void client.fop('inodelk', someCall, lock);
    await settle();
    await expect(write(client)).resolves.toMatchObject({ ok: true });
  });

  it('is refused when too many wait', async () => {
    const { client, run } = await world({ server: { limits: { lockWaiters: 1 } } });
    run.now = () => new Promise(() => undefined);
    void client.fop('inodelk', someCall, lock);
    await expect(client.fop('inodelk', someCall, lock)).resolves.toEqual({ ok: false, errno: Errno.ENOLCK });
  });
});

it('an answer that does not fit its fop is a bug on the brick: EIO, logged, and the session goes on', async () => {
  const { client, run, log } = await world();
  run.now = async () => ({ ok: true }) as never;
  await expect(write(client)).resolves.toEqual({ ok: false, errno: Errno.EIO });
  await expect(client.fop('stat', someCall, { loc: root })).resolves.toEqual({ ok: false, errno: Errno.EIO });
  expect(log.lines.filter((line) => line.startsWith('ERROR'))).toHaveLength(2);
});

it('upcalls reach the client', async () => {
  const { server, events } = await world();
  server.sessions()[0]!.sendUpcall({ type: 'upcall', gfid: rootGfid, what: 'lock-contended', domain: 'd', name: null });
  await settle();
  expect(events.at(-1)).toBe('upcall lock-contended');
});
