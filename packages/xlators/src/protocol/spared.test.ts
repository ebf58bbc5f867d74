/** What a client does not ask the brick, or only together with something else. */
import {
  type Args,
  type Call,
  compoundStep,
  Errno,
  emptyIatt,
  Fd,
  type FopName,
  locOf,
  newGfid,
  type RawStep,
  type Reply,
  rootCall,
  rootGfid,
} from '@mortar/core';
import { lateOpendir, MemoryTransport, SessionServer } from '@mortar/rpc';
import { LinesLog, ManualClock, seededRandom, settle } from '@mortar/rpc/test-rig.ts';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { startBrick, startClient } from './rig.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

const entry = { name: 'a', gfid: rootGfid, type: 8, offset: 17, iatt: null, xattrs: null };

async function start(server: Record<string, string> = {}) {
  const clock = new ManualClock();
  const network = new MemoryTransport();
  const options = { clock, random: seededRandom(5), transport: { transport: network }, log: new LinesLog() };
  const brick = await startBrick({ ...options, server: { 'listen-port': '49152', ...server } });
  cleanups.push(() => brick.stop());
  const seen: { fop: FopName; args: Args<FopName>; owner: string }[] = [];
  let refused: { fop: FopName; errno: Errno } | undefined;
  brick.child.answer = async (fop: FopName, call: Call, args: Args<FopName>) => {
    seen.push({ fop, args, owner: call.lockOwner });
    if (refused?.fop === fop) return { ok: false, errno: refused.errno };
    const flock = (args as { flock?: unknown }).flock;
    return { ok: true, iatt: emptyIatt(), entries: [entry], end: true, flock } as unknown as Reply<FopName>;
  };
  const client = await startClient({ ...options, client: { 'remote-port': '49152' } });
  cleanups.push(() => client.stop());
  await settle();
  const refuse = (fop: FopName, errno: Errno | undefined) => {
    refused = errno === undefined ? undefined : { fop, errno };
  };
  const fopsSeen = () => seen.splice(0).map(({ fop }) => fop);
  return { brick, client, ops: client.ops, seen, fopsSeen, refuse, network, clock, call: rootCall(clock) };
}

const page = (fd: Fd, offset = 0) => ({ fd, size: 4096, offset });

describe('opendir', () => {
  it('costs nothing where the directory is never read', async () => {
    const { ops, call, fopsSeen, brick } = await start();
    const fd = new Fd(rootGfid);
    expect(await ops.opendir(call, { loc: locOf(rootGfid), fd })).toEqual({ ok: true });
    fd.release();
    await settle();
    expect(fopsSeen()).toEqual([]);
    expect(brick.server.fdTables()[0]!.entries).toEqual([]);
  });

  it.each(['readdir', 'readdirp'] as const)(
    'goes with the first %s, in one frame, and the pages that follow use it',
    async (list) => {
      const { ops, call, seen, fopsSeen, brick, client } = await start();
      const fd = new Fd(rootGfid);
      await ops.opendir(call, { loc: locOf(rootGfid), fd });
      const sent = () => client.graph.xlators.get('vol1-client-0')!.dump().total_bytes_written as number;
      const before = sent();
      expect(await ops[list](call, page(fd))).toMatchObject({ ok: true, entries: [{ name: 'a' }], end: true });
      expect(sent() - before).toBeLessThan(400);
      await ops[list](call, page(fd, 17));
      const fds = new Set(seen.map(({ args }) => (args as unknown as { fd: Fd }).fd));
      expect(fopsSeen()).toEqual(['opendir', list, list]);
      expect(fds.size).toBe(1);
      expect(brick.server.fdTables()[0]!.entries).toHaveLength(1);
      fd.release();
      await settle();
    },
  );

  it('that the brick refuses is the answer to the reading, and is tried again with the next', async () => {
    const { ops, call, fopsSeen, refuse } = await start();
    const fd = new Fd(rootGfid);
    await ops.opendir(call, { loc: locOf(rootGfid), fd });
    refuse('opendir', Errno.ENOENT);
    expect(await ops.readdirp(call, page(fd))).toEqual({ ok: false, errno: Errno.ENOENT });
    refuse('opendir', undefined);
    expect(await ops.readdirp(call, page(fd))).toMatchObject({ ok: true });
    expect(fopsSeen()).toEqual(['opendir', 'opendir', 'readdirp']);
  });

  it('is done once for several who begin to read at a time', async () => {
    const { ops, call, fopsSeen } = await start();
    const fd = new Fd(rootGfid);
    await ops.opendir(call, { loc: locOf(rootGfid), fd });
    const replies = await Promise.all([0, 0, 17].map((offset) => ops.readdirp(call, page(fd, offset))));
    expect(replies.every((reply) => reply.ok)).toBe(true);
    expect(fopsSeen().filter((fop) => fop === 'opendir')).toHaveLength(1);
  });

  it('fails at once while the brick is away', async () => {
    const { ops, call, network } = await start();
    for (const link of network.links) link.cut();
    await settle();
    const fd = new Fd(rootGfid);
    expect(await ops.opendir(call, { loc: locOf(rootGfid), fd })).toEqual({ ok: false, errno: Errno.ENOTCONN });
  });

  it.each([{ 'root-squash': 'on' }, { 'all-squash': 'on' }])(
    'is asked for at once where the brick decides who may (%o)',
    async (server) => {
      const { ops, call, fopsSeen, refuse } = await start(server);
      refuse('opendir', Errno.EACCES);
      const fd = new Fd(rootGfid);
      expect(await ops.opendir(call, { loc: locOf(rootGfid), fd })).toEqual({ ok: false, errno: Errno.EACCES });
      expect(fopsSeen()).toEqual(['opendir']);
    },
  );
});

describe('flush', () => {
  const lock = (type: 'read' | 'write' | 'unlock', start = 0, length = 0, owner = '0a') => ({
    type,
    start,
    length,
    pid: 1,
    owner,
  });

  it('reaches the brick whenever its owner may have locks there, and only then', async () => {
    const { ops, call, fopsSeen } = await start();
    const gfids = [newGfid(seededRandom(1)), newGfid(seededRandom(2))];
    const step = fc.record({
      file: fc.nat(1),
      owner: fc.constantFrom('aa', 'bb'),
      does: fc.constantFrom('lock', 'unlock', 'unlock part', 'look', 'flush'),
    });
    const held = new Set<string>();
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
        for (const { file, owner, does } of steps) {
          const fd = new Fd(gfids[file]!, 2);
          const own = { ...call, lockOwner: owner };
          const key = `${file} ${owner}`;
          if (does === 'flush') {
            expect(await ops.flush(own, { fd })).toEqual({ ok: true });
            expect(fopsSeen()).toEqual(held.delete(key) ? ['flush'] : []);
            continue;
          }
          const flock =
            does === 'lock' ? lock('write', 5, 9, owner) : lock('unlock', 0, does === 'unlock' ? 0 : 3, owner);
          await ops.lk(call, { fd, command: does === 'look' ? 'get' : 'set', flock });
          if (does === 'lock') held.add(key);
          if (does === 'unlock') held.delete(key);
          expect(fopsSeen()).toEqual(['lk']);
        }
      }),
    );
  });

  it('reaches the brick after an unlock that failed', async () => {
    const { ops, call, fopsSeen, refuse } = await start();
    const fd = new Fd(rootGfid, 2);
    await ops.lk(call, { fd, command: 'set', flock: lock('read') });
    refuse('lk', Errno.EIO);
    await ops.lk(call, { fd, command: 'set', flock: lock('unlock') });
    await ops.flush({ ...call, lockOwner: '0a' }, { fd });
    expect(fopsSeen()).toEqual(['lk', 'lk', 'flush']);
  });

  it('reaches the brick after a lock whose answer was lost, and after one in a compound', async () => {
    const { ops, call, fopsSeen, refuse } = await start();
    const fd = new Fd(rootGfid, 2);
    refuse('lk', Errno.ETIMEDOUT);
    await ops.lk(call, { fd, command: 'wait', flock: lock('write') });
    await ops.flush({ ...call, lockOwner: '0a' }, { fd });
    refuse('lk', undefined);
    await ops.compound(call, { steps: [{ fop: 'lk', args: { fd, command: 'set', flock: lock('write') } }] });
    await ops.flush({ ...call, lockOwner: '0a' }, { fd });
    expect(fopsSeen()).toEqual(['lk', 'flush', 'lk', 'flush']);
  });
});

describe('a change that travels with the request for its lease', () => {
  const loc = locOf(rootGfid);
  const steps: RawStep[] = [
    compoundStep('lookup', { loc, want: [] }),
    compoundStep('lookup', { loc, want: [], xdata: { ifQuiet: true } }),
    compoundStep('setxattr', { loc, xattrs: { 'user.a': Buffer.of(1) }, flags: 0 }),
  ];
  const others = steps.map(({ fop, args }) => ({ fop, args: { ...args, xdata: {} } }));

  it('goes to a brick that may leave it', async () => {
    const { ops, call, fopsSeen } = await start();
    await ops.compound(call, { steps });
    expect(fopsSeen()).toEqual(['lookup', 'lookup', 'setxattr']);
  });

  it('stays here where an older brick would do it whoever has the lock', async () => {
    const clock = new ManualClock();
    const network = new MemoryTransport();
    const random = seededRandom(5);
    const seen: RawStep[] = [];
    const older = new SessionServer({
      clock,
      random,
      name: 'older',
      admit: () => ({ isTrusted: true, features: [lateOpendir] }),
      run: async (_fop, _call, args) => {
        const asked = (args as unknown as Args<'compound'>).steps;
        seen.push(...asked);
        return {
          ok: true,
          replies: asked.map(() => ({ ok: true, iatt: emptyIatt(), postParent: emptyIatt(), xattrs: {} })),
        } as never;
      },
    });
    await older.listen(network, { kind: 'tcp', host: '127.0.0.1', port: 49152 });
    cleanups.push(() => older.close());
    const log = new LinesLog();
    const client = await startClient({
      clock,
      random,
      transport: { transport: network },
      log,
      client: { 'remote-port': '49152' },
    });
    cleanups.push(() => client.stop());
    await settle();

    const reply = await client.ops.compound(rootCall(clock), { steps });
    expect(reply).toMatchObject({ ok: true, replies: [{ ok: true }, { ok: true }] });
    expect(seen.splice(0).map(({ fop }) => fop)).toEqual(['lookup', 'lookup']);
    // All others it does as ever.
    await client.ops.compound(rootCall(clock), { steps: others });
    expect(seen.map(({ fop }) => fop)).toEqual(['lookup', 'lookup', 'setxattr']);
  });
});
