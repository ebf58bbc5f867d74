/** Directories that were made while the volume had one subvolume, or by an old GlusterFS, have no mark on the copy that decides. */
import { Errno, type Gfid, locAt, locOf, rootGfid } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { type DistributeRig, distributeRig } from './rig.ts';

const markName = 'trusted.glusterfs.dht.mds';

/** Two bricks, and a directory without a mark whose name hashes to the second one. */
async function start(): Promise<{ rig: DistributeRig; name: string; gfid: Gfid; inMode: (mode: number) => object }> {
  const rig = await distributeRig({ children: 2, storage: 'posix' });
  await rig.walk('/');
  for (const name of ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']) {
    if ((await rig.d.hashedOf(rig.call, rootGfid, name)) !== 1) continue;
    const gfid = rig.gfid();
    const made = await rig.ops.mkdir(rig.call, { loc: locAt(rootGfid, name), mode: 0o40755, gfid });
    expect(made.ok).toBe(true);
    const call = { ...rig.call, internal: 'self-heal' as const };
    expect((await rig.bricks[1]!.removexattr(call, { loc: locOf(gfid), name: markName })).ok).toBe(true);
    return { rig, name, gfid, inMode: (mode) => ({ ok: true, iatt: { gfid, mode } }) };
  }
  throw new Error('no name hashes to the second brick');
}

describe('the mode of a directory without a mark', () => {
  it.each([
    ['its gfid', true],
    ['its name', false],
  ] as const)(
    'does not go back when a brick that missed its change returns, and it is looked up by %s',
    async (_how, isByGfid) => {
      const { rig, name, gfid, inMode } = await start();
      const app = await distributeRig({ children: 2, over: rig });
      expect(await app.walk(`/${name}`)).toMatchObject(inMode(0o755));
      app.doors[0]!.close();
      expect(await app.ops.setattr(app.call, { loc: locOf(gfid), attr: { mode: 0o700 } })).toMatchObject({ ok: true });
      app.doors[0]!.open();
      if (isByGfid) expect(await app.ops.lookup(app.call, { loc: locOf(gfid) })).toMatchObject(inMode(0o700));
      expect(await app.walk(`/${name}`)).toMatchObject(inMode(0o700));
      for (const brick of [0, 1]) expect(await rig.onBrick(brick, `/${name}`)).toMatchObject({ iatt: { mode: 0o700 } });
      await rig.close();
    },
  );

  it('does not go back when it is looked up by who does not know its name', async () => {
    const { rig, name, gfid, inMode } = await start();
    rig.doors[0]!.close();
    expect(await rig.ops.setattr(rig.call, { loc: locOf(gfid), attr: { mode: 0o700 } })).toMatchObject({ ok: true });
    rig.doors[0]!.open();
    const stranger = await distributeRig({ children: 2, over: rig });
    expect((await stranger.ops.lookup(stranger.call, { loc: locOf(gfid) })).ok).toBe(true);
    expect(await rig.walk(`/${name}`)).toMatchObject(inMode(0o700));
    await rig.close();
  });

  it('is not changed while a brick is away by who does not know which copy decides', async () => {
    const { rig, gfid } = await start();
    const stranger = await distributeRig({ children: 2, over: rig });
    stranger.doors[1]!.close();
    const set = stranger.ops.setattr(stranger.call, { loc: locOf(gfid), attr: { mode: 0o700 } });
    expect(await set).toMatchObject({ errno: Errno.ENOTCONN });
    await rig.close();
  });
});
