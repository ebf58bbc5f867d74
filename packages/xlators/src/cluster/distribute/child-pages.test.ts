import { type Gfid, rootCall, rootGfid } from '@mortar/core';
import { expect, it } from 'vitest';
import { eachPage } from './child-pages.ts';
import { content, create } from './grown-rig.ts';
import { distributeRig } from './rig.ts';

it('a child reads a directory once, whatever number of pages it gives', async () => {
  const rig = await distributeRig({ children: 1, storage: 'posix' });
  await rig.walk('/');
  const names = Array.from({ length: 600 }, (_, i) => `f${i}`);
  for (const name of names) (await create(rig, name, Buffer.from('x'))).fd.release();
  const [door] = rig.doors;
  door!.counts.clear();
  const call = rootCall(rig.services.clock, 'rebalance');
  const found: string[] = [];
  const use = async (entries: readonly { name: string }[]) => void found.push(...entries.map(({ name }) => name));
  const where = { from: 0, gfid: rootGfid, want: [], isOver: () => false };
  expect(await eachPage(rig.d, call, where, use)).toBe(true);
  expect(found.toSorted()).toEqual(names.toSorted());
  expect(door!.counts.get('readdirp')).toBeGreaterThan(1);
  expect(door!.counts.get('opendir')).toBe(1);
  const nowhere = { ...where, gfid: 'aaaaaaaa-0000-4000-8000-0000000000ff' as Gfid };
  found.length = 0;
  expect(await eachPage(rig.d, call, nowhere, use)).toBe(true);
  expect(found).toEqual([]);
  expect((await content(rig, 'f1')).toString()).toBe('x');
  await rig.close();
});
