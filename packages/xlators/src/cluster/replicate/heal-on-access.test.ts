import { type Gfid, locAt, locOf, rootGfid } from '@mortar/core';
import type { RigBrick, RigClient } from '@mortar/testing/replica-rig.ts';
import { describe, expect, it } from 'vitest';
import { create, onBricks, rig, rigs, until } from './test-rig.ts';

describe('heal on access', () => {
  const chmod = (client: RigClient, gfid: Gfid) =>
    client.ops.setattr(client.call, { loc: locOf(gfid), attr: { mode: 0o755 } });
  const modes = async (bricks: readonly RigBrick[], client: RigClient, gfid: Gfid) =>
    Promise.all(
      bricks.map(async (brick) => {
        const reply = await brick.ops.lookup(client.call, { loc: locOf(gfid) });
        return reply.ok ? reply.iatt.mode & 0o777 : reply.errno;
      }),
    );

  it.each([
    ['a client that looks it up', true, false],
    ['who asks for what is to be healed', false, true],
    ['nobody', false, false],
  ] as const)('of names and data is done by %s', async (_who, looks, asks) => {
    const { bricks } = await rig();
    const wanted = { 'data-self-heal': 'on', 'metadata-self-heal': 'on', 'entry-self-heal': 'on' };
    const client = await rigs[0]!.client(wanted);
    const { daemon } = await rigs[0]!.healDaemon({ 'self-heal-daemon': 'off' });
    rigs[0]!.cut(1);
    const { fd, gfid } = await create(client, 'f', 'text');
    fd.release();
    await client.xlator.drain();
    rigs[0]!.join(1);
    const look = () => client.ops.lookup(client.call, { loc: locAt(rootGfid, 'f') });
    const isHealed = async () => (await onBricks(bricks, client.call, gfid))[1] === 'text';
    const meet = async () => {
      if (looks) expect(await look()).toMatchObject({ ok: true });
      await daemon.info('all', asks);
      return isHealed();
    };
    if (looks || asks) await until(meet);
    else for (let i = 0; i < 5; i++) expect(await meet()).toBe(false);
    await until(
      async () => (await daemon.info('all')).every((brick) => brick.entries.length === 0) === (looks || asks),
    );
  });

  it.each([
    ['on', [0o755, 0o755, 0o755]],
    ['off', [0o755, 0o644, 0o755]],
  ])('of metadata comes before the answer when metadata-self-heal is %s', async (wanted, expected) => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client({ 'metadata-self-heal': wanted });
    const { fd, gfid } = await create(client, 'f', 'text');
    fd.release();
    rigs[0]!.cut(1);
    expect(await chmod(client, gfid)).toMatchObject({ ok: true });
    await client.xlator.drain();
    rigs[0]!.join(1);
    expect(await client.ops.lookup(client.call, { loc: locAt(rootGfid, 'f') })).toMatchObject({ ok: true });
    expect(await modes(bricks, client, gfid)).toEqual(expected);
  });
});
