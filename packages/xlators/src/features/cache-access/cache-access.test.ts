import { type Call, Errno, emptyIatt, Fd, FileType, fail, type Gfid, locAt, locOf } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { rig, rigCall } from '../../lib/translator-rig.ts';
import { xlator } from './index.ts';

const directory = '00000000-0000-0000-0000-0000000000d1' as Gfid;
const file = '00000000-0000-0000-0000-0000000000f1' as Gfid;
const user = (uid: number, gid = 100, groups: number[] = []): Call => rigCall('c', { uid, gid, groups });
const name = locAt(directory, 'f');
const reading = { loc: locOf(file), flags: 0 };

/** Bricks that know whom they let do what, over a cache that answers everybody; the file is that of 7, with mode 0644. */
async function start(refused: (call: Call, mask: number) => boolean = () => false) {
  const r = await rig(xlator, {});
  r.child.answers.access = async (call, { mask }) => (refused(call, mask) ? fail(Errno.EACCES) : { ok: true });
  const iatt = { ...emptyIatt(file, FileType.regular), uid: 7, mode: 0o644 };
  r.child.answers.lookup = async () => ({ ok: true, iatt, postParent: emptyIatt(directory), xattrs: {} });
  // As who holds them open: what is known of them is kept.
  for (const gfid of [directory, file]) r.services.inodes.hold(r.services.inodes.get(gfid));
  const asked = () => r.child.calls.filter(({ fop }) => fop === 'access').length;
  const { ops } = r.xlator;
  const open = (call: Call, flags = 0) => ops.open(call, { ...reading, flags, fd: new Fd(file, flags) });
  return { ...r, tested: r.xlator, ops, asked, open };
}

describe('a cache under it', () => {
  it('answers root and the volume itself at once', async () => {
    const { ops, asked } = await start(() => true);
    expect(await ops.lookup(user(0), { loc: name })).toMatchObject({ ok: true });
    expect(await ops.lookup({ ...user(9), internal: 'self-heal' }, { loc: name })).toMatchObject({ ok: true });
    expect(asked()).toBe(0);
  });

  it('answers no name to who may not search the directory, whoever has asked before', async () => {
    const { ops } = await start(({ uid }, mask) => uid === 9 && mask === 1);
    expect(await ops.lookup(user(8), { loc: name })).toMatchObject({ ok: true });
    expect(await ops.lookup(user(9), { loc: name })).toEqual(fail(Errno.EACCES));
  });

  it.each([
    ['to read', 0, 4],
    ['to write', 1, 2],
    ['to do both', 2, 6],
    ['to empty it', 0o1000, 6],
    ['to execute it', 0o40, 1],
  ])('opens no file %s for who may not', async (_what, flags, wanted) => {
    const { open } = await start((_call, mask) => mask === wanted);
    expect(await open(user(9), flags)).toEqual(fail(Errno.EACCES));
  });

  it('lists no directory and tells no xattr to who may not read them', async () => {
    const { ops } = await start((_call, mask) => mask === 4);
    const refused = fail(Errno.EACCES);
    expect(await ops.opendir(user(9), { loc: locOf(directory), fd: new Fd(directory) })).toEqual(refused);
    expect(await ops.getxattr(user(9), { loc: locOf(file), name: 'user.a' })).toEqual(refused);
    expect((await ops.getxattr(user(9), { loc: locOf(file), name: 'security.selinux' })).ok).toBe(true);
  });

  it('is not passed by in a compound', async () => {
    const { ops } = await start(() => true);
    const steps = [{ fop: 'lookup', args: { loc: name } }] as never;
    expect(await ops.compound(user(9), { steps })).toMatchObject({ ok: true, replies: [fail(Errno.EACCES)] });
  });
});

describe('what the bricks have granted', () => {
  it('is believed for a second, to each caller for what he has asked', async () => {
    const { open, asked, services } = await start();
    const turns: [Call, number, number][] = [
      [user(9), 0, 1],
      [user(9), 0, 1],
      [user(9, 101), 0, 2],
      [user(9, 100, [5]), 0, 3],
      [user(9), 1, 4],
      [user(9), 2, 4],
    ];
    for (const [caller, flags, count] of turns) {
      await open(caller, flags);
      expect(asked()).toBe(count);
    }
    await services.clock.advance(1001);
    await open(user(9));
    expect(asked()).toBe(5);
  });

  it('is not kept when it was refused', async () => {
    let isRefused = true;
    const { open } = await start(() => isRefused);
    expect((await open(user(9))).ok).toBe(false);
    isRefused = false;
    expect((await open(user(9))).ok).toBe(true);
  });

  it('is asked for again after a change by this client or by another, also one that was under way', async () => {
    const { ops, open, asked, tested, child } = await start();
    await open(user(9));
    await ops.setattr(user(0), { loc: locOf(file), attr: { mode: 0 } });
    await open(user(9));
    expect(asked()).toBe(2);
    tested.notify({ type: 'upcall', gfid: file, what: 'metadata' }, child);
    await open(user(9));
    expect(asked()).toBe(3);
    child.answers.access = async () => {
      tested.notify({ type: 'upcall', gfid: file, what: 'metadata' }, child);
      return { ok: true };
    };
    tested.notify({ type: 'upcall', gfid: file, what: 'metadata' }, child);
    await open(user(9));
    await open(user(9));
    expect(asked()).toBe(5);
  });

  it('is bounded for a file', async () => {
    const { open, asked, services } = await start();
    for (let uid = 10; uid < 200; uid++) await open(user(uid));
    const slots = services.inodes.find(file)!.slots as { granted?: Map<string, unknown> }[];
    expect(Math.max(...slots.map((slot) => slot?.granted?.size ?? 0))).toBeLessThanOrEqual(64);
    expect(asked()).toBe(190);
  });
});

describe('an owner', () => {
  it('may do what the attributes say that were looked up last, and what they refuse is asked', async () => {
    const { ops, open, asked } = await start((_call, mask) => (mask & 4) !== 0);
    await ops.lookup(user(7), { loc: name });
    const before = asked();
    expect((await open(user(7), 2)).ok).toBe(true);
    expect(asked()).toBe(before);
    expect((await open(user(7), 0o40)).ok).toBe(true);
    expect(asked()).toBe(before + 1);
    expect((await open(user(8))).ok).toBe(false);
  });
});
