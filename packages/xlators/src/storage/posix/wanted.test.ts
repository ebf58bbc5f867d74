import { type Gfid, locAt, rootGfid } from '@mortar/core';
import * as libc from '@mortar/libc';
import { expect, it } from 'vitest';
import { rigServices } from '../../lib/translator-rig.ts';
import { posixRig, rootAt } from './rig.ts';

const gfid = 'aaaaaaaa-0000-4000-8000-000000000001' as Gfid;
const linkto = 'trusted.glusterfs.dht.linkto';
const want = [linkto, 'trusted.glusterfs.dht.moving-mode', 'trusted.glusterfs.dht.moving', 'trusted.afr.v-client-0'];

it('what a file does not have is not asked for, name by name', async () => {
  const asked: string[] = [];
  const getxattr: typeof libc.getxattr = (target, name) => {
    asked.push(name);
    return libc.getxattr(target, name);
  };
  const rig = await posixRig({}, rigServices(), { ...libc, getxattr });
  const call = rootAt({ internal: 'rebalance' });
  const loc = locAt(rootGfid, 'f');
  const initial = { [linkto]: Buffer.from('v-client-1\0') };
  await rig.ops.mknod(call, { loc, mode: 0o101000, rdevMajor: 0, rdevMinor: 0, gfid, initial });
  asked.length = 0;
  const found = await rig.ops.lookup(call, { loc, want });
  const xattrs = found.ok ? Object.entries(found.xattrs).map(([name, value]) => [name, Buffer.from(value)]) : [];
  expect(xattrs).toEqual(Object.entries(initial));
  expect(asked.filter((name) => want.includes(name))).toEqual([linkto]);
  await rig.close();
});
