import { type Gfid, rootGfid } from '@mortar/core';
import { expect, it, onTestFinished } from 'vitest';
import { type DistributeRig, distributeRig } from './rig.ts';

async function rigWithRoot(): Promise<DistributeRig> {
  const rig = await distributeRig({ children: 3 });
  onTestFinished(() => rig.close());
  await rig.walk('/');
  return rig;
}

/** A name, and a child that it does not hash to. */
async function leftUnder(rig: DistributeRig, name: string) {
  const hashed = (await rig.d.hashedOf(rig.call, rootGfid, name)) as number;
  return { child: (hashed + 1) % 3, parent: rootGfid, name, gfid: rig.gfid() as Gfid };
}

it('removes the others when the removal of one throws, keeps that one, and lets nobody wait for ever', async () => {
  const rig = await rigWithRoot();
  const { leftovers } = rig.d;
  const all = [await leftUnder(rig, 'a'), await leftUnder(rig, 'b')];
  for (const one of all) leftovers.add(one);
  const removed: string[] = [];
  leftovers.retry(async (_, { name }) => {
    if (name === 'a') throw new Error('a bug');
    removed.push(name);
    return true;
  });
  expect(await leftovers.isUnder(rootGfid, 'a')).toBe(true);
  expect(await leftovers.isUnder(rootGfid, 'b')).toBe(false);
  expect(removed).toEqual(['b']);
  leftovers.retry(async () => true);
  expect(await leftovers.isUnder(rootGfid, 'a')).toBe(false);
  expect(leftovers.isEmpty).toBe(true);
});
