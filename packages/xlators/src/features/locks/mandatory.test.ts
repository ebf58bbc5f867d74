import { type Call, Errno, emptyIatt, Fd, FileType, type Gfid, locOf } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { errnoOfReply, type Rig, rigCall } from '../../lib/translator-rig.ts';
import type { Locks } from './index.ts';
import { flock, gfid, lk, make, other } from './locks-rig.ts';
import { enforcedXattr } from './mandatory.ts';

type Done = { ok: true } | { ok: false; errno: Errno };

function operations(r: Rig<Locks>, call: Call, id: Gfid = gfid) {
  const fd = new Fd(id, 2);
  const { ops } = r.xlator;
  const all: Record<string, (start: number, size: number) => Promise<Done>> = {
    readv: (offset, size) => ops.readv(call, { fd, offset, size }),
    writev: (offset, size) => ops.writev(call, { fd, offset, data: new Uint8Array(size) }),
    fallocate: (offset, size) => ops.fallocate(call, { fd, mode: 0, offset, size }),
    discard: (offset, size) => ops.discard(call, { fd, offset, size }),
    zerofill: (offset, size) => ops.zerofill(call, { fd, offset, size }),
    ftruncate: (size) => ops.ftruncate(call, { fd, size }),
    truncate: (size) => ops.truncate(call, { loc: locOf(id), size }),
    appending: (offset, size) => ops.writev(call, { fd, offset, data: new Uint8Array(size), append: true }),
    emptying: () => ops.open(call, { loc: locOf(id), flags: 0o1001, fd: new Fd(id, 1) }),
    copying: (toOffset, size) =>
      ops.copy_file_range(call, { from: new Fd(other), fromOffset: 0, to: fd, toOffset, size }),
  };
  return async (name: string, start = 0, size = 10) => errnoOfReply(await all[name]!(start, size));
}

const writing = [
  'writev',
  'fallocate',
  'discard',
  'zerofill',
  'ftruncate',
  'truncate',
  'appending',
  'emptying',
  'copying',
];

describe('mandatory locks, forced', () => {
  const forced = { 'mandatory-locking': 'forced' };

  it('keep others from what is locked, and only from that', async () => {
    const r = await make(forced);
    await lk(r, 'a', 'set', flock('write', 0, 10));
    const others = operations(r, rigCall('b', { lockOwner: '01' }));
    const holder = operations(r, rigCall('a', { lockOwner: '01' }));
    for (const name of ['readv', ...writing]) {
      expect(await others(name), name).toBe(Errno.EAGAIN);
      expect(await holder(name), name).toBe(0);
    }
    for (const name of ['readv', 'writev', 'discard']) expect(await others(name, 10), name).toBe(0);
    expect(await operations(r, rigCall('a', { lockOwner: '02' }))('writev')).toBe(Errno.EAGAIN);
    expect(await operations(r, rigCall('b'), other)('writev')).toBe(0);
  });

  it('are not passed by what comes with an open', async () => {
    const wanted = async (options: Record<string, string>) => {
      const r = await make(options);
      await r.xlator.ops.open(rigCall('a'), { loc: locOf(gfid), flags: 0, fd: new Fd(gfid), contents: 100 });
      return r.child.calls.map(({ args }) => (args as { contents?: number }).contents);
    };
    expect(await wanted({})).toEqual([100]);
    expect(await wanted(forced)).toEqual([undefined]);
  });

  it('let readers read, and go with the lock', async () => {
    const r = await make(forced);
    await lk(r, 'a', 'set', flock('read', 0, 10));
    const others = operations(r, rigCall('b', { lockOwner: '01' }));
    expect(await others('readv')).toBe(0);
    expect(await others('writev')).toBe(Errno.EAGAIN);
    await lk(r, 'a', 'set', flock('unlock'));
    expect(await others('writev')).toBe(0);
  });

  it('bind neither heal nor who locks by flock(2), nor a client that cannot say which process writes', async () => {
    const r = await make(forced);
    await lk(r, 'a', 'set', { ...flock('write', 0, 0, 'f1'), family: 'flock' });
    await lk(r, 'a', 'set', flock('write', 0, 10));
    expect(await operations(r, rigCall('b', { internal: 'self-heal' }))('writev')).toBe(0);
    expect(await operations(r, rigCall('b', { lockOwner: '01' }))('writev', 10)).toBe(0);
    expect(await operations(r, rigCall('a', { lockOwner: '0000000000000000' }))('writev')).toBe(0);
    expect(await operations(r, rigCall('b', { lockOwner: '0000000000000000' }))('writev')).toBe(Errno.EAGAIN);
  });

  it('come and go with the option, and hold in a compound', async () => {
    const r = await make();
    await lk(r, 'a', 'set', flock('write'));
    const others = operations(r, rigCall('b', { lockOwner: '01' }));
    expect(await others('writev')).toBe(0);
    r.reconfigure(forced);
    expect(await others('writev')).toBe(Errno.EAGAIN);
    const steps = [{ fop: 'writev', args: { fd: new Fd(gfid), offset: 0, data: new Uint8Array(1) } }];
    expect(await r.xlator.ops.compound(rigCall('b'), { steps })).toMatchObject({
      replies: [{ ok: false, errno: Errno.EAGAIN }],
    });
    for (const mode of ['off', 'optimal']) {
      r.reconfigure({ 'mandatory-locking': mode });
      expect(await others('writev'), mode).toBe(0);
    }
  });
});

describe('mandatory locks by file', () => {
  it.each([
    [0o2644, Errno.EAGAIN],
    [0o2674, 0],
    [0o644, 0],
  ])('of a file of mode %o: a write of another gets errno %d', async (mode, errno) => {
    const r = await make({ 'mandatory-locking': 'file' });
    r.child.answers.stat = async () => ({ ok: true, iatt: { ...emptyIatt(gfid, FileType.regular), mode } });
    await lk(r, 'a', 'set', flock('write'));
    expect(await operations(r, rigCall('b', { lockOwner: '01' }))('writev')).toBe(errno);
  });
});

describe('a file that demands locks', () => {
  const both = { 'mandatory-locking': 'forced', 'enforce-mandatory-lock': 'on' };
  const xattrs = { [enforcedXattr]: Buffer.from('1') };

  it('is read and changed only by who has locked all of it that he touches', async () => {
    const r = await make(both);
    r.child.answers.getxattr = async () => ({ ok: true, xattrs });
    const holder = operations(r, rigCall('a', { lockOwner: '01' }));
    expect(await holder('readv')).toBe(Errno.EBUSY);
    await lk(r, 'a', 'set', flock('write', 0, 10));
    for (const name of ['readv', 'writev']) {
      expect(await holder(name), name).toBe(0);
      expect(await holder(name, 5), name).toBe(Errno.EBUSY);
      expect(await operations(r, rigCall('b', { lockOwner: '01' }))(name), name).toBe(Errno.EBUSY);
    }
    r.reconfigure({ ...both, 'enforce-mandatory-lock': 'off' });
    expect(await holder('writev', 5)).toBe(0);
  });

  it('gets that from an xattr that needs both options, and loses it with the xattr', async () => {
    const r = await make({ 'mandatory-locking': 'forced' });
    r.child.answers.getxattr = async () => ({ ok: false, errno: Errno.ENODATA });
    const call = rigCall('a', { lockOwner: '01' });
    const set = async () => errnoOfReply(await r.xlator.ops.setxattr(call, { loc: locOf(gfid), xattrs, flags: 0 }));
    expect(await set()).toBe(Errno.EINVAL);
    expect(r.child.calls).toEqual([]);
    r.reconfigure({ 'mandatory-locking': 'off', 'enforce-mandatory-lock': 'on' });
    expect(await set()).toBe(Errno.EINVAL);
    r.reconfigure(both);
    const write = operations(r, call);
    expect(await write('writev')).toBe(0);
    const user = rigCall('a', { lockOwner: '01', uid: 1000 });
    const more = { ...xattrs, 'trusted.glusterfs.volume-id': Buffer.alloc(16) };
    const refused = async (by: Call, what: Record<string, Uint8Array>) =>
      errnoOfReply(await r.xlator.ops.setxattr(by, { loc: locOf(gfid), xattrs: what, flags: 0 }));
    expect([await refused(user, xattrs), await refused(call, more)]).toEqual([Errno.EPERM, Errno.EINVAL]);
    expect(await set()).toBe(0);
    expect(r.child.calls.at(-1)).toMatchObject({ fop: 'setxattr', call: { internal: 'self-heal' } });
    expect(await write('writev')).toBe(Errno.EBUSY);
    await r.xlator.ops.removexattr(call, { loc: locOf(gfid), name: enforcedXattr });
    expect(await write('writev')).toBe(0);
    const fd = new Fd(gfid, 2);
    await r.xlator.ops.fsetxattr(call, { fd, xattrs, flags: 0 });
    expect(await write('writev')).toBe(Errno.EBUSY);
    await r.xlator.ops.fremovexattr(call, { fd, name: enforcedXattr });
    expect(await write('writev')).toBe(0);
  });

  it('gets it from heal among other xattrs, whatever the options are', async () => {
    const r = await make();
    const heal = rigCall('h', { internal: 'self-heal' });
    const all = { ...xattrs, 'user.x': Buffer.from('y') };
    expect(errnoOfReply(await r.xlator.ops.setxattr(heal, { loc: locOf(gfid), xattrs: all, flags: 0 }))).toBe(0);
    r.reconfigure(both);
    expect(await operations(r, rigCall('a'))('writev')).toBe(Errno.EBUSY);
    expect(r.child.calls.map(({ fop }) => fop)).toEqual(['setxattr']);
  });

  it('costs one request once', async () => {
    const r = await make(both);
    r.child.answers.getxattr = async () => ({ ok: false, errno: Errno.ENODATA });
    const write = operations(r, rigCall('a'));
    for (let i = 0; i < 3; i++) await write('writev');
    expect(r.child.calls.map(({ fop }) => fop)).toEqual(['getxattr', 'writev', 'writev', 'writev']);
  });
});
