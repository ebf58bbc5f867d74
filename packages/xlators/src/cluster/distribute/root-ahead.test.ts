/** The root: no copy of it decides, and what one of them missed must not come back, nor be missing for good. */
import { type Call, FileType, locAt, locOf, rootGfid } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { volume } from './grown-rig.ts';
import { type DistributeRig, distributeRig } from './rig.ts';

const root = locOf(rootGfid);
const bytes = (text: string) => new TextEncoder().encode(text);

/** Two bricks; the calls' time goes on. */
async function start() {
  const rig = await distributeRig({ children: 2, storage: 'posix' });
  await rig.walk('/');
  const call = async (): Promise<Call> => {
    await rig.services.clock.advance(1000);
    return { ...rig.call, time: rig.services.clock.wall() };
  };
  return { rig, call };
}

/** As who has known the root for long makes a name on a brick, whose copy of the root is the one changed last then. */
async function makeOn(rig: DistributeRig, brick: number, call: Call): Promise<void> {
  const mode = (FileType.regular << 12) | 0o644;
  const loc = locAt(rootGfid, 'n');
  const made = await rig.bricks[brick]!.mknod(call, { loc, mode, rdevMajor: 0, rdevMinor: 0, gfid: rig.gfid() });
  expect(made.ok).toBe(true);
}

describe.each([0, 1])('what brick %d missed of the root', (away) => {
  it('is not undone by it: its mode', async () => {
    const { rig, call } = await start();
    const cutOff = await distributeRig({ children: 2, over: rig });
    await cutOff.walk('/');
    cutOff.doors[away]!.close();
    expect((await cutOff.ops.setattr(await call(), { loc: root, attr: { mode: 0o750 } })).ok).toBe(true);
    await makeOn(rig, away, await call());
    cutOff.doors[away]!.open();
    const fresh = await distributeRig({ children: 2, over: rig });
    expect(await fresh.walk('/')).toMatchObject({ ok: true, iatt: { mode: 0o750 } });
    for (const brick of [0, 1]) expect(await rig.onBrick(brick, '/')).toMatchObject({ iatt: { mode: 0o750 } });
    await rig.close();
  });

  it('is brought to it: xattrs that were set, changed and removed', async () => {
    const { rig, call } = await start();
    const set = async (name: string, value: string) =>
      rig.ops.setxattr(await call(), { loc: root, xattrs: { [name]: Buffer.from(value) }, flags: 0 });
    for (const name of ['user.changed', 'user.removed']) expect((await set(name, 'old')).ok).toBe(true);
    rig.doors[away]!.close();
    expect((await set('user.changed', 'new')).ok).toBe(true);
    expect((await set('user.set', 'new')).ok).toBe(true);
    expect((await rig.ops.removexattr(await call(), { loc: root, name: 'user.removed' })).ok).toBe(true);
    rig.doors[away]!.open();
    await makeOn(rig, away, await call());
    const fresh = await distributeRig({ children: 2, over: rig });
    await fresh.walk('/');
    const xattrs = { 'user.changed': bytes('new'), 'user.set': bytes('new') };
    expect(await fresh.ops.getxattr(fresh.call, { loc: root })).toEqual({ ok: true, xattrs });
    for (const brick of [0, 1]) {
      expect(await rig.xattr(brick, '/', 'user.changed')).toBe(Buffer.from('new').toString('hex'));
      expect(await rig.xattr(brick, '/', 'user.removed')).toBeUndefined();
      expect(await rig.xattr(brick, '/', 'trusted.glusterfs.dht.ahead')).toBeUndefined();
    }
    await rig.close();
  });
});

it('a new brick has the xattrs of the root as soon as that is looked up, and is not asked again', async () => {
  const { small, all, client, close } = await volume();
  const xattrs = { 'user.a': bytes('b') };
  expect((await small.ops.setxattr(small.call, { loc: root, xattrs, flags: 0 })).ok).toBe(true);
  const rig = await client('new');
  const before = rig.requests();
  await rig.walk('/');
  // One lookup on each brick: it knows by now that nothing is missing.
  expect(rig.requests() - before).toBe(3);
  const found = await all.bricks[2]!.getxattr(small.call, { loc: root, name: 'user.a' });
  expect(found).toEqual({ ok: true, xattrs });
  await close();
});
