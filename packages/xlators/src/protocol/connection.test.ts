import { Errno, Fd, rootGfid } from '@mortar/core';
import { type Address, ManagementServer, MemoryTransport } from '@mortar/rpc';
import { settle } from '@mortar/rpc/test-rig.ts';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { cleanups, root, start } from './link-rig.ts';

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
