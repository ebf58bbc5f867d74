import { Errno, Fd, type Fop, type FopName, fopNames, fops, type Gfid, locOf } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { errnoOfReply, rig, rigCall } from '../../lib/translator-rig.ts';
import { xlator } from './index.ts';

const gfid = '00000000-0000-0000-0000-0000000000aa' as Gfid;
const modifying = fopNames.filter((name) => ['data', 'metadata', 'entry'].includes(fops[name].class));
const flags = { readOnly: 0, writeOnly: 1, readWrite: 2, truncate: 0o1000, append: 0o2001 };

describe('features/read-only', () => {
  it('refuses every fop that changes something, and nothing else', async () => {
    const r = await rig(xlator, { 'read-only': 'on' });
    for (const name of fopNames) {
      const args = { fd: new Fd(gfid), loc: locOf(gfid), flags: 0, steps: [] };
      const reply = await (r.xlator.ops[name] as Fop<FopName>)(rigCall('c'), args as never);
      const refused = modifying.includes(name) && name !== 'fsync' && name !== 'fsyncdir';
      expect([name, errnoOfReply(reply)]).toEqual([name, refused ? Errno.EROFS : 0]);
    }
  });

  it('lets files be opened for reading only', async () => {
    const r = await rig(xlator, { 'read-only': 'on' });
    const open = async (bits: number) =>
      errnoOfReply(await r.xlator.ops.open(rigCall('c'), { loc: locOf(gfid), flags: bits, fd: new Fd(gfid) }));
    expect(await open(flags.readOnly)).toBe(0);
    for (const bits of [flags.writeOnly, flags.readWrite, flags.truncate, flags.append])
      expect(await open(bits)).toBe(Errno.EROFS);
  });

  it('looks into compounds', async () => {
    const r = await rig(xlator, { 'read-only': 'on' });
    const steps = [{ fop: 'unlink', args: { loc: locOf(gfid) } }];
    const reply = await r.xlator.ops.compound(rigCall('c'), { steps });
    expect(reply).toEqual({ ok: true, replies: [{ ok: false, errno: Errno.EROFS }] });
  });

  it('lets the volume itself work, and is switched live', async () => {
    const r = await rig(xlator, { 'read-only': 'on' });
    const unlink = (internal?: 'self-heal') =>
      r.xlator.ops.unlink(rigCall('c', internal ? { internal } : {}), { loc: locOf(gfid) });
    expect((await unlink('self-heal')).ok).toBe(true);
    expect((await unlink()).ok).toBe(false);
    r.reconfigure({ 'read-only': 'off' });
    expect((await unlink()).ok).toBe(true);
  });
});
