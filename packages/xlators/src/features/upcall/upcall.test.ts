import { Errno, emptyIatt, Fd, type Gfid, locAt, locOf, rootGfid } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { rig, rigCall } from '../../lib/translator-rig.ts';
import { xlator } from './index.ts';

const gfid = '00000000-0000-0000-0000-0000000000aa' as Gfid;
const other = '00000000-0000-0000-0000-0000000000bb' as Gfid;

async function make(options: Record<string, string> = { 'cache-invalidation': 'on' }) {
  const r = await rig(xlator, { 'delegation-timeout': '0', ...options });
  r.child.answers.lookup = async () => ({
    ok: true,
    iatt: emptyIatt(gfid),
    postParent: emptyIatt(rootGfid),
    xattrs: {},
  });
  return r;
}

type Made = Awaited<ReturnType<typeof make>>;
const look = (r: Made, client: string) => r.xlator.ops.stat(rigCall(client), { loc: locOf(gfid) });
const write = (r: Made, client: string) =>
  r.xlator.ops.writev(rigCall(client), { fd: new Fd(gfid), offset: 0, data: new Uint8Array(1) });
const event = (what: string, clientId: string, more: object = {}) => ({
  type: 'upcall',
  gfid,
  what,
  clientId,
  ...more,
});

describe('features/upcall', () => {
  it('tells those who looked, but not the one who changed', async () => {
    const r = await make();
    await look(r, 'a');
    await look(r, 'b');
    await write(r, 'b');
    expect(r.events).toEqual([event('data', 'a')]);
    await r.xlator.ops.setattr(rigCall('a'), { loc: locOf(gfid), attr: { mode: 0 } });
    expect(r.events.slice(1)).toEqual([event('metadata', 'b')]);
  });

  it('tells of names, also to one who missed', async () => {
    const r = await make();
    r.child.answers.lookup = async () => ({ ok: false, errno: Errno.ENOENT });
    await r.xlator.ops.lookup(rigCall('a'), { loc: locAt(rootGfid, 'new') });
    const args = { loc: locAt(rootGfid, 'new'), mode: 0, gfid, flags: 0, fd: new Fd(gfid) };
    await r.xlator.ops.create(rigCall('b'), args);
    expect(r.events).toEqual([event('entry', 'a', { gfid: rootGfid, name: 'new' })]);
  });

  it('tells of both directories and of the file of a rename', async () => {
    const r = await make();
    for (const g of [gfid, other, rootGfid]) await r.xlator.ops.stat(rigCall('a'), { loc: locOf(g) });
    const args = { from: locAt(rootGfid, 'x', gfid), to: locAt(other, 'y'), flags: 0 };
    await r.xlator.ops.rename(rigCall('b'), args);
    expect(r.events).toEqual([
      event('entry', 'a', { gfid: rootGfid, name: 'x' }),
      event('metadata', 'a'),
      event('entry', 'a', { gfid: other, name: 'y' }),
    ]);
  });

  it('counts what lookup and readdirp answered as looked at', async () => {
    const r = await make();
    await r.xlator.ops.lookup(rigCall('a'), { loc: locAt(rootGfid, 'f') });
    r.child.answers.readdirp = async () => ({
      ok: true,
      end: true,
      entries: [{ name: 'f', gfid, type: 8, offset: 1, iatt: null, xattrs: null }],
    });
    await r.xlator.ops.readdirp(rigCall('b'), { fd: new Fd(rootGfid), size: 10, offset: 0 });
    await write(r, 'c');
    expect(r.events).toEqual([event('data', 'a'), event('data', 'b')]);
  });

  it('says nothing of failures, fsync, after the timeout, after the session, and when off', async () => {
    const r = await make({ 'cache-invalidation': 'on', 'cache-invalidation-timeout': '10' });
    await look(r, 'a');
    r.child.answers.writev = async () => ({ ok: false, errno: Errno.ENOSPC });
    await write(r, 'b');
    delete r.child.answers.writev;
    await r.xlator.ops.fsync(rigCall('b'), { fd: new Fd(gfid), dataOnly: true });
    await r.services.clock.advance(10_001);
    await write(r, 'b');
    await look(r, 'a');
    r.xlator.notify({ type: 'session-ended', clientId: 'a' }, null);
    await write(r, 'c');
    expect(r.events).toEqual([event('data', 'b')]);
    await look(r, 'a');
    r.reconfigure({ 'cache-invalidation': 'off' });
    await write(r, 'b');
    expect(r.events).toHaveLength(1);
  });

  it('tells of what heal does, without remembering it', async () => {
    const r = await make();
    await look(r, 'a');
    const heal = rigCall('shd', { internal: 'self-heal' });
    await r.xlator.ops.writev(heal, { fd: new Fd(gfid), offset: 0, data: new Uint8Array(1) });
    await write(r, 'a');
    expect(r.events).toEqual([event('data', 'a')]);
  });

  it('tells before the brick forgets the inode', async () => {
    const r = await make();
    await look(r, 'a');
    r.services.inodes.drop(gfid);
    expect(r.events).toEqual([event('data', 'a')]);
  });

  it('looks into compounds', async () => {
    const r = await make();
    await look(r, 'a');
    const steps = [{ fop: 'truncate', args: { loc: locOf(gfid), size: 0 } }];
    await r.xlator.ops.compound(rigCall('b'), { steps });
    expect(r.events).toEqual([event('data', 'a')]);
  });
});
