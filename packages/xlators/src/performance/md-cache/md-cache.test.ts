import { Errno, emptyIatt, Fd, FileType, type Gfid, type Iatt, locAt, locOf, rootGfid } from '@mortar/core';
import { beforeEach, describe, expect, it } from 'vitest';
import { rig, rigCall, settle } from '../../lib/translator-rig.ts';
import { xlator } from './index.ts';

const a = '11111111-1111-4111-8111-111111111111' as Gfid;
const call = rigCall('client');

function iatt(gfid: Gfid, more: Partial<Iatt> = {}): Iatt {
  return { ...emptyIatt(gfid, FileType.regular), mode: 0o644, nlink: 1, ctime: 1, mtime: 1, ...more };
}

let r: Awaited<ReturnType<typeof rig>>;
let current: Iatt;

async function setUp(options: Record<string, string> = {}): Promise<void> {
  r = await rig(xlator, options);
  current = iatt(a);
  const parents = { preParent: iatt(rootGfid), postParent: iatt(rootGfid, { type: FileType.directory }) };
  r.child.answers = {
    stat: async () => ({ ok: true, iatt: current }),
    fstat: async () => ({ ok: true, iatt: current }),
    lookup: async (_call, args) => ({
      ok: true,
      iatt: current,
      postParent: parents.postParent,
      xattrs: args.want?.includes('security.capability') ? { 'security.capability': Buffer.from('c') } : {},
    }),
    setattr: async (_call, { attr }) => {
      const pre = current;
      current = { ...current, mode: attr.mode ?? current.mode, ctime: current.ctime + 1 };
      return { ok: true, pre, post: current };
    },
    unlink: async () => ({ ok: true, ...parents }),
    rename: async () => ({
      ok: true,
      iatt: current,
      preFromParent: parents.preParent,
      postFromParent: parents.postParent,
      preToParent: parents.preParent,
      postToParent: parents.postParent,
    }),
    readdirp: async () => ({
      ok: true,
      end: true,
      entries: [{ name: 'f', gfid: a, type: 8, offset: 1, iatt: current, xattrs: {} }],
    }),
  };
}

const asked = (fop: string) => r.child.calls.filter((one) => one.fop === fop).length;
const stat = async () => {
  const reply = await r.xlator.ops.stat(call, { loc: locOf(a) });
  if (!reply.ok) throw new Error('stat');
  return reply.iatt;
};
const lookup = (gfid: Gfid | null = a, name = 'f') => r.xlator.ops.lookup(call, { loc: locAt(rootGfid, name, gfid) });

beforeEach(() => setUp());

describe('attributes', () => {
  it('are not learned from a cache below, which has those of before', async () => {
    r.child.answers.readv = async () => ({ ok: true, data: Buffer.from('x'), iatt: iatt(a), xdata: { ageMs: 500 } });
    await stat();
    await r.xlator.ops.setattr(call, { loc: locOf(a), attr: { mode: 0o600 } });
    await r.xlator.ops.readv(call, { fd: new Fd(a), size: 1, offset: 0 });
    expect((await stat()).mode).toBe(0o600);
  });

  it('are asked for once, until the timeout', async () => {
    await stat();
    await stat();
    expect(asked('stat')).toBe(1);
    await r.services.clock.advance(1000);
    await stat();
    expect(asked('stat')).toBe(2);
  });

  it('stay when another inode leaves the table', async () => {
    const b = a.replace('1111', '2222') as Gfid;
    r.child.answers.stat = async (_call, { loc }) => ({ ok: true, iatt: iatt(loc.gfid!) });
    await stat();
    await r.xlator.ops.stat(call, { loc: locOf(b) });
    r.services.inodes.drop(b);
    await stat();
    expect(asked('stat')).toBe(2);
  });

  it('age from the question, not from the answer', async () => {
    let answer: (() => void) | undefined;
    r.child.answers.stat = () => new Promise((resolve) => (answer = () => resolve({ ok: true, iatt: current })));
    const first = stat();
    await r.services.clock.advance(900);
    answer!();
    await first;
    await r.services.clock.advance(150);
    const second = stat();
    await settle();
    answer!();
    await second;
    expect(asked('stat')).toBe(2);
  });

  it('are those of after an own change', async () => {
    await stat();
    await r.xlator.ops.setattr(call, { loc: locOf(a), attr: { mode: 0o600 } });
    expect((await stat()).mode).toBe(0o600);
    expect(asked('stat')).toBe(1);
  });

  it('of an answer that a change has overtaken are not kept', async () => {
    let answer: (() => void) | undefined;
    const old = current;
    r.child.answers.stat = () => new Promise((resolve) => (answer = () => resolve({ ok: true, iatt: old })));
    const slow = stat();
    await r.xlator.ops.setattr(call, { loc: locOf(a), attr: { mode: 0o600 } });
    answer!();
    await slow;
    r.child.answers.stat = async () => ({ ok: true, iatt: current });
    expect((await stat()).mode).toBe(0o600);
  });

  it('are not kept from two changes that overlap', async () => {
    const answers: (() => void)[] = [];
    const post = { ...current, mode: 0o111 };
    r.child.answers.setattr = () =>
      new Promise((resolve) => answers.push(() => resolve({ ok: true, pre: current, post })));
    const one = r.xlator.ops.setattr(call, { loc: locOf(a), attr: { mode: 0o111 } });
    const two = r.xlator.ops.setattr(call, { loc: locOf(a), attr: { mode: 0o222 } });
    for (const answer of answers) answer();
    await Promise.all([one, two]);
    await stat();
    expect(asked('stat')).toBe(1);
  });

  it('are forgotten when a brick tells of a change, and when bricks come and go', async () => {
    await setUp({ 'md-cache-timeout': '600', 'cache-invalidation': 'on' });
    await stat();
    r.xlator.notify({ type: 'upcall', gfid: a, what: 'metadata' }, r.child);
    await stat();
    expect(asked('stat')).toBe(2);
    r.xlator.notify({ type: 'child-down' }, r.child);
    await stat();
    expect(asked('stat')).toBe(3);
    r.xlator.notify({ type: 'upcalls-lost' }, r.child);
    await stat();
    expect(asked('stat')).toBe(4);
    expect(r.events.map((event) => event.type)).toEqual(['upcall', 'child-down', 'upcalls-lost']);
  });

  it('are asked for again by who has got a lock', async () => {
    await setUp({ 'md-cache-timeout': '600' });
    r.child.answers.lk = async (_call, { flock }) => ({ ok: true, flock });
    const lk = (command: 'get' | 'set' | 'wait', type: 'read' | 'write' | 'unlock') => {
      const flock = { type, start: 0, length: 0, owner: 'o', pid: 1 };
      return r.xlator.ops.lk(call, { fd: new Fd(a, 0), command, flock });
    };
    await stat();
    await lk('get', 'write');
    await lk('set', 'unlock');
    await stat();
    expect(asked('stat')).toBe(1);
    const before = stat();
    await lk('set', 'read');
    await before;
    await stat();
    expect(asked('stat')).toBe(2);
    await lk('wait', 'write');
    await stat();
    expect(asked('stat')).toBe(3);
  });

  it('that others changed are told to those above', async () => {
    await stat();
    await r.services.clock.advance(2000);
    current = { ...current, mtime: 99 };
    await stat();
    expect(r.events).toEqual([{ type: 'upcall', gfid: a, what: 'data' }]);
  });

  it.each([true, false])('are at least as new as the last open (which tells them: %s)', async (tells) => {
    const open = () => r.xlator.ops.open(call, { loc: locOf(a), flags: 0, fd: new Fd(a) });
    r.child.answers.open = async () => ({ ok: true, ...(tells && { iatt: current }) });
    await stat();
    current = iatt(a, { size: 5, mtime: 2 });
    await open();
    expect((await stat()).size).toBe(5);
    expect(asked('stat')).toBe(tells ? 1 : 2);
  });

  it('are not those of an older question whose answer comes later', async () => {
    let answer: (() => void) | undefined;
    const old = current;
    r.child.answers.stat = () => new Promise((resolve) => (answer = () => resolve({ ok: true, iatt: old })));
    const late = stat();
    await r.services.clock.advance(10);
    current = iatt(a, { size: 5, mtime: 2 });
    await lookup();
    answer!();
    await late;
    expect((await stat()).size).toBe(5);
  });

  it('are not kept at all with a timeout of 0, nor when told to do nothing', async () => {
    for (const options of [{ 'md-cache-timeout': '0' }, { 'pass-through': 'on' }] as Record<string, string>[]) {
      await setUp(options);
      await stat();
      await stat();
      expect(asked('stat')).toBe(2);
    }
  });

  it('that a translator below made up are not kept', async () => {
    current = emptyIatt();
    await r.xlator.ops.stat(call, { loc: locOf(a) });
    await r.xlator.ops.stat(call, { loc: locOf(a) });
    expect(asked('stat')).toBe(2);
  });
});

describe('a lookup', () => {
  it('by a name that is known is answered', async () => {
    await lookup(null);
    expect(await lookup()).toMatchObject({ ok: true, iatt: { gfid: a } });
    expect(asked('lookup')).toBe(1);
  });

  it('by another name, or after the name was taken away, is asked', async () => {
    await lookup(null);
    await lookup(a, 'g');
    expect(asked('lookup')).toBe(2);
    await lookup();
    expect(asked('lookup')).toBe(3);
    await r.xlator.ops.unlink(call, { loc: locAt(rootGfid, 'f', a) });
    await stat();
    await lookup();
    expect(asked('lookup')).toBe(4);
  });

  it('whose answer was overtaken by an unlink binds nothing', async () => {
    let answer: (() => void) | undefined;
    const usual = r.child.answers.lookup!;
    r.child.answers.lookup = (...args) => new Promise((resolve) => (answer = () => resolve(usual(...args))));
    const slow = lookup();
    await r.xlator.ops.unlink(call, { loc: locAt(rootGfid, 'f', a) });
    answer!();
    await slow;
    await stat();
    void lookup();
    await settle();
    expect(asked('lookup')).toBe(2);
  });

  it('is answered under the new name after a rename', async () => {
    await lookup(null);
    await r.xlator.ops.rename(call, { from: locAt(rootGfid, 'f', a), to: locAt(rootGfid, 'h'), flags: 0 });
    await lookup(a, 'h');
    expect(asked('lookup')).toBe(1);
    await lookup(a, 'f');
    expect(asked('lookup')).toBe(2);
  });

  it('knows what a listing has shown', async () => {
    await lookup(null, 'other');
    await r.xlator.ops.readdir(call, { fd: new Fd(rootGfid), size: 4096, offset: 0 });
    await lookup();
    expect(asked('lookup')).toBe(1);
  });
});

describe('xattrs', () => {
  const getxattr = (name: string) => r.xlator.ops.getxattr(call, { loc: locOf(a), name });

  it('that are kept come with the lookup, also the absent ones', async () => {
    await lookup(null);
    expect(await getxattr('security.capability')).toMatchObject({ ok: true });
    expect(await getxattr('security.ima')).toMatchObject({ errno: Errno.ENODATA });
    expect(asked('getxattr')).toBe(0);
    await getxattr('user.other');
    expect(asked('getxattr')).toBe(1);
  });

  it('that the caller did not want are not shown', async () => {
    const reply = await lookup(null);
    expect(reply.ok && reply.xattrs).toEqual({});
  });

  it('are gone with a change', async () => {
    await lookup(null);
    await r.xlator.ops.setxattr(call, { loc: locOf(a), xattrs: { 'user.x': Buffer.from('1') }, flags: 0 });
    await getxattr('security.capability');
    expect(asked('getxattr')).toBe(1);
  });
});

describe('a compound', () => {
  it('goes down whole and its attributes are kept', async () => {
    const fd = new Fd(a, 2);
    const post = { ...current, size: 5, ctime: 9 };
    r.child.answers.compound = async () => ({
      ok: true,
      replies: [{ ok: true, written: 5, pre: current, post } as { ok: boolean }],
    });
    const args = { fd, offset: 0, data: Buffer.from('hello') };
    await r.xlator.ops.compound(call, { steps: [{ fop: 'writev', args }] });
    expect((await stat()).size).toBe(5);
    expect(asked('stat')).toBe(0);
    expect(asked('writev')).toBe(0);
  });
});
