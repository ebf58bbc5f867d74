import { locOf, rootGfid } from '@mortar/core';
import { expect, it } from 'vitest';
import { rig, rigCall } from '../../lib/translator-rig.ts';
import { xlator } from './index.ts';

it('stands in no fop’s way, and shows its option as it is now', async () => {
  const r = await rig(xlator, { dummy: '13' });
  expect(r.xlator.ops.lookup).toBe(r.child.ops.lookup);
  await r.xlator.ops.stat(rigCall('client'), { loc: locOf(rootGfid) });
  expect(r.child.calls.map(({ fop }) => fop)).toEqual(['stat']);
  expect(r.xlator.dump()).toEqual({ dummy: 13 });
  r.xlator.reconfigure({ dummy: 42 }, new Map());
  expect(r.xlator.dump()).toEqual({ dummy: 42 });
});
