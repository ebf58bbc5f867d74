/** A directory's owner and mode, changed by one client while another one looks it up. */
import { locOf, rootGfid } from '@mortar/core';
import { expect, it } from 'vitest';
import { nextTurn } from './grown-rig.ts';
import { mkdir } from './path-rig.ts';
import { distributeRig } from './rig.ts';

it('has its new mode on all copies, though another client saw some of them before the change and some after it', async () => {
  const rig = await distributeRig();
  await rig.walk('/');
  await mkdir(rig, '/d');
  const gfid = await rig.at('/d');
  const other = await distributeRig({ over: rig });
  await other.walk('/d');
  const deciding = (await rig.d.hashedOf(rig.call, rootGfid, 'd')) as number;
  let isChanged = false;
  for (const [i, door] of other.doors.entries())
    if (i !== deciding)
      door.before = async (fop) => {
        if (fop !== 'lookup' || isChanged) return;
        isChanged = true;
        await nextTurn();
        await rig.ops.setattr(rig.call, { loc: locOf(gfid), attr: { mode: 0o700, uid: 12, gid: 34 } });
      };
  await other.ops.lookup(other.call, { loc: locOf(gfid) });
  expect(isChanged).toBe(true);
  const attributes = { mode: 0o700, uid: 12, gid: 34 };
  for (const i of [0, 1, 2]) expect((await rig.onBrick(i, '/d'))!.iatt).toMatchObject(attributes);
  for (const one of [other, rig]) await one.close();
});
