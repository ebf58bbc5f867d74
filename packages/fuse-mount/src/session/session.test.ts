import {
  type Call,
  Errno,
  type Fd,
  fail,
  locOf,
  parseOptions,
  type Reply,
  rootCall,
  type Subvolume,
  type XlatorInit,
} from '@mortar/core';
import { LockBook } from '@mortar/host/client/lock-book.ts';
import { rigServices, settle } from '@mortar/xlators/lib/translator-rig.ts';
import { type Memory, xlator } from '@mortar/xlators/storage/memory/index.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { opcodes } from '../protocol/index.ts';
import { SessionRig, text, u32, u64 } from './session-rig.ts';

function memory(services = rigServices()) {
  const init = {
    name: 'memory',
    type: xlator.type,
    options: parseOptions(xlator.options, new Map()).values,
    texts: new Map(),
    services,
  };
  const made = xlator.create(init as unknown as XlatorInit<typeof xlator.options>) as Memory;
  made.bind([], undefined);
  return { services, xlator: made, top: made.ops };
}

function mounted(options = {}) {
  const { services, top, xlator: storage } = memory();
  return { services, top, storage, rig: new SessionRig(services, options, top) };
}

const lockBody = (fh: number, owner: number, start: number, end: number, type: number, flags = 0) => [
  u64(fh, owner, start, end),
  u32(type, 42, flags, 0),
];

describe('nodes', () => {
  it('count lookups and go when all are forgotten', async () => {
    const { rig } = mounted();
    const { node, fh } = await rig.create('a');
    await rig.expect('lookup', 1, text('a'));
    expect(rig.session.stats.nodes).toBe(2);
    rig.send('forget', node, u64(1));
    expect(rig.session.stats.nodes).toBe(2);
    await rig.expect('release', node, u64(fh), u32(0, 0), u64(0));
    rig.send('batchForget', 0, u32(1, 0), u64(node, 1));
    expect(rig.session.stats.nodes).toBe(1);
    expect((await rig.ask('getattr', node, u32(0, 0), u64(0))).errno).toBe(Errno.ESTALE);
  });

  it('are not counted when the kernel did not take the reply', async () => {
    const { rig } = mounted();
    const { node, fh } = await rig.create('a');
    await rig.expect('release', node, u64(fh), u32(0, 0), u64(0));
    rig.send('forget', node, u64(1));
    rig.channel.refuseWith = Errno.ENOENT;
    rig.send('lookup', 1, text('a'));
    await settle();
    expect(rig.session.stats).toMatchObject({ nodes: 1, undelivered: 1, inFlight: 0 });
  });

  it('are held and named in the inode table, so that directories have paths', async () => {
    const { rig, services } = mounted();
    const body = await rig.expect('mkdir', 1, u32(0o755, 0), text('d'));
    await rig.expect('mkdir', Number(body.readBigUInt64LE(0)), u32(0o755, 0), text('e'));
    const deepest = [...services.inodes.all()].find(({ name }) => name === 'e')!;
    expect(services.inodes.pathOf(deepest.gfid)).toBe('/d/e');
    expect(deepest.holds).toBe(1);
  });

  it('never get the number of an earlier one', async () => {
    const { rig } = mounted();
    const first = await rig.create('a');
    await rig.expect('release', first.node, u64(first.fh), u32(0, 0), u64(0));
    rig.send('forget', first.node, u64(1));
    const again = await rig.expect('lookup', 1, text('a'));
    expect(Number(again.readBigUInt64LE(0))).toBeGreaterThan(first.node);
  });

  it('remember absent names only if asked to', async () => {
    expect((await mounted().rig.ask('lookup', 1, text('none'))).errno).toBe(Errno.ENOENT);
    const body = await mounted({ negativeTimeout: 2 }).rig.expect('lookup', 1, text('none'));
    expect([body.readBigUInt64LE(0), body.readBigUInt64LE(16)]).toEqual([0n, 2n]);
  });
});

describe('names', () => {
  it.each([
    ['mkdir', [u32(0o755, 0)]],
    ['unlink', []],
  ] as const)('%s refuses names that cannot be', async (op, before) => {
    const { rig } = mounted();
    expect((await rig.ask(op, 1, ...before, text('x'.repeat(256)))).errno).toBe(Errno.ENAMETOOLONG);
    expect((await rig.ask(op, 1, ...before, text('a/b'))).errno).toBe(Errno.EINVAL);
    expect((await rig.ask(op, 1, ...before, text('..'))).errno).toBe(Errno.EINVAL);
  });

  it('rename refuses a whiteout', async () => {
    const { rig } = mounted();
    expect((await rig.ask('rename2', 1, u64(1), u32(4, 0), text('a', 'b'))).errno).toBe(Errno.EINVAL);
  });

  it('a create that lost a race opens the file that is there', async () => {
    const { rig } = mounted();
    const first = await rig.create('a');
    await rig.write(first.fh, first.node, 'there');
    const second = await rig.create('a');
    expect(second.node).toBe(first.node);
    expect((await rig.read(second.fh, second.node)).body.toString()).toBe('there');
  });

  it('a file without a name gets one by link', async () => {
    const { rig } = mounted();
    const body = await rig.expect('tmpfile', 1, u32(0o20200002, 0o600, 0, 0), text('/'));
    const node = Number(body.readBigUInt64LE(0));
    await rig.expect('link', 1, u64(node), text('named'));
    const found = await rig.expect('lookup', 1, text('named'));
    expect(Number(found.readBigUInt64LE(0))).toBe(node);
    expect(body.readUInt32LE(40 + 64)).toBe(0);
    expect(found.readUInt32LE(40 + 64)).toBe(1);
  });
});

describe('files', () => {
  it('are read and changed through an fd when their name is gone', async () => {
    const { rig } = mounted();
    const { node, fh } = await rig.create('a');
    await rig.write(fh, node, 'hello');
    await rig.expect('unlink', 1, text('a'));
    expect((await rig.read(fh, node)).body.toString()).toBe('hello');
    const attr = await rig.expect('getattr', node, u32(0, 0), u64(0));
    expect([attr.readBigUInt64LE(24), attr.readUInt32LE(80)]).toEqual([5n, 0]);
    await rig.expect('setxattr', node, u32(1, 0, 0, 0), text('user.a'), Buffer.from('x'));
    expect((await rig.expect('getxattr', node, u32(10, 0), text('user.a'))).toString()).toBe('x');
  });

  it('that changed elsewhere are known anew when they are opened, attributes and pages', async () => {
    const { rig, top } = mounted({ keepCache: true });
    const { node, fh } = await rig.create('a');
    await rig.write(fh, node, 'mine');
    const open = async () => {
      rig.channel.answers.length = 0;
      const body = await rig.expect('open', node, u32(2, 0));
      const told = rig.channel.answers.filter(({ unique }) => unique === 0).length;
      return { told, keepsPages: (body.readUInt32LE(8) & 2) !== 0 };
    };
    expect(await open()).toEqual({ told: 0, keepsPages: true });
    const { gfid } = rig.session.nodes.byId(node)!;
    const call = { ...rootCall(rig.session.services.clock), clientId: 'other' };
    await top.truncate(call, { loc: locOf(gfid), size: 1 });
    expect(await open()).toEqual({ told: 1, keepsPages: false });
    await rig.expect('getattr', node, u32(0, 0), u64(0));
    expect(await open()).toEqual({ told: 0, keepsPages: true });
  });

  it('append where the file ends, whatever offset the kernel believed', async () => {
    const { rig } = mounted();
    const { node, fh } = await rig.create('a', 0o2002);
    await rig.write(fh, node, 'one', { flags: 0o2002 });
    await rig.write(fh, node, 'two', { flags: 0o2002, offset: 0 });
    expect((await rig.read(fh, node)).body.toString()).toBe('onetwo');
  });

  it('lose setuid and setgid when written by those who may not keep them', async () => {
    const { rig } = mounted();
    const { node, fh } = await rig.create('a');
    const mode = async () => (await rig.expect('getattr', node, u32(0, 0), u64(0))).readUInt32LE(76) & 0o7777;
    const chmod = (bits: number) =>
      rig.expect('setattr', node, u32(1, 0), u64(0, 0, 0, 0, 0, 0), u32(0, 0, 0, bits, 0, 0, 0, 0));
    await chmod(0o6755);
    await rig.write(fh, node, 'x');
    expect(await mode()).toBe(0o6755);
    await rig.write(fh, node, 'x', { writeFlags: 4 });
    expect(await mode()).toBe(0o755);
    await chmod(0o6745);
    await rig.expect('setattr', node, u32(2, 0), u64(0, 0, 0, 0, 0, 0), u32(0, 0, 0, 0, 0, 12, 0, 0));
    expect(await mode()).toBe(0o2745);
  });

  it('answer a size beyond 2^53 with EFBIG', async () => {
    const { rig } = mounted();
    const { node, fh } = await rig.create('a');
    expect((await rig.read(fh, node, 10, 2 ** 60)).errno).toBe(Errno.EFBIG);
    expect((await rig.write(fh, node, 'x', { offset: 2 ** 53 })).errno).toBe(Errno.EFBIG);
  });

  it('of a closed handle get EBADF', async () => {
    const { rig } = mounted();
    const { node, fh } = await rig.create('a');
    await rig.expect('release', node, u64(fh), u32(0, 0), u64(0));
    expect((await rig.read(fh, node)).errno).toBe(Errno.EBADF);
    expect((await rig.ask('flush', node, u64(fh, 0, 0))).errno).toBe(Errno.EBADF);
  });
});

describe('extended attributes', () => {
  it('tell their size, and ERANGE when the room is too small', async () => {
    const { rig } = mounted();
    const { node } = await rig.create('a');
    await rig.expect('setxattr', node, u32(5, 0, 0, 0), text('user.a'), Buffer.from('value'));
    expect((await rig.expect('getxattr', node, u32(0, 0), text('user.a'))).readUInt32LE(0)).toBe(5);
    expect((await rig.ask('getxattr', node, u32(4, 0), text('user.a'))).errno).toBe(Errno.ERANGE);
    expect((await rig.expect('listxattr', node, u32(100, 0))).toString()).toBe('user.a\0');
  });

  it.each([
    ['security.capability', Errno.ENODATA],
    ['security.selinux', Errno.EOPNOTSUPP],
    ['system.posix_acl_access', Errno.EOPNOTSUPP],
    ['constructor', Errno.ENODATA],
    ['__proto__', Errno.ENODATA],
  ])('%s is answered with errno %i', async (name, errno) => {
    const { rig } = mounted();
    expect((await rig.ask('getxattr', 1, u32(100, 0), text(name))).errno).toBe(errno);
  });

  it("does not let the file system's own be set", async () => {
    const { rig } = mounted();
    for (const name of ['trusted.gfid', 'trusted.afr.v-client-0'])
      expect((await rig.ask('setxattr', 1, u32(1, 0, 0, 0), text(name), Buffer.from('x'))).errno).toBe(Errno.EPERM);
  });
});

describe('directories', () => {
  async function list(rig: SessionRig, size: number, plus: boolean): Promise<string[]> {
    const fh = Number((await rig.expect('opendir', 1, u32(0, 0))).readBigUInt64LE(0));
    const names: string[] = [];
    let offset = Buffer.alloc(8);
    for (;;) {
      const parts = [u64(fh), offset, u32(size, 0), u64(0), u32(0, 0)];
      const body = await rig.expect(plus ? 'readdirplus' : 'readdir', 1, ...parts);
      if (body.length === 0) return names;
      for (let at = 0; at < body.length; ) {
        if (plus) at += 128;
        const length = body.readUInt32LE(at + 16);
        names.push(body.toString('latin1', at + 24, at + 24 + length));
        offset = Buffer.from(body.subarray(at + 8, at + 16));
        at += (24 + length + 7) & ~7;
      }
    }
  }

  it.each([
    [300, false],
    [300, true],
    [4096, false],
    [65536, true],
  ])('list every name once, with answers of %i bytes (plus: %s)', async (size, plus) => {
    const { rig } = mounted();
    const names = Array.from({ length: 300 }, (_, i) => `file-${i}`);
    for (const name of names) await rig.expect('mknod', 1, u32(0o100644, 0, 0, 0), text(name));
    const listed = await list(rig, size, plus);
    expect(listed.slice(0, 2)).toEqual(['.', '..']);
    expect(listed.slice(2).sort()).toEqual(names.sort());
  });

  it.each([0, 1, 40])('tell their end once without asking for it (%i names)', async (count) => {
    const { rig, top } = mounted();
    let asked = 0;
    const readdir: Subvolume['readdir'] = (call, args) => {
      asked++;
      return top.readdir(call, args);
    };
    const readdirp: Subvolume['readdirp'] = (call, args) => {
      asked++;
      return top.readdirp(call, args);
    };
    await rig.session.setGraph({ ...top, readdir, readdirp });
    for (let i = 0; i < count; i++) await rig.expect('mknod', 1, u32(0o100644, 0, 0, 0), text(`f${i}`));
    const fh = Number((await rig.expect('opendir', 1, u32(0, 0))).readBigUInt64LE(0));
    const page = (offset: Buffer, plus: boolean) =>
      rig.expect(plus ? 'readdirplus' : 'readdir', 1, u64(fh), offset, u32(4096, 0), u64(0), u32(0, 0));
    for (const plus of [false, true]) {
      asked = 0;
      let offset = Buffer.alloc(8);
      // As the kernel does it, the first page has attributes.
      for (let isPlus = true; ; isPlus = plus) {
        const body = await page(offset, isPlus);
        if (body.length === 0) break;
        const before = isPlus ? 128 : 0;
        for (let at = before; at < body.length; at += before + ((24 + body.readUInt32LE(at + 16) + 7) & ~7))
          offset = Buffer.from(body.subarray(at + 8, at + 16));
      }
      const pages = asked;
      expect(pages).toBeGreaterThan(0);
      // Whoever reads on behind the end sees what came since.
      await page(offset, plus);
      expect(asked).toBe(pages + 1);
      expect(pages).toBe(count < 40 ? 1 : 2);
    }
  });

  it('never show attributes that are older than the question', async () => {
    const { rig } = mounted();
    const names = Array.from({ length: 40 }, (_, i) => `f${i}`);
    const files = new Map<string, { node: number; fh: number }>();
    for (const name of names) files.set(name, await rig.create(name));
    const fh = Number((await rig.expect('opendir', 1, u32(0, 0))).readBigUInt64LE(0));
    let offset = Buffer.alloc(8);
    for (let pages = 0; ; pages++) {
      const body = await rig.expect('readdirplus', 1, u64(fh), offset, u32(1000, 0), u64(0), u32(0, 0));
      if (body.length === 0) break;
      for (let at = 0; at < body.length; ) {
        const length = body.readUInt32LE(at + 128 + 16);
        const name = body.toString('latin1', at + 152, at + 152 + length);
        if (files.has(name)) expect([name, Number(body.readBigUInt64LE(at + 48))]).toEqual([name, pages]);
        offset = Buffer.from(body.subarray(at + 136, at + 144));
        at += 128 + ((24 + length + 7) & ~7);
      }
      // Every file grows by a byte between two pages.
      for (const { node, fh: file } of files.values()) await rig.write(file, node, 'x', { offset: pages });
    }
  });

  it('go on behind an entry that was removed meanwhile', async () => {
    const { rig } = mounted();
    const names = Array.from({ length: 50 }, (_, i) => `f${i}`);
    for (const name of names) await rig.expect('mknod', 1, u32(0o100644, 0, 0, 0), text(name));
    const fh = Number((await rig.expect('opendir', 1, u32(0, 0))).readBigUInt64LE(0));
    const page = async (offset: Buffer) => rig.expect('readdir', 1, u64(fh), offset, u32(200, 0), u64(0), u32(0, 0));
    const seen: string[] = [];
    let offset = Buffer.alloc(8);
    for (let body = await page(offset); body.length > 0; body = await page(offset)) {
      let last = '';
      for (let at = 0; at < body.length; ) {
        const length = body.readUInt32LE(at + 16);
        last = body.toString('latin1', at + 24, at + 24 + length);
        seen.push(last);
        offset = Buffer.from(body.subarray(at + 8, at + 16));
        at += (24 + length + 7) & ~7;
      }
      if (!last.startsWith('.')) await rig.expect('unlink', 1, text(last));
    }
    expect(seen.filter((name) => !name.startsWith('.')).sort()).toEqual(names.sort());
  });
});

describe('locks', () => {
  it('wait until the other owner closes', async () => {
    const { rig } = mounted();
    const { node, fh } = await rig.create('a');
    await rig.expect('setlk', node, ...lockBody(fh, 1, 0, 9, 1));
    expect((await rig.ask('setlk', node, ...lockBody(fh, 2, 5, 5, 0))).errno).toBe(Errno.EAGAIN);
    const waiting = rig.send('setlkw', node, ...lockBody(fh, 2, 5, 5, 0));
    await settle();
    expect(rig.answerTo(waiting)).toBeUndefined();
    expect(rig.session.stats).toMatchObject({ inFlight: 0, lockWaits: 1 });
    await rig.expect('flush', node, u64(fh, 0, 1));
    await settle();
    expect(rig.answerTo(waiting)?.errno).toBe(0);
  });

  it('tell who holds them', async () => {
    const { rig } = mounted();
    const { node, fh } = await rig.create('a');
    await rig.expect('setlk', node, ...lockBody(fh, 1, 3, 9, 1));
    const held = await rig.expect('getlk', node, ...lockBody(fh, 2, 0, 100, 0));
    expect([held.readBigUInt64LE(0), held.readBigUInt64LE(8), held.readUInt32LE(16)]).toEqual([3n, 9n, 1]);
    const free = await rig.expect('getlk', node, ...lockBody(fh, 1, 0, 100, 0));
    expect(free.readUInt32LE(16)).toBe(2);
  });

  it('end their wait with EINTR when interrupted', async () => {
    const { rig } = mounted();
    const { node, fh } = await rig.create('a');
    await rig.expect('setlk', node, ...lockBody(fh, 1, 0, 9, 1));
    const waiting = rig.send('setlkw', node, ...lockBody(fh, 2, 0, 9, 1));
    await settle();
    rig.send('interrupt', 0, u64(waiting));
    await settle();
    expect(rig.answerTo(waiting)?.errno).toBe(Errno.EINTR);
  });

  it('of flock have owners of their own, and go with the last close', async () => {
    const { rig } = mounted();
    const { node, fh } = await rig.create('a');
    await rig.expect('setlk', node, ...lockBody(fh, 1, 0, 0, 1, 1));
    await rig.expect('setlk', node, ...lockBody(fh, 2, 0, 9, 1));
    expect((await rig.ask('setlk', node, ...lockBody(fh, 1, 0, 9, 1))).errno).toBe(Errno.EAGAIN);
    await rig.expect('flush', node, u64(fh, 0, 1));
    expect((await rig.ask('setlk', node, ...lockBody(fh, 2, 0, 0, 1, 1))).errno).toBe(Errno.EAGAIN);
    const other = await rig.create('a');
    await rig.expect('release', node, u64(fh), u32(0, 2), u64(1));
    await rig.expect('setlk', node, ...lockBody(other.fh, 2, 0, 0, 1, 1));
  });

  it('are counted by ranges as POSIX splits them', () => {
    const range = fc.tuple(fc.nat(20), fc.integer({ min: 1, max: 20 }), fc.constantFrom('read', 'write', 'unlock'));
    fc.assert(
      fc.property(fc.array(range, { maxLength: 20 }), (steps) => {
        const book = new LockBook();
        const model = new Array<string | undefined>(41).fill(undefined);
        for (const [start, length, type] of steps) {
          const end = start + length;
          if (type === 'unlock') book.clear('o', start, end);
          else book.set({ owner: 'o', type: type as 'read' | 'write', start, end, pid: 1, fh: 1 });
          model.fill(type === 'unlock' ? undefined : type, start, end);
        }
        const found = new Array<string | undefined>(41).fill(undefined);
        for (const { type, start, end } of book.of(1)) found.fill(type, start, end);
        expect(found).toEqual(model);
      }),
    );
  });
});

describe('graphs', () => {
  it('requests wait for the first one', async () => {
    const { services, top } = memory();
    const rig = new SessionRig(services);
    const waiting = rig.send('lookup', 1, text('a'));
    await settle();
    expect(rig.answerTo(waiting)).toBeUndefined();
    void rig.session.setGraph(top);
    await settle();
    expect(rig.answerTo(waiting)?.errno).toBe(Errno.ENOENT);
  });

  it('requests get ENOTCONN when none comes in time', async () => {
    const { services } = memory();
    const rig = new SessionRig(services, { graphWaitMs: 1000 });
    const waiting = rig.send('lookup', 1, text('a'));
    await services.clock.advance(999);
    expect(rig.answerTo(waiting)).toBeUndefined();
    await services.clock.advance(1);
    expect(rig.answerTo(waiting)?.errno).toBe(Errno.ENOTCONN);
  });

  /** A second graph over the same storage that notes what was opened on it. */
  function secondGraph(top: Subvolume) {
    const opened: number[] = [];
    const locked: string[] = [];
    const next: Subvolume = {
      ...top,
      open: async (call, args) => {
        opened.push(args.flags);
        return top.open(call, args);
      },
      lk: async (call, args) => {
        if (args.command === 'set') locked.push(`${args.flock.type} ${args.flock.start}+${args.flock.length}`);
        return top.lk(call, args);
      },
    };
    return { next, opened, locked };
  }

  it('open files move to a new one with their locks, and the old one is then unused', async () => {
    const { rig, top } = mounted();
    const { node, fh } = await rig.create('a', 0o1002);
    await rig.write(fh, node, 'kept');
    await rig.expect('setlk', node, ...lockBody(fh, 1, 2, 5, 1));
    const { next, opened, locked } = secondGraph(top);
    await rig.session.setGraph(next);
    expect(opened).toEqual([0o2]);
    expect(locked).toEqual(['write 2+4']);
    expect((await rig.read(fh, node)).body.toString()).toBe('kept');
  });

  it('a request under way keeps the old one until it ends', async () => {
    const { rig, top } = mounted();
    let finish: (reply: Reply<'lookup'>) => void = () => {};
    void rig.session.setGraph({ ...top, lookup: () => new Promise((resolve) => (finish = resolve)) });
    const slow = rig.send('lookup', 1, text('a'));
    let drained = false;
    void rig.session.setGraph(top).then(() => {
      drained = true;
    });
    await settle();
    expect([drained, rig.answerTo(slow)]).toEqual([false, undefined]);
    finish(fail(Errno.ENOENT));
    await settle();
    expect([drained, rig.answerTo(slow)?.errno]).toEqual([true, Errno.ENOENT]);
  });

  it('a listing under way goes on with what it has open in the old one, the next with what is open in the new one', async () => {
    const { rig, top } = mounted();
    for (const name of ['a', 'b', 'c']) await rig.create(name);
    const used = { first: new Set<Fd>(), second: new Set<Fd>() };
    let goOn: () => void = () => {};
    const waits = new Promise<void>((resolve) => (goOn = resolve));
    const listing = (fds: Set<Fd>, before?: Promise<void>): Subvolume => ({
      ...top,
      readdir: async (call, args) => {
        await before;
        fds.add(args.fd);
        const reply = await top.readdir(call, args);
        return reply.ok && reply.entries.length > 1
          ? { ...reply, entries: reply.entries.slice(0, 1), end: false }
          : reply;
      },
    });
    void rig.session.setGraph(listing(used.first, waits));
    const fh = (await rig.expect('opendir', 1, u32(0, 0))).readUInt32LE(0);
    const parts = (offset: number) => [u64(fh), u64(offset), u32(4096, 0), u64(0), u32(0, 0)];
    const slow = rig.send('readdir', 1, ...parts(0));
    await settle();
    const switched = rig.session.setGraph(listing(used.second));
    await settle();
    goOn();
    await switched;
    await settle();
    expect(rig.answerTo(slow)?.body.includes('c')).toBe(true);
    await rig.expect('readdir', 1, ...parts(0));
    expect([used.first.size, used.second.size]).toEqual([1, 1]);
    expect([...used.first][0]).not.toBe([...used.second][0]);
  });

  it('a lock wait begins again on the new one', async () => {
    const { rig, top } = mounted();
    const { node, fh } = await rig.create('a');
    await rig.expect('setlk', node, ...lockBody(fh, 1, 0, 9, 1));
    const waiting = rig.send('setlkw', node, ...lockBody(fh, 2, 0, 9, 1));
    await settle();
    await rig.session.setGraph(secondGraph(top).next);
    expect(rig.answerTo(waiting)).toBeUndefined();
    await rig.expect('flush', node, u64(fh, 0, 1));
    await settle();
    expect(rig.answerTo(waiting)?.errno).toBe(0);
  });
});

describe('bounds and bad input', () => {
  it('an exception becomes EIO, and the session lives', async () => {
    const { rig, top } = mounted();
    void rig.session.setGraph({ ...top, statfs: () => Promise.reject(new Error('a bug')) });
    expect((await rig.ask('statfs', 1)).errno).toBe(Errno.EIO);
    expect(rig.session.stats).toMatchObject({ exceptions: 1, inFlight: 0 });
    expect((await rig.ask('lookup', 1, text('a'))).errno).toBe(Errno.ENOENT);
  });

  it('ENOSYS of a brick does not switch an operation off in the kernel', async () => {
    const { rig, top } = mounted();
    void rig.session.setGraph({ ...top, getxattr: async () => fail(Errno.ENOSYS) });
    expect((await rig.ask('getxattr', 1, u32(9, 0), text('user.a'))).errno).toBe(Errno.EOPNOTSUPP);
  });

  it('says when enough requests are in flight, and when there is room again', async () => {
    const { rig, top } = mounted({ maxInFlight: 2 });
    let calls: Call[] = [];
    const finish: ((reply: Reply<'lookup'>) => void)[] = [];
    const lookup: Subvolume['lookup'] = (call) => {
      calls = [...calls, call];
      return new Promise((resolve) => finish.push(resolve));
    };
    void rig.session.setGraph({ ...top, lookup });
    let relieved = 0;
    rig.session.onRelief = () => relieved++;
    rig.send('lookup', 1, text('a'));
    expect(rig.session.saturated).toBe(false);
    rig.send('lookup', 1, text('b'));
    expect(rig.session.saturated).toBe(true);
    await settle();
    finish[0]!(fail(Errno.ENOENT));
    await settle();
    expect([rig.session.saturated, relieved]).toEqual([false, 1]);
  });

  it('refuses what it does not know without ending', async () => {
    const { rig } = mounted();
    expect((await rig.ask(4000, 1)).errno).toBe(Errno.ENOSYS);
    expect((await rig.ask('ioctl', 1, u64(0))).errno).toBe(Errno.ENOTTY);
    expect((await rig.ask('poll', 1)).errno).toBe(Errno.ENOSYS);
    expect((await rig.ask('read', 1, u32(1))).errno).toBe(Errno.EINVAL);
    rig.send('forget', 1);
    expect(rig.session.stats.malformed).toBe(2);
  });

  it('answers every request that it can read, whatever its bytes', async () => {
    const names = Object.keys(opcodes) as (keyof typeof opcodes)[];
    const silent = new Set(['forget', 'batchForget', 'interrupt', 'notifyReply', 'setlkw']);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.constantFrom(...names), fc.nat(4), fc.uint8Array({ maxLength: 120 })), { maxLength: 15 }),
        async (requests) => {
          const { rig } = mounted();
          await rig.create('a');
          const expected = requests.map(([op, node, body]) => ({ op, unique: rig.send(op, node, Buffer.from(body)) }));
          await settle();
          await settle();
          for (const { op, unique } of expected) if (!silent.has(op)) expect(rig.answerTo(unique), op).toBeDefined();
          expect(rig.session.stats).toMatchObject({ exceptions: 0, inFlight: 0 });
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('for the device', () => {
  it('says when the request that came last has been answered, and only then', async () => {
    const { rig } = mounted();
    let answered = 0;
    rig.session.onAnswered = () => answered++;
    const { node } = await rig.create('a');
    answered = 0;
    rig.send('getattr', node, u32(0, 0), u64(0));
    expect(rig.session.settled).toBe(false);
    rig.send('getattr', node, u32(0, 0), u64(0));
    await settle();
    expect(rig.session.settled).toBe(true);
    expect(answered).toBe(1);
  });

  it('is settled after a request without an answer', async () => {
    const { rig } = mounted();
    const { node } = await rig.create('a');
    rig.send('getattr', node, u32(0, 0), u64(0));
    rig.send('forget', node, u64(1));
    expect(rig.session.settled).toBe(true);
    await settle();
  });

  it('shares a look at the clock within a turn, and looks again in the next', async () => {
    const { rig, services } = mounted();
    let looks = 0;
    const clock = services.clock as { wall(): { sec: number; nsec: number } };
    const wall = clock.wall.bind(clock);
    clock.wall = () => {
      looks++;
      return wall();
    };
    rig.session.turn();
    for (let i = 0; i < 16; i++) rig.send('getattr', 1, u32(0, 0), u64(0));
    await settle();
    expect(looks).toBe(1);
    rig.send('getattr', 1, u32(0, 0), u64(0));
    await settle();
    expect(looks).toBe(2);
    rig.session.turn();
    rig.send('getattr', 1, u32(0, 0), u64(0));
    await settle();
    expect(looks).toBe(3);
  });
});

describe('the number of nodes', () => {
  it('beyond the limit makes the kernel forget, oldest first, but not what is open', async () => {
    const { rig, services } = mounted({ lruLimit: 20 });
    const opened = await rig.create('open');
    const nodes: number[] = [];
    for (let i = 0; i < 60; i++) {
      const { node, fh } = await rig.create(`f${i}`);
      await rig.expect('release', node, u64(fh), u32(0, 0), u64(0));
      nodes.push(node);
    }
    const asked = () => rig.channel.notices.map((notice) => notice.toString('latin1', 32, notice.length - 1));
    const first = asked();
    expect(first.length).toBeGreaterThan(0);
    for (const [i, name] of first.entries()) {
      expect(name).toBe(`f${i}`);
      rig.send('forget', nodes[i]!, u64(1));
    }
    await services.clock.advance(100);
    for (let i = 0; i < 64; i++) await rig.expect('getattr', opened.node, u32(0, 0), u64(0));
    for (const name of asked().slice(first.length)) rig.send('forget', nodes[Number(name.slice(1))]!, u64(1));
    for (let i = 0; i < 10; i++) {
      rig.channel.notices.length = 0;
      await services.clock.advance(100);
      for (const name of asked()) rig.send('forget', nodes[Number(name.slice(1))]!, u64(1));
    }
    expect(rig.session.stats.nodes).toBe(20);
    expect(services.clock.pending).toBe(0);
  });
});

describe('invalidation', () => {
  it('of a file that another client changed', async () => {
    const { rig } = mounted();
    const { node } = await rig.create('a');
    const { gfid } = rig.session.nodes.byId(node)!;
    const { invalidateByUpcall } = await import('./invalidate.ts');
    invalidateByUpcall(rig.session, { type: 'upcall', gfid, what: 'data' });
    invalidateByUpcall(rig.session, { type: 'upcall', gfid, what: 'metadata' });
    expect(rig.channel.notices.map((notice) => notice.readBigInt64LE(24))).toEqual([0n, -1n]);
  });
});
