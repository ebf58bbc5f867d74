import {
  type Args,
  Errno,
  Fd,
  type FopName,
  type Gfid,
  locAt,
  locOf,
  parseOptions,
  type Reply,
  rootGfid,
  type XlatorInit,
} from '@mortar/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { errnoOfReply, rigCall, rigServices } from '../../lib/translator-rig.ts';
import { Content } from './content.ts';
import { type Memory, xlator } from './index.ts';

let counter = 0;
const freshGfid = () => `00000000-0000-4000-8000-${(++counter).toString(16).padStart(12, '0')}` as Gfid;
const call = rigCall('client');

function volume(options: Record<string, string> = {}) {
  const { values } = parseOptions(xlator.options, new Map(Object.entries(options)));
  const init = { name: 'm', type: xlator.type, options: values, texts: new Map(), services: rigServices() };
  const made = xlator.create(init as unknown as XlatorInit<typeof xlator.options>) as Memory;
  made.bind([], undefined);
  return made.ops;
}

type Ops = ReturnType<typeof volume>;

async function ok<N extends FopName>(reply: Promise<Reply<N>>) {
  const value = await reply;
  if (!value.ok) throw new Error(`errno ${value.errno}`);
  return value;
}

async function create(ops: Ops, name: string, parent = rootGfid): Promise<Fd> {
  const gfid = freshGfid();
  const fd = new Fd(gfid, 2);
  await ok(ops.create(call, { loc: locAt(parent, name), flags: 0o102, mode: 0o644, gfid, fd }));
  return fd;
}

async function mkdir(ops: Ops, name: string, parent = rootGfid): Promise<Gfid> {
  const gfid = freshGfid();
  await ok(ops.mkdir(call, { loc: locAt(parent, name), mode: 0o755, gfid }));
  return gfid;
}

const errnoOf = async <N extends FopName>(reply: Promise<Reply<N>>) => errnoOfReply(await reply);
const rename = (ops: Ops, from: string, to: string, flags = 0) =>
  ops.rename(call, { from: locAt(rootGfid, from), to: locAt(rootGfid, to), flags });

it('makes no second file of a gfid whose file is open without a name', async () => {
  const ops = volume();
  const fd = await create(ops, 'f');
  await ok(ops.unlink(call, { loc: locAt(rootGfid, 'f') }));
  const twin = { loc: locAt(rootGfid, 'twin'), mode: 0o100600, rdevMajor: 0, rdevMinor: 0, gfid: fd.gfid };
  expect(errnoOfReply(await ops.mknod(call, twin))).toBe(Errno.EEXIST);
  fd.release();
  await ok(ops.mknod(call, twin));
});

describe('identity', () => {
  it('a gfid is taken once in the volume', async () => {
    const ops = volume();
    const fd = await create(ops, 'a');
    const again = { loc: locAt(rootGfid, 'b'), mode: 0o755, gfid: fd.gfid };
    expect(await errnoOf(ops.mkdir(call, again))).toBe(Errno.EEXIST);
  });

  it('what is gone is ESTALE by gfid and ENOENT by name', async () => {
    const ops = volume();
    const fd = await create(ops, 'a');
    await ok(ops.unlink(call, { loc: locAt(rootGfid, 'a') }));
    expect(await errnoOf(ops.lookup(call, { loc: locAt(rootGfid, 'a') }))).toBe(Errno.ENOENT);
    expect((await ok(ops.fstat(call, { fd }))).iatt.nlink).toBe(0);
    fd.release();
    expect(await errnoOf(ops.lookup(call, { loc: locOf(fd.gfid) }))).toBe(Errno.ESTALE);
  });

  it('trusted.gfid can be read and not changed', async () => {
    const ops = volume();
    const { xattrs } = await ok(ops.getxattr(call, { loc: locOf(rootGfid), name: 'trusted.gfid' }));
    expect(Buffer.from(xattrs['trusted.gfid']!).toString('hex')).toBe(rootGfid.replaceAll('-', ''));
    const set = { loc: locOf(rootGfid), xattrs: { 'trusted.gfid': new Uint8Array(16) }, flags: 0 };
    expect(await errnoOf(ops.setxattr(call, set))).toBe(Errno.EPERM);
  });
});

describe('rename', () => {
  it('replaces, keeps links and refuses what POSIX refuses', async () => {
    const ops = volume();
    await create(ops, 'a');
    await create(ops, 'b');
    const dir = await mkdir(ops, 'd');
    await mkdir(ops, 'sub', dir);
    await mkdir(ops, 'empty');
    expect(await errnoOf(rename(ops, 'a', 'd'))).toBe(Errno.EISDIR);
    expect(await errnoOf(rename(ops, 'd', 'a'))).toBe(Errno.ENOTDIR);
    expect(await errnoOf(rename(ops, 'empty', 'd'))).toBe(Errno.ENOTEMPTY);
    expect(await errnoOf(rename(ops, 'a', 'b', 1))).toBe(Errno.EEXIST);
    const below = { from: locAt(rootGfid, 'd'), to: locAt(dir, 'x'), flags: 0 };
    expect(await errnoOf(ops.rename(call, below))).toBe(Errno.EINVAL);
    await ok(rename(ops, 'a', 'b'));
    await ok(rename(ops, 'd', 'empty'));
    expect((await ok(ops.stat(call, { loc: locOf(rootGfid) }))).iatt.nlink).toBe(3);
  });

  it('exchanges', async () => {
    const ops = volume();
    const a = await create(ops, 'a');
    const dir = await mkdir(ops, 'd');
    await ok(rename(ops, 'a', 'd', 2));
    expect((await ok(ops.lookup(call, { loc: locAt(rootGfid, 'd') }))).iatt.gfid).toBe(a.gfid);
    expect((await ok(ops.lookup(call, { loc: locAt(rootGfid, 'a') }))).iatt.gfid).toBe(dir);
    expect(await errnoOf(rename(ops, 'a', 'none', 2))).toBe(Errno.ENOENT);
  });

  it('of one link onto another of the same file does nothing', async () => {
    const ops = volume();
    const fd = await create(ops, 'a');
    await ok(ops.link(call, { from: locOf(fd.gfid), to: locAt(rootGfid, 'b') }));
    await ok(rename(ops, 'a', 'b'));
    expect((await ok(ops.lookup(call, { loc: locAt(rootGfid, 'a') }))).iatt.nlink).toBe(2);
  });
});

describe('content', () => {
  it('is what a plain array of bytes would be', () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant('write'), at: fc.nat(200_000), size: fc.nat(70_000) }),
      fc.record({ do: fc.constant('resize'), at: fc.nat(200_000), size: fc.constant(0) }),
      fc.record({ do: fc.constant('punch'), at: fc.nat(200_000), size: fc.integer({ min: 1, max: 150_000 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 8 }), (steps) => {
        const content = new Content();
        const model = Buffer.alloc(400_000);
        let length = 0;
        steps.forEach((s, i) => {
          if (s.do === 'write') {
            const data = Buffer.alloc(s.size, i + 1);
            content.write(s.at, data);
            data.copy(model, s.at);
            length = Math.max(length, s.at + s.size);
          } else if (s.do === 'resize') {
            content.resize(s.at);
            model.fill(0, s.at);
            length = s.at;
          } else {
            content.punch(s.at, s.at + s.size);
            model.fill(0, s.at, s.at + s.size);
          }
        });
        expect(content.size).toBe(length);
        expect(content.read(0, 400_000).equals(model.subarray(0, length))).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  it('beyond the capacity is ENOSPC, and freed by unlink', async () => {
    const ops = volume({ size: '1MB' });
    const fd = await create(ops, 'a');
    const write = (f: Fd) => ops.writev(call, { fd: f, offset: 0, data: Buffer.alloc(700_000, 1) });
    await ok(write(fd));
    const other = await create(ops, 'b');
    expect(await errnoOf(write(other))).toBe(Errno.ENOSPC);
    await ok(ops.unlink(call, { loc: locAt(rootGfid, 'a') }));
    expect(await errnoOf(write(other))).toBe(Errno.ENOSPC);
    fd.release();
    await ok(write(other));
  });

  it('seeks data and holes', async () => {
    const ops = volume();
    const fd = await create(ops, 'a');
    await ok(ops.writev(call, { fd, offset: 1 << 20, data: Buffer.from('x') }));
    expect((await ok(ops.seek(call, { fd, offset: 0, what: 'data' }))).offset).toBe(1 << 20);
    expect((await ok(ops.seek(call, { fd, offset: 0, what: 'hole' }))).offset).toBe(0);
    expect((await ok(ops.seek(call, { fd, offset: 1 << 20, what: 'hole' }))).offset).toBe((1 << 20) + 1);
    expect((await ok(ops.fstat(call, { fd }))).iatt.blocks).toBe(8);
    expect(await errnoOf(ops.seek(call, { fd, offset: 2 << 20, what: 'data' }))).toBe(Errno.ENXIO);
  });

  it('is not written through an fd opened for reading', async () => {
    const ops = volume();
    const fd = await create(ops, 'a');
    const reader = new Fd(fd.gfid, 0);
    await ok(ops.open(call, { loc: locOf(fd.gfid), flags: 0, fd: reader }));
    expect(await errnoOf(ops.writev(call, { fd: reader, offset: 0, data: Buffer.from('x') }))).toBe(Errno.EBADF);
  });
});

describe('xattrop', () => {
  it('adds big-endian integers and extends short values', async () => {
    const ops = volume();
    const add = (hex: string, operation: 'add32' | 'add64' | 'or' = 'add32') =>
      ok(ops.xattrop(call, { loc: locOf(rootGfid), operation, values: { x: Buffer.from(hex, 'hex') } }));
    await add('00000001ffffffff');
    const { xattrs } = await add('000000020000000200000005');
    expect(Buffer.from(xattrs.x!).toString('hex')).toBe('000000030000000100000005');
  });
});

describe('locks', () => {
  const lock = (
    ops: Ops,
    fd: Fd,
    owner: string,
    command: 'set' | 'wait',
    type: 'read' | 'write' | 'unlock' = 'write',
  ) => ops.lk({ ...call, lockOwner: owner }, { fd, command, flock: { type, start: 0, length: 0, owner, pid: 1 } });

  it('refuse a deadlock over two files', async () => {
    const ops = volume();
    const [a, b] = [await create(ops, 'a'), await create(ops, 'b')];
    await ok(lock(ops, a, '01', 'set'));
    await ok(lock(ops, b, '02', 'set'));
    const waiting = lock(ops, b, '01', 'wait');
    expect(await errnoOf(lock(ops, a, '02', 'wait'))).toBe(Errno.EDEADLK);
    await ok(lock(ops, b, '02', 'set', 'unlock'));
    await ok(waiting);
  });

  it('on a name and on the whole directory exclude each other', async () => {
    const ops = volume();
    const take = (lockOwner: string, name: string | undefined, command: Args<'entrylk'>['command']) =>
      errnoOf(
        ops.entrylk(
          { ...call, lockOwner },
          { loc: locOf(rootGfid), domain: 'd', ...(name === undefined ? {} : { name }), command, type: 'write' },
        ),
      );
    expect(await take('01', 'a', 'try')).toBe(0);
    expect(await take('02', 'b', 'try')).toBe(0);
    expect(await take('03', undefined, 'try')).toBe(Errno.EAGAIN);
    expect(await take('03', 'a', 'try')).toBe(Errno.EAGAIN);
    await take('01', 'a', 'unlock');
    await take('02', 'b', 'unlock');
    expect(await take('03', undefined, 'try')).toBe(0);
  });
});
