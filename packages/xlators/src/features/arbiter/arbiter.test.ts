import { Errno, emptyIatt, Fd, type Fop, type FopName, type Gfid, locAt, locOf, rootGfid } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { errnoOfReply, rig, rigCall } from '../../lib/translator-rig.ts';
import { xlator } from './index.ts';

const gfid = '00000000-0000-0000-0000-0000000000aa' as Gfid;
const iatt = { ...emptyIatt(gfid), mtime: 7 };

async function make() {
  const r = await rig(xlator);
  r.child.answers.fstat = async () => ({ ok: true, iatt });
  r.child.answers.stat = async () => ({ ok: true, iatt });
  return r;
}

describe('features/arbiter', () => {
  const fd = new Fd(gfid, 2);
  const data = new Uint8Array(100);

  it.each([
    ['writev', { fd, offset: 0, data }, { written: 100 }],
    ['truncate', { loc: locOf(gfid), size: 5 }, {}],
    ['ftruncate', { fd, size: 5 }, {}],
    ['fallocate', { fd, mode: 0, offset: 0, size: 5 }, {}],
    ['discard', { fd, offset: 0, size: 5 }, {}],
    ['zerofill', { fd, offset: 0, size: 5 }, {}],
    ['copy_file_range', { from: fd, fromOffset: 0, to: fd, toOffset: 9, size: 5 }, { written: 5, source: iatt }],
  ] as [FopName, object, object][])('answers %s without doing it', async (name, args, extra) => {
    const r = await make();
    const reply = await (r.xlator.ops[name] as Fop<FopName>)(rigCall('c'), args as never);
    expect(reply).toEqual({ ok: true, pre: iatt, post: iatt, ...extra });
    expect(r.child.calls.filter((call) => call.fop === name)).toEqual([]);
  });

  it('fails as the file does: what is gone is gone', async () => {
    const r = await make();
    r.child.answers.fstat = async () => ({ ok: false, errno: Errno.ESTALE });
    expect(errnoOfReply(await r.xlator.ops.writev(rigCall('c'), { fd, offset: 0, data }))).toBe(Errno.ESTALE);
  });

  it('has no bytes to read', async () => {
    const r = await make();
    const { ops } = r.xlator;
    expect(errnoOfReply(await ops.readv(rigCall('c'), { fd, size: 1, offset: 0 }))).toBe(Errno.EIO);
    expect(errnoOfReply(await ops.seek(rigCall('c'), { fd, offset: 0, what: 'data' }))).toBe(Errno.EIO);
    expect(errnoOfReply(await ops.rchecksum(rigCall('c'), { fd, offset: 0, size: 1 }))).toBe(Errno.EIO);
  });

  it('makes files without their data, and passes the rest', async () => {
    const r = await make();
    await r.xlator.ops.put(rigCall('c'), { loc: locAt(rootGfid, 'f'), mode: 0o644, flags: 0, gfid, data });
    expect(r.child.calls[0]).toMatchObject({ fop: 'put', args: { data: new Uint8Array(0) } });
    await r.xlator.ops.setattr(rigCall('c'), { loc: locOf(gfid), attr: { mode: 0 } });
    await r.xlator.ops.fsync(rigCall('c'), { fd, dataOnly: false });
    expect(r.child.calls.map((call) => call.fop)).toEqual(['put', 'setattr', 'fsync']);
  });
});
