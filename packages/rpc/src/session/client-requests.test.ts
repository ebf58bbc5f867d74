import { Errno, Fd, fops, rootGfid } from '@mortar/core';
import { beforeEach, describe, expect, it } from 'vitest';
import { type CloseReason, Connection } from '../connection.ts';
import { Channel, errorFlag, type FrameLimits, fopLimits, type Header, highHalf, Kind, retryFlag } from '../frame.ts';
import { CountingMetrics, ManualClock, settle, someCall } from '../test-rig.ts';
import { MemoryStream } from '../transports/memory.ts';
import { ClientRequests } from './client-requests.ts';
import { clientSessionLimits } from './limits.ts';
import { SessionNotice } from './notices.ts';
import { flock, root } from './session-rig.ts';

let clock: ManualClock;
let metrics: CountingMetrics;
let requests: ClientRequests;
/** What arrived at the brick, in order. */
let arrived: Pick<Header, 'kind' | 'op' | 'id' | 'flags' | 'cookieLow'>[];
let closings: CloseReason['code'][];

beforeEach(async () => {
  // What the test before has sent still arrives.
  await settle();
  clock = new ManualClock();
  metrics = new CountingMetrics();
  [arrived, closings] = [[], []];
  requests = requestsWithin({});
});

function requestsWithin(limits: Partial<typeof clientSessionLimits>): ClientRequests {
  const fds = { idOf: () => 0, opened: () => undefined };
  return new ClientRequests({ clock, metrics, fds, limits: { ...clientSessionLimits, ...limits }, timeoutMs: 0 });
}

/** Gives the requests a connection, by which the session goes on at once; its other end, the brick's. */
function connect(limits: FrameLimits = fopLimits): Connection {
  const brick = reconnect(limits);
  requests.resend();
  return brick;
}

/** The same, where the session is yet to be taken up again. */
function reconnect(limits: FrameLimits = fopLimits): Connection {
  const [near, far] = MemoryStream.pair('brick');
  const options = { clock, metrics, name: 'test', channel: Channel.fop, pingTimeoutMs: 0 };
  const none = { hello: () => undefined };
  const closed = ({ code }: CloseReason) => void closings.push(code);
  const frame = (...of: Parameters<ClientRequests['answer']>) => requests.answer(...of);
  const here = new Connection(near, { ...none, frame, closed }, { ...options, limits, isServer: false });
  // The header serves the next frame as well.
  const seen = ({ kind, op, id, flags, cookieLow }: Header) => void arrived.push({ kind, op, id, flags, cookieLow });
  const record = { ...none, frame: seen, closed: () => undefined };
  const there = new Connection(far, record, { ...options, limits: fopLimits, isServer: true });
  here.opened();
  there.opened();
  requests.goBy(here);
  return there;
}

function fail(brick: Connection, sequence: number, op: number, errno: number): void {
  brick.send(Kind.reply, op, sequence >>> 0, errorFlag, errno, 0, highHalf(sequence), (output) => {
    output.u8(0);
    return null;
  });
}

const stat = (call = someCall) => requests.start('stat', call, { loc: root });
const write = (bytes: number) =>
  requests.start('writev', someCall, { fd: new Fd(rootGfid, 2), offset: 0, data: Buffer.alloc(bytes) });
const lock = (signal: AbortSignal) =>
  requests.start(
    'inodelk',
    { ...someCall, signal },
    { loc: root, domain: 'd', command: 'wait', flock: flock('write') },
  );

/** Numbers of the requests that arrived, those that came again with a mark. */
const sequences = () =>
  arrived.filter(({ kind }) => kind === Kind.request).map(({ id, flags }) => (flags & retryFlag ? `${id} again` : id));

describe('a request', () => {
  it('tells below which number everything was answered', async () => {
    const brick = connect();
    const replies = [stat(), stat(), stat()];
    await settle();
    for (const sequence of [1, 3]) fail(brick, sequence, fops.stat.id, Errno.EACCES);
    await settle();
    void stat();
    await settle();
    expect(arrived.map(({ id, cookieLow }) => [id, cookieLow])).toEqual([
      [1, 1],
      [2, 1],
      [3, 1],
      [4, 2],
    ]);
    await expect(replies[0]).resolves.toEqual({ ok: false, errno: Errno.EACCES });
  });

  it('that no frame can hold fails by itself', async () => {
    connect({ ...fopLimits, payloadBytes: 100 });
    await expect(write(101)).resolves.toEqual({ ok: false, errno: Errno.EMSGSIZE });
    void write(100);
    await settle();
    expect([sequences(), requests.size]).toEqual([[2], 1]);
  });

  it('that cannot be encoded is a bug of who asked, who hears of it', async () => {
    connect();
    await expect(requests.start('stat', someCall, {} as never)).rejects.toThrow(TypeError);
    expect(requests.size).toBe(0);
  });

  it('whose reply is one to something else fails with EIO, and the connection with it', async () => {
    const brick = connect();
    const reply = stat();
    await settle();
    fail(brick, 1, fops.readlink.id, Errno.EACCES);
    await expect(reply).resolves.toEqual({ ok: false, errno: Errno.EIO });
    expect([closings, metrics.sum('rpc_bad_frames_total:decode')]).toEqual([['bad-frame'], 1]);
  });

  it('that expired is abandoned, and its late reply counted', async () => {
    const brick = connect();
    requests.timeoutMs = 500;
    const reply = stat();
    await clock.advance(500);
    await expect(reply).resolves.toEqual({ ok: false, errno: Errno.ETIMEDOUT });
    expect(arrived.map(({ kind, op, id }) => [kind, op, id])).toEqual([
      [Kind.request, fops.stat.id, 1],
      [Kind.notice, SessionNotice.abandon, 1],
    ]);
    fail(brick, 1, fops.stat.id, Errno.EACCES);
    await settle();
    expect([metrics.sum('rpc_late_replies_total'), closings]).toEqual([1, []]);
  });

  it('that is given up while it is queued never goes out', async () => {
    requests = requestsWithin({ outstanding: 1 });
    const brick = connect();
    void stat();
    const controller = new AbortController();
    const ipc = requests.start(
      'ipc',
      { ...someCall, signal: controller.signal },
      { operation: 'x', data: Buffer.from('') },
    );
    expect(requests.queued).toBe(1);
    controller.abort();
    await expect(ipc).resolves.toEqual({ ok: false, errno: Errno.EINTR });
    fail(brick, 1, fops.stat.id, Errno.EACCES);
    await settle();
    expect(sequences()).toEqual([1]);
  });
});

describe('over the next connection', () => {
  it('what has no answer goes again, in order, and what was queued behind it as there is room', async () => {
    requests = requestsWithin({ outstanding: 2 });
    connect();
    void write(1);
    void write(1);
    void write(1);
    requests.goBy(null);
    await settle();
    arrived = [];
    const brick = reconnect();
    requests.resend();
    await settle();
    expect(sequences()).toEqual(['1 again', '2 again']);
    fail(brick, 1, fops.writev.id, Errno.EIO);
    await settle();
    expect(sequences()).toEqual(['1 again', '2 again', 3]);
  });

  it('a lock that was given up meanwhile is interrupted', async () => {
    connect();
    const controller = new AbortController();
    void lock(controller.signal);
    requests.goBy(null);
    await settle();
    arrived = [];
    controller.abort();
    reconnect();
    requests.resend();
    await settle();
    expect(arrived.map(({ kind, op }) => [kind, op])).toEqual([
      [Kind.request, fops.inodelk.id],
      [Kind.notice, SessionNotice.interrupt],
    ]);
  });

  it('nothing queued goes before there is one', async () => {
    requests = requestsWithin({ outstanding: 1 });
    connect();
    requests.timeoutMs = 500;
    void stat();
    requests.timeoutMs = 0;
    void stat();
    requests.goBy(null);
    await clock.advance(500);
    expect([sequences(), requests.queued]).toEqual([[1], 1]);
    reconnect();
    requests.resend();
    await settle();
    expect(sequences()).toEqual([1, 2]);
  });
});

describe('without a brick', () => {
  it('those that only look can fail before the others', async () => {
    connect();
    const gone = { ok: false, errno: Errno.ENOTCONN };
    const [looks, changes] = [stat(), write(1)];
    requests.goBy(null);
    requests.failReads();
    await expect(looks).resolves.toEqual(gone);
    expect(requests.size).toBe(1);
    requests.failAll();
    await expect(changes).resolves.toEqual(gone);
    expect(requests.size).toBe(0);
  });
});

describe('while a session is taken up again', () => {
  it('what that needs waits for no room, and what is queued waits for that', async () => {
    requests = requestsWithin({ outstanding: 1 });
    connect();
    const call = { ...someCall, deadlineMs: clock.nowMs() + 500 };
    const expiring = stat(call);
    const queued = stat();
    await settle();
    requests.goBy(null);
    const brick = reconnect();
    const recovery = requests.start('stat', someCall, { loc: root }, true);
    await settle();
    expect(sequences()).toEqual([1, 3]);
    fail(brick, 3, fops.stat.id, Errno.EACCES);
    await expect(recovery).resolves.toEqual({ ok: false, errno: Errno.EACCES });
    // Room alone is not enough.
    await clock.advance(600);
    await expect(expiring).resolves.toEqual({ ok: false, errno: Errno.ETIMEDOUT });
    await settle();
    expect(sequences()).toEqual([1, 3]);
    requests.resend();
    await settle();
    expect(sequences()).toEqual([1, 3, 2]);
    fail(brick, 2, fops.stat.id, Errno.ENOENT);
    await expect(queued).resolves.toEqual({ ok: false, errno: Errno.ENOENT });
  });
});
