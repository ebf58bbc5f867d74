/** As whom a request reaches the brick, and what it may do there. */
import { Errno, emptyIatt, locAt, rootGfid } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { root, start } from './link-rig.ts';

describe('protocol/server', () => {
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
});
