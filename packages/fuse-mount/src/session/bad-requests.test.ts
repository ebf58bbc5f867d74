/** What no kernel should ever ask: each gets its errno, and the session lives. */
import { Errno, errnoName } from '@mortar/core';
import { settle } from '@mortar/xlators/lib/translator-rig.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type OpName, opcodes } from '../protocol/index.ts';
import { mounted, type SessionRig, text, u32, u64 } from './session-rig.ts';

const big = 2n ** 63n;
const raw64 = (...values: bigint[]) => Buffer.from(new BigUint64Array(values).buffer);
const zeros = (bytes: number) => Buffer.alloc(bytes);

interface Open {
  node: number;
  fh: number;
  dir: number;
}

/** Each with the parts of its body, of a file `a` (node, fh) and an open root (dir). */
const requests: [string, OpName, (open: Open) => { node?: number; parts: Buffer[] }, Errno][] = [
  [
    'a read behind 2^63',
    'read',
    ({ node, fh }) => ({ node, parts: [u64(fh), raw64(big), u32(4096, 0), zeros(16)] }),
    Errno.EFBIG,
  ],
  [
    'a write behind 2^63',
    'write',
    ({ node, fh }) => ({ node, parts: [u64(fh), raw64(big), u32(1, 0), u64(0), u32(2, 0), Buffer.from('x')] }),
    Errno.EFBIG,
  ],
  [
    'a write that ends behind 2^53',
    'write',
    ({ node, fh }) => ({
      node,
      parts: [u64(fh), raw64(2n ** 53n - 1n), u32(1, 0), u64(0), u32(2, 0), Buffer.from('x')],
    }),
    Errno.EFBIG,
  ],
  [
    'a write that is shorter than it says',
    'write',
    ({ node, fh }) => ({ node, parts: [u64(fh, 0), u32(9, 0), u64(0), u32(2, 0), Buffer.from('x')] }),
    Errno.EINVAL,
  ],
  [
    'a size behind 2^53',
    'setattr',
    ({ node }) => ({ node, parts: [u32(8, 0), u64(0), raw64(2n ** 60n), zeros(64)] }),
    Errno.EFBIG,
  ],
  [
    'a nanosecond beyond its second',
    'setattr',
    ({ node }) => ({ node, parts: [u32(16, 0), zeros(48), u32(1_000_000_000), zeros(28)] }),
    Errno.EINVAL,
  ],
  [
    'fallocate behind 2^53',
    'fallocate',
    ({ node, fh }) => ({ node, parts: [u64(fh), raw64(2n ** 53n - 2n, 100n), u32(0, 0)] }),
    Errno.EFBIG,
  ],
  [
    'fallocate in a mode of nobody',
    'fallocate',
    ({ node, fh }) => ({ node, parts: [u64(fh, 0, 10), u32(0x4000, 0)] }),
    Errno.EOPNOTSUPP,
  ],
  [
    'lseek from behind 2^63',
    'lseek',
    ({ node, fh }) => ({ node, parts: [u64(fh), raw64(big), u32(3, 0)] }),
    Errno.ENXIO,
  ],
  ['lseek of a kind of nobody', 'lseek', ({ node, fh }) => ({ node, parts: [u64(fh, 0), u32(9, 0)] }), Errno.EINVAL],
  [
    'a copy with flags',
    'copyFileRange',
    ({ node, fh }) => ({ node, parts: [u64(fh, 0, node, fh, 0, 1), u64(1)] }),
    Errno.EINVAL,
  ],
  [
    'a copy to behind 2^63',
    'copyFileRange',
    ({ node, fh }) => ({ node, parts: [u64(fh, 0, node, fh), raw64(big), u64(1, 0)] }),
    Errno.EFBIG,
  ],
  [
    'a listing from behind 2^63',
    'readdir',
    ({ dir }) => ({ node: 1, parts: [u64(dir), raw64(big), u32(4096, 0), zeros(16)] }),
    Errno.EINVAL,
  ],
  [
    'a listing of a file',
    'readdir',
    ({ node, fh }) => ({ node, parts: [u64(fh, 0), u32(4096, 0), zeros(16)] }),
    Errno.ENOTDIR,
  ],
  [
    'a lock of a type of nobody',
    'setlk',
    ({ node, fh }) => ({ node, parts: [u64(fh, 1, 0, 9), u32(7, 1, 0, 0)] }),
    Errno.EINVAL,
  ],
  [
    'a lock that ends before it begins',
    'setlk',
    ({ node, fh }) => ({ node, parts: [u64(fh, 1, 9, 0), u32(1, 1, 0, 0)] }),
    Errno.EINVAL,
  ],
  [
    'a lock behind 2^63',
    'setlk',
    ({ node, fh }) => ({ node, parts: [u64(fh, 1), raw64(big, big + 5n), u32(1, 1, 0, 0)] }),
    Errno.EINVAL,
  ],
  [
    'a value of 65537 bytes',
    'setxattr',
    ({ node }) => ({ node, parts: [u32(65_537, 0, 0, 0), text('user.a'), zeros(65_537)] }),
    Errno.E2BIG,
  ],
  [
    'an attribute without a name',
    'setxattr',
    ({ node }) => ({ node, parts: [u32(1, 0, 0, 0), text(''), zeros(1)] }),
    Errno.EINVAL,
  ],
  [
    'an attribute of a name of 256 bytes',
    'setxattr',
    ({ node }) => ({ node, parts: [u32(1, 0, 0, 0), text(`user.${'n'.repeat(251)}`), zeros(1)] }),
    Errno.ERANGE,
  ],
  [
    'a rename with flags of nobody',
    'rename2',
    () => ({ node: 1, parts: [u64(1), u32(8, 0), text('a', 'b')] }),
    Errno.EINVAL,
  ],
  [
    'a rename into a node of nobody',
    'rename2',
    () => ({ node: 1, parts: [u64(99), u32(0, 0), text('a', 'b')] }),
    Errno.ESTALE,
  ],
  ['a link of a node of nobody', 'link', () => ({ node: 1, parts: [u64(99), text('b')] }), Errno.ESTALE],
  ['mknod of a directory', 'mknod', () => ({ node: 1, parts: [u32(0o040755, 0, 0, 0), text('d')] }), Errno.EINVAL],
  ['a symlink of 4096 bytes', 'symlink', () => ({ node: 1, parts: [text('l', 'x'.repeat(4096))] }), Errno.ENAMETOOLONG],
];

/** Bodies of requests about a name in the root. */
const named: Partial<Record<OpName, (name: string) => Buffer[]>> = {
  lookup: (name) => [text(name)],
  mkdir: (name) => [u32(0o755, 0), text(name)],
  mknod: (name) => [u32(0o100644, 0, 0, 0), text(name)],
  symlink: (name) => [text(name, 'x')],
  unlink: (name) => [text(name)],
  rmdir: (name) => [text(name)],
  rename2: (name) => [u64(1), u32(0, 0), text('a', name)],
  rename: (name) => [u64(1), text(name, 'b')],
  create: (name) => [u32(0o102, 0o644, 0, 0), text(name)],
};

/** Bodies that are long enough for any request, with a handle in front. */
const handled: readonly OpName[] = [
  'read',
  'flush',
  'release',
  'fsync',
  'fsyncdir',
  'readdir',
  'readdirplus',
  'releasedir',
  'getlk',
  'setlk',
  'setlkw',
  'fallocate',
  'lseek',
  'copyFileRange',
];

async function opened(rig: SessionRig): Promise<Open> {
  const { node, fh } = await rig.create('a');
  const dir = Number((await rig.expect('opendir', 1, u32(0, 0))).readBigUInt64LE(0));
  return { node, fh, dir };
}

async function lives(rig: SessionRig): Promise<void> {
  const { node, fh } = await rig.create('after');
  await rig.write(fh, node, 'alive');
  expect((await rig.read(fh, node)).body.toString()).toBe('alive');
  expect(rig.session.stats).toMatchObject({ exceptions: 0, inFlight: 0 });
}

const named256 = 'n'.repeat(256);

describe('a request that cannot be', () => {
  it.each(requests)('%s', async (_what, op, make, errno) => {
    const { rig } = mounted();
    const { node = 1, parts } = make(await opened(rig));
    expect(errnoName((await rig.ask(op, node, ...parts)).errno)).toBe(errnoName(errno));
    await lives(rig);
  });

  it.each(Object.keys(named) as OpName[])('%s of a name that is none', async (op) => {
    const { rig } = mounted();
    await opened(rig);
    const errnos = async (names: string[]) => {
      const answers = await Promise.all(names.map((name) => rig.ask(op, 1, ...named[op]!(name))));
      return new Set(answers.map(({ errno }) => errnoName(errno)));
    };
    expect(await errnos(['a/b', '/', '', ...(op === 'lookup' ? [] : ['.', '..'])])).toEqual(new Set(['EINVAL']));
    expect(await errnos([named256])).toEqual(new Set(['ENAMETOOLONG']));
    await lives(rig);
  });

  it.each(handled)('%s of a handle that is none', async (op) => {
    const { rig } = mounted();
    const { node } = await opened(rig);
    for (const fh of [0n, 77n, 2n ** 53n, 2n ** 64n - 1n])
      expect(errnoName((await rig.ask(op, node, raw64(fh), zeros(64))).errno)).toBe('EBADF');
    await lives(rig);
  });

  it('of any operation with the numbers at the ends', async () => {
    // Two GiB of memory are no error, but too much for a test.
    const ops = (Object.keys(opcodes) as OpName[]).filter((op) => op !== 'fallocate');
    const silent = new Set<OpName>(['forget', 'batchForget', 'interrupt', 'notifyReply', 'setlkw', 'init']);
    const ends = [
      0n,
      1n,
      2n,
      3n,
      2n ** 31n,
      2n ** 32n - 1n,
      2n ** 53n - 1n,
      2n ** 53n,
      2n ** 63n - 1n,
      2n ** 63n,
      2n ** 64n - 1n,
    ];
    const field = fc.constantFrom(...ends);
    const tail = fc.constantFrom('', 'a\0', 'a\0b\0', `${'n'.repeat(255)}\0`, 'user.x\0value', '/\0', '\0\0');
    const request = fc.tuple(
      fc.constantFrom(...ops),
      fc.constantFrom(0, 1, 2, 3),
      fc.array(field, { maxLength: 11 }),
      tail,
    );
    await fc.assert(
      fc.asyncProperty(fc.array(request, { minLength: 1, maxLength: 12 }), async (list) => {
        const { rig } = mounted();
        await opened(rig);
        const sent = list
          .filter(([op]) => op !== 'init')
          .map(([op, node, fields, end]) => ({
            op,
            unique: rig.send(op, node, raw64(...fields), Buffer.from(end, 'latin1')),
          }));
        for (let i = 0; i < 4; i++) await settle();
        for (const { op, unique } of sent) {
          if (silent.has(op)) continue;
          const answer = rig.answerTo(unique);
          expect(answer, op).toBeDefined();
          if (answer!.errno !== 0) expect(errnoName(answer!.errno), op).not.toMatch(/^(EIO|errno )/);
        }
        expect(rig.session.stats).toMatchObject({ exceptions: 0 });
      }),
      { numRuns: 400 },
    );
  }, 120_000);
});
