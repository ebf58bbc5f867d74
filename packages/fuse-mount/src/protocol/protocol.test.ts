import { emptyIatt, FileType, type Gfid } from '@mortar/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  DirentList,
  DirentWriter,
  decodeDevice,
  decoders,
  deletedEntry,
  encodeDevice,
  forgotten,
  forgottenCount,
  InitFlag,
  InitFlag2,
  inodeNumber,
  invalidateEntry,
  invalidateInode,
  negotiate,
  type OpName,
  opcodes,
  putInit,
  ReplyBuffer,
  RequestView,
  resend,
  setxattrShort,
  shortInodeNumber,
  validity,
} from './index.ts';

const gfid = '0f0e0d0c-0b0a-4908-8706-050403020100' as Gfid;

/** A request: header with unique 0x1122334455667788, node 7, uid 1000, gid 100, pid 42, then the body. */
function request(opcode: number, body: Buffer, extensionUnits = 0): { view: RequestView; bytes: Buffer } {
  const bytes = Buffer.from(new ArrayBuffer(40 + Math.ceil(body.length / 8) * 8));
  bytes.writeUInt32LE(40 + body.length, 0);
  bytes.writeUInt32LE(opcode, 4);
  bytes.writeBigUInt64LE(0x1122334455667788n, 8);
  bytes.writeBigUInt64LE(7n, 16);
  bytes.writeUInt32LE(1000, 24);
  bytes.writeUInt32LE(100, 28);
  bytes.writeUInt32LE(42, 32);
  bytes.writeUInt16LE(extensionUnits, 36);
  body.copy(bytes, 40);
  const view = new RequestView();
  view.attach(bytes);
  expect(view.parse(40 + body.length)).toBe(true);
  return { view, bytes };
}

const u32 = (...values: number[]) => Buffer.from(new Uint32Array(values).buffer);
const u64 = (...values: bigint[]) => Buffer.from(new BigUint64Array(values).buffer);
const text = (...names: string[]) => Buffer.from(names.map((name) => `${name}\0`).join(''), 'latin1');
const decode = <N extends OpName>(op: N, ...parts: Buffer[]) =>
  decoders[op](request(opcodes[op], Buffer.concat(parts)).view);

describe('the header of a request', () => {
  it('has its fields where the kernel puts them', () => {
    const { view } = request(opcodes.lookup, text('a'));
    expect(view).toMatchObject({ opcode: 1, nodeId: 7, uid: 1000, gid: 100, pid: 42 });
    expect([view.uniqueHigh, view.uniqueLow]).toEqual([0x11223344, 0x55667788]);
  });

  it('is refused when its length is not the one received', () => {
    const { view } = request(opcodes.lookup, text('a'));
    expect(view.parse(41)).toBe(false);
    expect(view.parse(39)).toBe(false);
    expect(view.parse(1 << 20)).toBe(false);
  });

  it('keeps extensions out of the body', () => {
    const body = Buffer.concat([text('abcdefg'), u32(8, 32)]);
    const { view } = request(opcodes.lookup, body, 1);
    expect(view.bodyBytes).toBe(8);
    expect(decoders.lookup(view)).toEqual({ name: 'abcdefg' });
  });

  it('is refused when the extensions are longer than the request', () => {
    const { view, bytes } = request(opcodes.lookup, text('abc'));
    bytes.writeUInt16LE(0xffff, 36);
    expect(view.parse(44)).toBe(false);
  });
});

describe('bodies of requests', () => {
  it.each<[OpName, Buffer[], object]>([
    ['lookup', [text('\xff\xfe')], { name: '\xff\xfe' }],
    ['forget', [u64(3n)], { count: 3 }],
    ['getattr', [u32(1, 0), u64(9n)], { flags: 1, fh: 9 }],
    ['symlink', [text('name', 'to/where')], { name: 'name', target: 'to/where' }],
    ['mknod', [u32(0o100644, 259, 0o22, 0), text('n')], { mode: 0o100644, rdev: 259, umask: 0o22, name: 'n' }],
    ['mkdir', [u32(0o755, 0o22), text('d')], { mode: 0o755, umask: 0o22, name: 'd' }],
    ['rename', [u64(5n), text('a', 'b')], { newParent: 5, flags: 0, from: 'a', to: 'b' }],
    ['rename2', [u64(5n), u32(2, 0), text('a', 'b')], { newParent: 5, flags: 2, from: 'a', to: 'b' }],
    ['link', [u64(5n), text('l')], { target: 5, name: 'l' }],
    ['open', [u32(0o100002, 1)], { flags: 0o100002, openFlags: 1 }],
    ['create', [u32(0o102, 0o644, 0o22, 0), text('c')], { flags: 0o102, mode: 0o644, umask: 0o22, name: 'c' }],
    ['read', [u64(4n, 8192n), u32(4096, 0), u64(0n), u32(1, 0)], { fh: 4, offset: 8192, size: 4096, flags: 1 }],
    ['release', [u64(4n), u32(1, 2), u64(0xabn)], { fh: 4, releaseFlags: 2, lockOwner: '00000000000000ab' }],
    ['flush', [u64(4n, 0n, 0xffffffffffffffffn)], { fh: 4, lockOwner: 'ffffffffffffffff' }],
    ['fsync', [u64(4n), u32(1, 0)], { fh: 4, flags: 1 }],
    ['getxattr', [u32(64, 0), text('user.a')], { size: 64, name: 'user.a' }],
    ['listxattr', [u32(64, 0)], { size: 64 }],
    ['interrupt', [u64(0x100000002n)], { uniqueLow: 2, uniqueHigh: 1 }],
    ['batchForget', [u32(2, 0), u64(5n, 1n, 6n, 2n)], { forgets: 2 }],
    ['fallocate', [u64(4n, 10n, 20n), u32(3, 0)], { fh: 4, offset: 10, length: 20, mode: 3 }],
    ['lseek', [u64(4n, 10n), u32(3, 0)], { fh: 4, offset: 10, whence: 3 }],
    ['access', [u32(4, 0)], { mask: 4 }],
    [
      'setlk',
      [u64(4n, 0x77n, 10n, 19n), u32(1, 42, 1, 0)],
      { fh: 4, owner: '0000000000000077', start: 10, end: 19, type: 1, pid: 42, flags: 1 },
    ],
    [
      'copyFileRange',
      [u64(1n, 2n, 3n, 4n, 5n, 6n, 0n)],
      { fhIn: 1, offsetIn: 2, nodeOut: 3, fhOut: 4, offsetOut: 5, length: 6, flags: 0 },
    ],
    ['statx', [u32(1, 0), u64(4n), u32(0, 0xfff)], { flags: 1, fh: 4, statxFlags: 0, mask: 0xfff }],
  ])('%s', (op, parts, expected) => {
    expect(decode(op, ...parts)).toMatchObject(expected);
  });

  it('setattr, with a time before 1970', () => {
    const body = [
      u32(0x71, 0),
      u64(4n, 100n, 0xabn, BigInt.asUintN(64, -5n), 7n, 8n),
      u32(1, 2, 3, 0o644, 0, 1000, 100, 0),
    ];
    expect(decode('setattr', ...body)).toEqual({
      valid: 0x71,
      fh: 4,
      size: 100,
      lockOwner: '00000000000000ab',
      atime: { sec: -5, nsec: 1 },
      mtime: { sec: 7, nsec: 2 },
      ctime: { sec: 8, nsec: 3 },
      mode: 0o644,
      uid: 1000,
      gid: 100,
    });
  });

  it('write, its payload a view into the buffer', () => {
    const { view, bytes } = request(
      opcodes.write,
      Buffer.concat([u64(4n, 8192n), u32(3, 4), u64(0n), u32(0o2001, 0), Buffer.from('abc')]),
    );
    const args = decoders.write(view)!;
    expect(args).toMatchObject({ fh: 4, offset: 8192, size: 3, writeFlags: 4, flags: 0o2001 });
    bytes[80] = 0x7a;
    expect(args.data.toString()).toBe('zbc');
  });

  it('a batch of forgets, one by one', () => {
    const { view } = request(opcodes.batchForget, Buffer.concat([u32(2, 0), u64(5n, 1n, 6n, 2n)]));
    expect([0, 1].map((i) => [forgotten(view, i), forgottenCount(view, i)])).toEqual([
      [5, 1],
      [6, 2],
    ]);
  });

  it('setxattr, in both forms', () => {
    const value = Buffer.from('value');
    expect(decode('setxattr', u32(5, 1, 0, 0), text('user.a'), value)).toMatchObject({ name: 'user.a', flags: 1 });
    const { view } = request(opcodes.setxattr, Buffer.concat([u32(5, 2), text('user.a'), value]));
    const short = setxattrShort(view)!;
    expect(short).toMatchObject({ name: 'user.a', flags: 2 });
    expect(Buffer.from(short.value).toString()).toBe('value');
  });

  it.each<[string, OpName, Buffer[]]>([
    ['a name without its NUL', 'lookup', [Buffer.from('abcd')]],
    ['a write longer than the request', 'write', [u64(4n, 0n), u32(4, 0), u64(0n), u32(0, 0), Buffer.from('abc')]],
    ['a forget list longer than the request', 'batchForget', [u32(2, 0), u64(5n, 1n)]],
    ['a forget list that would overflow', 'batchForget', [u32(0xffffffff, 0)]],
    ['a rename with one name', 'rename2', [u64(1n), u32(0, 0), text('a')]],
    ['a value longer than the request', 'setxattr', [u32(50, 0, 0, 0), text('user.a'), Buffer.from('x')]],
  ])('refuses %s', (_what, op, parts) => {
    expect(decode(op, ...parts)).toBeUndefined();
  });

  it('never fail on any bytes', () => {
    const names = Object.keys(opcodes) as OpName[];
    fc.assert(
      fc.property(fc.constantFrom(...names), fc.uint8Array({ maxLength: 200 }), (op, body) => {
        const { view } = request(opcodes[op], Buffer.from(body));
        const args = decoders[op](view);
        if (op === 'write' && args) expect((args as { data: Buffer }).data.length).toBeLessThanOrEqual(body.length);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('replies', () => {
  const iatt = {
    ...emptyIatt(gfid, FileType.regular),
    mode: 0o4755,
    nlink: 2,
    uid: 10,
    gid: 20,
    size: 2 ** 40 + 5,
    blocks: 9,
    atime: -1,
    atimeNsec: 1,
    mtime: 2 ** 33,
    mtimeNsec: 2,
    ctime: 3,
    ctimeNsec: 3,
    btime: 4,
    btimeNsec: 5,
  };

  it('an entry', () => {
    const reply = new ReplyBuffer(4096);
    reply.entry(8, 1, {
      nodeId: 2 ** 32 + 3,
      generation: 77,
      entryValid: validity(1.5),
      attrValid: validity(0.25),
      ino: inodeNumber(gfid),
      iatt,
    });
    const b = reply.bytes;
    expect(reply.length).toBe(144);
    expect([b.readUInt32LE(0), b.readInt32LE(4), b.readBigUInt64LE(8)]).toEqual([144, 0, 0x100000008n]);
    expect([b.readBigUInt64LE(16), b.readBigUInt64LE(24)]).toEqual([2n ** 32n + 3n, 77n]);
    expect([b.readBigUInt64LE(32), b.readBigUInt64LE(40)]).toEqual([1n, 0n]);
    expect([b.readUInt32LE(48), b.readUInt32LE(52)]).toEqual([500_000_000, 250_000_000]);
    expect(b.readBigUInt64LE(56)).toBe(0x8706050403020100n);
    expect([b.readBigUInt64LE(64), b.readBigUInt64LE(72)]).toEqual([2n ** 40n + 5n, 9n]);
    expect([b.readBigInt64LE(80), b.readBigInt64LE(88), b.readBigInt64LE(96)]).toEqual([-1n, 2n ** 33n, 3n]);
    expect([b.readUInt32LE(104), b.readUInt32LE(108), b.readUInt32LE(112)]).toEqual([1, 2, 3]);
    expect([b.readUInt32LE(116), b.readUInt32LE(120)]).toEqual([0o104755, 2]);
    expect([b.readUInt32LE(124), b.readUInt32LE(128), b.readUInt32LE(136)]).toEqual([10, 20, 4096]);
  });

  it('attributes, opened, statx: the sizes of the structs', () => {
    const reply = new ReplyBuffer(4096);
    reply.attr(1, 0, iatt, inodeNumber(gfid), validity(1));
    expect([reply.length, reply.bytes.readUInt32LE(0)]).toEqual([120, 120]);
    expect(reply.bytes.readBigUInt64LE(32)).toBe(0x8706050403020100n);
    reply.opened(1, 0, 5, 0x40);
    expect([reply.length, reply.bytes.readBigUInt64LE(16), reply.bytes.readUInt32LE(24)]).toEqual([32, 5n, 0x40]);
    reply.statx(1, 0, iatt, inodeNumber(gfid), validity(1));
    expect(reply.length).toBe(304);
    expect([reply.bytes.readUInt32LE(48), reply.bytes.readUInt16LE(76)]).toEqual([0xfff, 0o104755]);
    expect([reply.bytes.readBigInt64LE(128), reply.bytes.readUInt32LE(136)]).toEqual([4n, 5]);
  });

  it('a failure is a header with the negative errno', () => {
    const reply = new ReplyBuffer(4096);
    reply.begin(1, 2, 0, 0, 2);
    expect([...reply.words.subarray(0, 4)]).toEqual([16, 0xfffffffe, 1, 2]);
  });

  it('a lock to the end of the file', () => {
    const reply = new ReplyBuffer(4096);
    reply.lock(1, 0, 10, null, 1, 42);
    expect(reply.bytes.readBigUInt64LE(24)).toBe(0x7fffffffffffffffn);
  });

  it('directory records of aligned length that stop where the room ends', () => {
    const reply = new ReplyBuffer(4096);
    const writer = new DirentWriter(reply, 72, false);
    for (const name of ['a', 'bcdefghij', 'c']) {
      if (!writer.fits(name)) break;
      writer.add(name, { high: 1, low: 2 }, 8, 2 ** 52 + 1, null);
    }
    writer.finish(1, 0);
    expect(reply.length).toBe(16 + 32 + 40);
    expect(reply.bytes.readBigUInt64LE(16)).toBe(0x100000002n);
    expect(reply.bytes.readBigUInt64LE(24)).toBe(2n ** 52n + 1n);
    expect([reply.bytes.readUInt32LE(32), reply.bytes.readUInt32LE(36)]).toEqual([1, 8]);
    expect(reply.bytes.toString('latin1', 72, 81)).toBe('bcdefghij');
  });

  it('a list of records is the same, cut anywhere', () => {
    const name = fc.stringMatching(/^[a-z]{1,120}$/);
    const entry = fc.record({ name, offset: fc.maxSafeNat(), type: fc.constantFrom(4, 8, 10) });
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 60 }), fc.integer({ min: 150, max: 4000 }), (given, room) => {
        const all = [{ name: '.', offset: 1, type: 4 }, { name: '..', offset: 2, type: 4 }, ...given];
        const entries = all.map((one) => ({ ...one, gfid, iatt: null, xattrs: null }));
        const list = new DirentList(entries, ({ gfid: of }) => inodeNumber(of!));
        expect(list.count).toBe(given.length);
        for (let at = 0; at < list.count; ) {
          const count = list.fitting(at, room);
          expect(count).toBeGreaterThan(0);
          const reply = new ReplyBuffer(8192);
          const writer = new DirentWriter(reply, room, false);
          for (const one of given.slice(at, at + count)) {
            expect(writer.fits(one.name)).toBe(true);
            writer.add(one.name, inodeNumber(gfid), one.type, one.offset, null);
          }
          if (at + count < list.count) expect(writer.fits(given[at + count]!.name)).toBe(false);
          expect(list.slice(at, count).equals(reply.bytes.subarray(16, 16 + writer.used))).toBe(true);
          expect(list.next(at + count - 1)).toBe(given[at + count - 1]!.offset);
          at += count;
        }
        expect(list.fitting(list.count, room)).toBe(0);
      }),
    );
  });

  it('never write more directory records than the reply buffer holds', () => {
    fc.assert(
      fc.property(fc.boolean(), fc.nat(1 << 21), fc.array(fc.nat(254), { maxLength: 100 }), (plus, size, lengths) => {
        const reply = new ReplyBuffer(4096);
        const writer = new DirentWriter(reply, size, plus);
        for (const length of lengths) {
          const name = 'n'.repeat(length + 1);
          if (!writer.fits(name)) break;
          writer.add(name, { high: 0, low: 1 }, 8, 1, null);
        }
        writer.finish(1, 0);
        expect(reply.length).toBeLessThanOrEqual(Math.min(4096, 16 + size));
      }),
    );
  });
});

describe('numbers', () => {
  it('st_ino is the last eight bytes of the gfid', () => {
    expect(inodeNumber(gfid)).toEqual({ high: 0x87060504, low: 0x03020100 });
    expect(inodeNumber('00000000-0000-0000-0000-000000000001' as Gfid)).toEqual({ high: 0, low: 1 });
    expect(shortInodeNumber(gfid)).toEqual({ high: 0, low: (0x87060504 ^ 0x03020100) >>> 0 });
  });

  it('devices go forth and back', () => {
    fc.assert(
      fc.property(fc.nat(0xfff), fc.nat(0xfffff), (major, minor) => {
        expect(decodeDevice(encodeDevice(major, minor))).toEqual({ major, minor });
      }),
    );
  });
});

describe('INIT', () => {
  const wishes = {
    maxWrite: 1 << 20,
    maxReadahead: 1 << 20,
    maxBackground: 64,
    congestionThreshold: 48,
    timeGranularity: 1,
    writebackCache: false,
    readdirplus: true,
    autoInvalidation: true,
    acl: false,
  };
  const init = { major: 7, minor: 45, maxReadahead: 131072, flags: 0x73fffffb, flags2: 0x5fd };

  it('takes what both want and nothing else', () => {
    const agreed = negotiate(init, wishes);
    if (!agreed || agreed === 'renegotiate') throw new Error('no agreement');
    expect(agreed.flags & ~init.flags).toBe(0);
    expect(agreed.flags & (InitFlag.writebackCache | InitFlag.posixAcl | InitFlag.dontMask)).toBe(0);
    expect(agreed.flags & InitFlag.handleKillPrivilegesV2).not.toBe(0);
    const reply = new ReplyBuffer(4096);
    putInit(reply, 1, 0, agreed, wishes);
    const b = reply.bytes;
    expect([reply.length, b.readUInt32LE(16), b.readUInt32LE(20)]).toEqual([80, 7, 45]);
    expect([b.readUInt16LE(32), b.readUInt16LE(34), b.readUInt32LE(36)]).toEqual([64, 48, 1 << 20]);
    expect([b.readUInt32LE(40), b.readUInt16LE(44)]).toEqual([1, 256]);
  });

  it('takes other capabilities for what is no file system', () => {
    const instead = { flags: InitFlag.asyncDirectIo | InitFlag.initExtended, flags2: InitFlag2.hasResend };
    const newer = { ...init, flags: -1 >>> 0, flags2: -1 >>> 0 };
    const other = { ...wishes, autoInvalidation: false, readdirplus: false, instead };
    expect(negotiate(newer, other)).toMatchObject(instead);
    expect(negotiate({ ...newer, flags2: 0 }, other)).toMatchObject({ flags2: 0 });
    expect(negotiate(newer, wishes)).not.toMatchObject({ flags2: InitFlag2.hasResend });
  });

  it('speaks the older version when the kernel is older, ours when it is newer', () => {
    expect(negotiate({ ...init, minor: 31 }, wishes)).toMatchObject({ minor: 31 });
    expect(negotiate({ ...init, minor: 99 }, wishes)).toMatchObject({ minor: 45 });
    expect(negotiate({ ...init, major: 8 }, wishes)).toBe('renegotiate');
    expect(negotiate({ ...init, minor: 30 }, wishes)).toBeUndefined();
  });
});

describe('notifications', () => {
  it('have the layouts of the kernel', () => {
    const inode = invalidateInode(5, -1, 0);
    expect([inode.length, inode.readUInt32LE(0), inode.readInt32LE(4)]).toEqual([40, 40, 2]);
    expect([inode.readBigUInt64LE(16), inode.readBigInt64LE(24)]).toEqual([5n, -1n]);
    const entry = invalidateEntry(5, 'ab', true);
    expect([entry.length, entry.readInt32LE(4), entry.readUInt32LE(24), entry.readUInt32LE(28)]).toEqual([35, 3, 2, 1]);
    const gone = deletedEntry(5, 6, 'ab');
    expect([gone.length, gone.readInt32LE(4), gone.readBigUInt64LE(24)]).toEqual([43, 6, 6n]);
    expect(gone.toString('latin1', 40)).toBe('ab\0');
    expect([resend().length, resend().readUInt32LE(0), resend().readInt32LE(4)]).toEqual([16, 16, 7]);
    expect(resend().readBigUInt64LE(8)).toBe(0n);
  });
});
