import {
  type Args,
  compoundStep,
  Errno,
  emptyIatt,
  Fd,
  type FopName,
  locAt,
  locOf,
  rootCall,
  rootGfid,
} from '@mortar/core';
import { type Address, ManagementServer, MemoryTransport, type TransportPort } from '@mortar/rpc';
import { LinesLog, ManualClock, seededRandom, settle } from '@mortar/rpc/test-rig.ts';
import { afterEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type Brick, type Client, startBrick, startClient } from './rig.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

interface Setup {
  server?: Record<string, string>;
  client?: Record<string, string>;
  port?: Partial<TransportPort>;
}

async function start(setup: Setup = {}) {
  const clock = new ManualClock();
  const log = new LinesLog();
  const network = new MemoryTransport();
  const transport = { transport: network, ...setup.port };
  const options = { clock, random: seededRandom(5), transport, log };
  const startOwn = async (): Promise<Brick> => {
    const brick = await startBrick({
      ...options,
      random: seededRandom(clock.nowMs() + 9),
      server: { 'listen-port': '49152', 'grace-timeout': '10', ...setup.server },
    });
    brick.child.answer = async (_fop, _call, args) => {
      opened.push((args as unknown as { fd: Fd }).fd);
      return { ok: true, iatt: emptyIatt() } as never;
    };
    return brick;
  };
  const opened: Fd[] = [];
  const brick = await startOwn();
  cleanups.push(() => brick.stop());
  const client: Client = await startClient({ ...options, client: { 'remote-port': '49152', ...setup.client } });
  cleanups.push(() => client.stop());
  await settle();
  const cut = async () => {
    for (const link of network.links) link.cut();
    network.links.clear();
    await settle();
  };
  const types = () => client.events.map((event) => event.type);
  return { clock, log, network, brick, client, cut, types, opened, startOwn, call: rootCall(clock) };
}

const root = locOf(rootGfid);

describe('protocol/client', () => {
  it('tells of connecting, up and down', async () => {
    const { types, cut, clock } = await start();
    expect(types()).toEqual(['child-connecting', 'child-up']);
    await cut();
    expect(types().slice(2)).toEqual(['child-down']);
    await clock.advance(1000);
    expect(types().slice(3)).toEqual(['child-up']);
  });

  it('fails at once with ENOTCONN while the brick is away', async () => {
    const { client, cut, call } = await start();
    await cut();
    await expect(client.ops.stat(call, { loc: root })).resolves.toEqual({ ok: false, errno: Errno.ENOTCONN });
    expect(client.graph.xlators.get('vol1-client-0')!.dump()).toMatchObject({ connected: 0, ping_timeout: 42 });
  });

  it('tries at once when a request would have needed the brick', async () => {
    const { client, cut, call, clock, network, types } = await start();
    const { connect } = network;
    network.connect = () => Promise.reject(new Error('unreachable'));
    await cut();
    await clock.advance(30_000);
    network.connect = connect;
    await clock.advance(200);
    expect(types().at(-1)).toBe('child-down');
    await client.ops.stat(call, { loc: root });
    await clock.advance(100);
    expect(types().at(-1)).toBe('child-up');
  });

  it('tries at once when it is told to, and says when it has', async () => {
    const { client, cut, clock, network, types } = await start();
    const { connect } = network;
    network.connect = () => Promise.reject(new Error('unreachable'));
    await cut();
    await clock.advance(30_000);
    network.connect = connect;
    const attempts: Promise<void>[] = [];
    client.graph.top.notify({ type: 'child-wanted', attempts }, null);
    expect(attempts).toHaveLength(1);
    await clock.advance(100);
    await attempts[0];
    expect(types().at(-1)).toBe('child-up');
  });

  describe('a lock that was given back while the brick was away', () => {
    const flock = { type: 'unlock', start: 0, length: 0, owner: '', pid: 1 } as const;
    const inode = { loc: root, domain: 'd', command: 'unlock', flock } as const;
    const entry = { loc: root, domain: 'd', name: 'n', command: 'unlock', type: 'write' } as const;

    async function away() {
      const world = await start();
      const { client, brick, cut, call } = world;
      await cut();
      const seen: string[] = [];
      brick.child.answer = async (fop) => {
        seen.push(fop);
        return { ok: true, iatt: emptyIatt() } as never;
      };
      const gone = { ok: false, errno: Errno.ENOTCONN };
      expect(await client.ops.inodelk({ ...call, lockOwner: 'aa' }, inode)).toEqual(gone);
      expect(await client.ops.entrylk({ ...call, lockOwner: 'aa' }, entry)).toEqual(gone);
      const steps = [compoundStep('inodelk', inode), compoundStep('entrylk', entry)];
      expect(await client.ops.compound({ ...call, lockOwner: 'cc' }, { steps })).toEqual(gone);
      // What does more than that is asked again by who knows what it was for.
      await client.ops.compound(call, { steps: [...steps, compoundStep('stat', { loc: root })] });
      await client.ops.lk({ ...call, lockOwner: 'bb' }, { fd: new Fd(rootGfid), command: 'set', flock });
      await client.ops.inodelk(call, { ...inode, command: 'try', flock: { ...flock, type: 'write' } });
      return { ...world, seen };
    }

    it('is given back when the session goes on, before anything else', async () => {
      const { client, clock, seen, types } = await away();
      const whenUp = client.saw('child-up', 2).then(() => seen.splice(0));
      await clock.advance(1000);
      expect(types().at(-1)).toBe('child-up');
      expect(await whenUp).toEqual(['inodelk', 'entrylk', 'inodelk', 'entrylk', 'lk']);
    });

    it('is gone with the session', async () => {
      const { clock, seen, types, network } = await away();
      const { connect } = network;
      network.connect = () => Promise.reject(new Error('unreachable'));
      await clock.advance(15_000);
      network.connect = connect;
      await clock.advance(5000);
      expect(types().slice(-2)).toEqual(['session-lost', 'child-up']);
      expect(seen).toEqual([]);
    });
  });

  it('keeps files open over a reconnection within the grace time', async () => {
    const { client, cut, clock, opened, call } = await start();
    const fd = new Fd(rootGfid, 2);
    await client.ops.open(call, { loc: root, flags: 2, fd });
    await cut();
    await clock.advance(1000);
    await client.ops.fstat(call, { fd });
    expect(opened[1]).toBe(opened[0]);
  });

  it('opens files anew, without creating or truncating them, when the brick has forgotten the session', async () => {
    const { client, brick, clock, startOwn, call, types } = await start();
    const fd = new Fd(rootGfid, 0o2 | 0o100 | 0o200 | 0o1000);
    const [folder, unread] = [new Fd(rootGfid), new Fd(rootGfid)];
    const args = { loc: locAt(rootGfid, 'f'), flags: fd.flags, mode: 0o644, gfid: rootGfid, fd };
    brick.child.answer = async () =>
      ({
        ok: true,
        iatt: emptyIatt(),
        preParent: emptyIatt(),
        postParent: emptyIatt(),
        entries: [],
        end: true,
      }) as never;
    await client.ops.create(call, args);
    await client.ops.opendir(call, { loc: root, fd: folder });
    await client.ops.readdir(call, { fd: folder, size: 1000, offset: 0 });
    await client.ops.opendir(call, { loc: root, fd: unread });
    await brick.stop();
    cleanups.splice(0, 1);
    await settle();
    const seen: [FopName, Args<FopName>][] = [];
    const again = await startOwn();
    cleanups.unshift(() => again.stop());
    again.child.answer = async (fop, _call, asked) => {
      seen.push([fop, asked]);
      return { ok: true, iatt: emptyIatt() } as never;
    };
    await clock.advance(5000);
    expect(types().slice(2)).toEqual(['child-down', 'session-lost', 'child-up']);
    expect(seen.map(([fop]) => fop).sort()).toEqual(['open', 'opendir']);
    expect(seen.find(([fop]) => fop === 'open')![1]).toMatchObject({ loc: root, flags: 2 });
    await client.ops.fstat(call, { fd });
    const reopened = seen.find(([fop]) => fop === 'open')![1] as unknown as { fd: Fd };
    expect((seen.at(-1)![1] as unknown as { fd: Fd }).fd).toBe(reopened.fd);
  });

  it('uses a file by its gfid when it could not be opened anew', async () => {
    const { client, brick, clock, startOwn, call } = await start({ client: { 'strict-locks': 'on' } });
    const fd = new Fd(rootGfid, 2);
    await client.ops.open(call, { loc: root, flags: 2, fd });
    await brick.stop();
    cleanups.splice(0, 1);
    const again = await startOwn();
    cleanups.unshift(() => again.stop());
    const seen: FopName[] = [];
    again.child.answer = async (fop) => {
      seen.push(fop);
      return { ok: true, iatt: emptyIatt() } as never;
    };
    await clock.advance(5000);
    await expect(client.ops.fstat(call, { fd })).resolves.toMatchObject({ ok: true });
    expect(seen).toEqual(['fstat']);
    fd.release();
  });

  it('asks glusterd for the port, again and again until the brick runs', async () => {
    const { network, clock, types, log } = await start({ client: { 'remote-port': '0' } });
    expect(types()).toEqual(['child-connecting', 'child-down']);
    let online = false;
    const glusterd = new ManagementServer({ clock });
    glusterd.method('portmap.brickPort', z.object({ brick: z.literal('/bricks/b1') }), () => ({ port: 49152, online }));
    await glusterd.listen(network, { kind: 'tcp', host: '127.0.0.1', port: 24007 });
    cleanups.push(() => glusterd.close());
    await clock.advance(5000);
    expect(log.lines.join('\n')).toContain('brick 127.0.0.1:/bricks/b1 is not running');
    online = true;
    await clock.advance(5000);
    expect(types().at(-1)).toBe('child-up');
  });

  it('takes the unix socket that glusterd names when it is on this host, and TCP when that does not work', async () => {
    const wanted: Address['kind'][] = [];
    const network = new MemoryTransport({
      transfer: (_from, _bytes, deliver) => queueMicrotask(deliver),
      connect: async (address) => {
        wanted.push(address.kind);
        if (address.kind === 'unix') throw new Error('EACCES');
      },
    });
    const port = { transport: network, isLocalHost: () => true, socketExists: () => true };
    const { clock, types } = await start({ client: { 'remote-port': '0' }, port });
    const glusterd = new ManagementServer({ clock });
    glusterd.method('portmap.brickPort', z.unknown(), () => ({
      port: 49152,
      socketPath: '/run/b1.socket',
      online: true,
    }));
    await glusterd.listen(network, { kind: 'tcp', host: '127.0.0.1', port: 24007 });
    cleanups.push(() => glusterd.close());
    wanted.length = 0;
    await clock.advance(10_000);
    expect(wanted.slice(-4)).toEqual(['tcp', 'unix', 'tcp', 'tcp']);
    expect(types().at(-1)).toBe('child-up');
  });

  it('leaves groups out when told so, and O_DIRECT', async () => {
    const { client, brick, call } = await start({ client: { 'send-gids': 'off', 'filter-O_DIRECT': 'enable' } });
    let seen: unknown;
    brick.child.answer = async (_fop, asked, args) => {
      seen = { groups: asked.groups, flags: (args as unknown as { flags: number }).flags };
      return { ok: true } as never;
    };
    await client.ops.open({ ...call, groups: [1, 2] }, { loc: root, flags: 0o40002, fd: new Fd(rootGfid, 0o40002) });
    expect(seen).toEqual({ groups: [], flags: 2 });
  });

  it('stops with its parent, and the brick forgets it at once', async () => {
    const { client, brick, types } = await start();
    client.graph.top.notify({ type: 'parent-down' }, null);
    await settle();
    expect(brick.child.events.at(-1)).toMatchObject({ type: 'session-ended' });
    expect(types()).toEqual(['child-connecting', 'child-up']);
  });
});

describe('protocol/server', () => {
  it('tells those below when a client is gone for good', async () => {
    const { client, brick, clock, cut, opened, call, network } = await start();
    await client.ops.open(call, { loc: root, flags: 2, fd: new Fd(rootGfid, 2) });
    const refuse = () => Promise.reject(new Error('unreachable'));
    network.connect = refuse;
    await cut();
    await clock.advance(9999);
    expect(opened[0]!.released).toBe(false);
    await clock.advance(1);
    expect(opened[0]!.released).toBe(true);
    expect(brick.child.events.at(-1)).toMatchObject({ type: 'session-ended' });
  });

  it('passes upcalls to the client that they are for', async () => {
    const { client, brick } = await start();
    const { 'server.client[0].id': clientId } = brick.server.dump();
    brick.child.tell({ type: 'upcall', gfid: rootGfid, what: 'data', clientId: 'somebody else' });
    brick.child.tell({ type: 'upcall', gfid: rootGfid, what: 'metadata', clientId: String(clientId) });
    brick.child.tell({ type: 'upcall', gfid: rootGfid, what: 'entry', name: 'f' });
    await settle();
    expect(client.events.slice(2)).toEqual([
      { type: 'upcall', gfid: rootGfid, what: 'metadata' },
      { type: 'upcall', gfid: rootGfid, what: 'entry', name: 'f' },
    ]);
  });

  it('refuses a subvolume that it does not have, by name', async () => {
    const { types, log } = await start({ client: { 'remote-subvolume': '/bricks/other' } });
    expect(types()).toEqual(['child-connecting', 'child-down']);
    expect(log.lines.join('\n')).toContain("there is no subvolume '/bricks/other' here");
  });

  it('refuses a client that auth.allow does not name', async () => {
    const { types, log } = await start({ server: { 'auth.addr./bricks/b1.allow': '10.0.0.*' } });
    expect(types()).toEqual(['child-connecting', 'child-down', 'refused']);
    expect(log.lines.join('\n')).toContain('is not in auth.addr./bricks/b1.allow');
  });

  it('lets a client without credentials place names and mark changes: mounts outside of the pool do', async () => {
    const { client, call } = await start();
    const internal = { ...call, internal: 'rebalance' } as const;
    await expect(client.ops.stat(internal, { loc: root })).resolves.toMatchObject({ ok: true });
  });

  it('lets a client without credentials not be root by internal calls where root is squashed', async () => {
    const login = { 'root-squash': 'on', 'auth.login./bricks/b1.allow': 'u', 'auth.login.u.password': 'p' };
    const trusted = await start({ server: login, client: { username: 'u', password: 'p' } });
    const stranger = await start({ server: login });
    const setxattr = async ({ client, call }: typeof stranger, name: string) => {
      const args = { loc: root, xattrs: { [name]: Buffer.of(1) }, flags: 0 };
      const reply = await client.ops.setxattr({ ...call, internal: 'rebalance' }, args);
      return reply.ok ? 0 : reply.errno;
    };
    expect(await setxattr(stranger, 'trusted.glusterfs.dht')).not.toBe(Errno.EPERM);
    expect(await setxattr(stranger, 'security.capability')).toBe(Errno.EPERM);
    expect(await setxattr(trusted, 'security.capability')).not.toBe(Errno.EPERM);
    const remove = { loc: locAt(rootGfid, 'file') };
    const steps = [{ fop: 'unlink', args: remove }];
    const internal = { ...stranger.call, internal: 'rebalance' } as const;
    await expect(stranger.client.ops.unlink(internal, remove)).resolves.toEqual({ ok: false, errno: Errno.EPERM });
    await expect(stranger.client.ops.compound(internal, { steps })).resolves.toEqual({ ok: false, errno: Errno.EPERM });
  });

  it.each([
    ['..', Errno.EINVAL],
    ['a/b', Errno.EINVAL],
    ['', Errno.EINVAL],
    ['x'.repeat(256), Errno.ENAMETOOLONG],
  ])('does not let the name %j down to the disk', async (name, errno) => {
    const { client, call, opened } = await start();
    await expect(client.ops.unlink(call, { loc: locAt(rootGfid, name) })).resolves.toEqual({ ok: false, errno });
    expect(opened).toEqual([]);
    const steps = [{ fop: 'unlink', args: { loc: locAt(rootGfid, name) } }];
    await expect(client.ops.compound(call, { steps })).resolves.toEqual({ ok: false, errno });
  });

  it('makes root nobody when root-squash is on', async () => {
    const { client, brick, call } = await start({ server: { 'root-squash': 'on', anonuid: '99', anongid: '98' } });
    const seen: unknown[] = [];
    brick.child.answer = async (_fop, { uid, gid, groups }) => {
      seen.push([uid, gid, ...groups]);
      return { ok: true, iatt: emptyIatt() } as never;
    };
    await client.ops.stat({ ...call, groups: [0, 5] }, { loc: root });
    await client.ops.stat({ ...call, uid: 5, gid: 6 }, { loc: root });
    expect(seen).toEqual([
      [99, 98, 98, 5],
      [5, 6],
    ]);
  });

  it('leaves root to internal calls', async () => {
    const server = { 'root-squash': 'on', 'auth.login./bricks/b1.allow': 'u', 'auth.login.u.password': 'p' };
    const { client, brick, call } = await start({ server, client: { username: 'u', password: 'p' } });
    let uid = -1;
    brick.child.answer = async (_fop, asked) => {
      uid = asked.uid;
      return { ok: true, iatt: emptyIatt() } as never;
    };
    await client.ops.stat({ ...call, internal: 'rebalance' }, { loc: root });
    expect(uid).toBe(0);
  });

  it('sends its clients away when the disk is gone, and takes them again when it is back', async () => {
    const { brick, types, clock } = await start();
    brick.child.tell({ type: 'child-down' });
    await settle();
    await clock.advance(5000);
    expect(types().slice(2)).toEqual(['child-down']);
    brick.child.tell({ type: 'child-up' });
    await clock.advance(5000);
    expect(types().slice(3)).toEqual(['session-lost', 'child-up']);
  });

  it('sends away clients that new options do not allow any more', async () => {
    const { brick, types, clock } = await start();
    const { options } = (await import('./server/index.ts')).xlator;
    const values = Object.fromEntries(Object.entries(options).map(([name, spec]) => [name, spec.default]));
    const texts = new Map([
      ['auth-path', '/bricks/b1'],
      ['auth.addr./bricks/b1.reject', '*'],
    ]);
    brick.server.reconfigure(values as never, texts);
    await settle();
    await clock.advance(5000);
    expect(types().filter((type) => type === 'child-down')).toHaveLength(1);
    expect(types().at(-1)).toBe('refused');
  });
});
