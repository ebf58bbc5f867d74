import {
  type Args,
  type Call,
  Errno,
  emptyIatt,
  Fd,
  type FopName,
  freshBytes,
  locOf,
  poisonReturnedBytes,
  type Reply,
  rootGfid,
} from '@mortar/core';
import { afterEach, describe, expect, it } from 'vitest';
import type { Address } from '../stream.ts';
import { CountingMetrics, LinesLog, ManualClock, seededRandom, settle, someCall } from '../test-rig.ts';
import { type MemoryPolicy, MemoryTransport } from '../transports/memory.ts';
import { ClientSession } from './client.ts';
import type { ClientSessionOptions } from './client-options.ts';
import { SessionServer, type SessionServerOptions } from './server.ts';
import type { ServerSession } from './server-session.ts';

const address: Address = { kind: 'memory', name: 'brick' };
const root = locOf(rootGfid);
const iatts = { written: 4, pre: emptyIatt(), post: emptyIatt() };

type Run = (fop: FopName, call: Call, args: Args<FopName>, session: ServerSession) => Promise<Reply<FopName>>;

interface World {
  clock: ManualClock;
  transport: MemoryTransport;
  server: SessionServer;
  client: ClientSession;
  events: string[];
  ended: string[];
  metrics: CountingMetrics;
  log: LinesLog;
  ids: Map<Fd, number>;
  /** What the brick did, in order. */
  ran: string[];
  run: { now: Run };
  /** While true, bytes from the brick to the client stay on the way. */
  link: { holdReplies: boolean; holdAll: boolean };
  cut(): Promise<void>;
  /** What was held arrives. */
  deliver(): Promise<void>;
}

async function world(
  options: { server?: Partial<SessionServerOptions>; client?: Partial<ClientSessionOptions> } = {},
): Promise<World> {
  const clock = new ManualClock();
  const metrics = new CountingMetrics();
  const log = new LinesLog();
  const link = { holdReplies: false, holdAll: false };
  const held: (() => void)[] = [];
  const policy: MemoryPolicy = {
    transfer: (from, _bytes, deliver) => {
      const isReply = !transport.links.has(from);
      if (link.holdAll || (isReply && link.holdReplies)) held.push(deliver);
      else queueMicrotask(deliver);
    },
  };
  const transport = new MemoryTransport(policy);
  const ran: string[] = [];
  const ended: string[] = [];
  const events: string[] = [];
  const run: { now: Run } = { now: async () => ({ ok: true, ...iatts }) as unknown as Reply<FopName> };
  const server = new SessionServer({
    clock,
    random: seededRandom(2),
    metrics,
    log,
    name: 'server',
    admit: () => ({ isTrusted: false }),
    run: (fop, call, args, session) => {
      ran.push(fop);
      return run.now(fop, call, args as Args<FopName>, session) as never;
    },
    onSessionEnd: (session) => ended.push(session.clientId),
    ...options.server,
  });
  await server.listen(transport, address);
  const ids = new Map<Fd, number>();
  const client = new ClientSession({
    clock,
    random: seededRandom(3),
    metrics,
    log,
    name: 'client',
    transport,
    resolve: async () => address,
    identity: {
      program: 'test',
      processId: 1,
      clientId: 'client-1',
      subvolume: 'b1',
      volumeId: '',
      subdirectory: '',
      user: '',
      password: '',
      opVersion: 0,
    },
    fds: { idOf: (fd) => ids.get(fd) ?? 0, opened: (fd, id) => void ids.set(fd, id) },
    events: {
      attached: (welcome) => void events.push(welcome.resumed ? 'resumed' : 'new'),
      up: () => void events.push('up'),
      down: () => void events.push('down'),
      upcall: (upcall) => void events.push(`upcall ${upcall.what}`),
    },
    ...options.client,
  });
  client.start();
  await settle();
  const deliver = async () => {
    for (const arrive of held.splice(0)) arrive();
    await settle();
  };
  const cut = async () => {
    for (const stream of transport.links) stream.cut();
    transport.links.clear();
    await settle();
  };
  return { clock, transport, server, client, events, ended, metrics, log, ids, ran, run, link, cut, deliver };
}

const write = (client: ClientSession, text = 'data', call: Call = someCall) =>
  client.fop('writev', call, { fd: new Fd(rootGfid, 2), offset: 0, data: Buffer.from(text) });

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

function flock(type: 'read' | 'write' | 'unlock') {
  return { type, start: 0, length: 0, owner: '00', pid: 1 };
}

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

describe('payloads at the brick', () => {
  const poison = 0xdb;
  const sizeBytes = 16384;

  afterEach(() => poisonReturnedBytes(false));

  /** Writes and reads once; what the brick's side then sees in what it got and gave. */
  async function seen(writes: boolean, reads: boolean, ok = true) {
    const { client, run } = await world({ server: { returns: () => ({ writes, reads }) } });
    const had: Uint8Array[] = [];
    run.now = async (fop, _call, args) => {
      if (fop === 'writev') had.push((args as Args<'writev'>).data);
      if (fop === 'readv') had.push(freshBytes(sizeBytes).fill(7));
      if (!ok) return { ok: false, errno: Errno.EIO };
      const reply = fop === 'readv' ? { data: had.at(-1), iatt: emptyIatt() } : iatts;
      return { ok: true, ...reply } as unknown as Reply<FopName>;
    };
    poisonReturnedBytes(true);
    const fd = new Fd(rootGfid, 2);
    await client.fop('writev', someCall, { fd, offset: 0, data: Buffer.alloc(sizeBytes, 5) });
    const reply = await client.fop('readv', someCall, { fd, offset: 0, size: sizeBytes });
    if (ok) expect(reply.ok && reply.data.every((byte) => byte === 7)).toBe(true);
    await settle();
    return had.map((bytes) => (bytes.every((byte) => byte === poison) ? 'again' : bytes[0]));
  }

  it('serve again once they were answered, and sent, where nobody keeps them', async () => {
    expect(await seen(true, true)).toEqual(['again', 'again']);
    expect(await seen(false, true)).toEqual([5, 'again']);
    expect(await seen(false, false)).toEqual([5, 7]);
    expect(await seen(true, true, false)).toEqual([5, 7]);
  });
});
