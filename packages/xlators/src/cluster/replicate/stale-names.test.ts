import { locAt, rootGfid } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { create, rig, rigs, until } from './test-rig.ts';

describe('a rename of a name under which a stale replica has another file', () => {
  it('counts as failed there, so that both names are healed', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client({ 'granular-entry-heal': 'on' });
    await create(client, 'b', 'old');
    await client.xlator.drain();
    rigs[0]!.cut(2);
    await client.ops.unlink(client.call, { loc: locAt(rootGfid, 'b') });
    const fresh = await create(client, 'b', 'new');
    await client.xlator.drain();
    rigs[0]!.join(2);
    const to = locAt(rootGfid, 'd');
    const from = locAt(rootGfid, 'b', fresh.gfid);
    const renamed = await client.ops.rename(client.call, { from, to, flags: 0 });
    expect(renamed).toMatchObject({ ok: true, iatt: { gfid: fresh.gfid } });
    await client.xlator.drain();
    const { daemon } = await rigs[0]!.healDaemon();
    await until(async () => (await daemon.info('all')).every((one) => one.connected && one.entries.length === 0));
    for (const brick of bricks)
      expect(await brick.ops.lookup(client.call, { loc: to })).toMatchObject({ iatt: { gfid: fresh.gfid } });
  });
});
