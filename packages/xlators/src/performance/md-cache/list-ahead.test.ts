import {
  type Args,
  type Dirent,
  Errno,
  emptyIatt,
  FileType,
  fail,
  type Gfid,
  InodeTable,
  locAt,
  type Reply,
  rootGfid,
} from '@mortar/core';
import * as fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { rig, rigCall, rigServices, settle } from '../../lib/translator-rig.ts';
import { Credit, missesBefore, perHit, trust } from './credit.ts';
import { xlator } from './index.ts';

const call = { ...rigCall('client'), uid: 1000, gid: 100, groups: [7] };

const gfidOf = (i: number) => `11111111-1111-4111-8111-${String(i).padStart(12, '0')}` as Gfid;
const nameOf = (i: number) => `f${i}`;
const numberOf = (name: string) => Number(name.slice(1));
const iattOf = (i: number) => ({
  ...emptyIatt(gfidOf(i), FileType.regular),
  mode: 0o644,
  nlink: 1,
  ctime: 1,
  mtime: 1,
});
const rootIatt = { ...emptyIatt(rootGfid, FileType.directory), nlink: 2, ctime: 1 };
const entryOf = (i: number): Dirent => ({
  name: nameOf(i),
  gfid: gfidOf(i),
  type: 8,
  offset: i + 1,
  iatt: iattOf(i),
  xattrs: {},
});

let r: Awaited<ReturnType<typeof rig>>;
let files: number;
let pageEntries: number;
let unlistable: boolean;

async function setUp(options: Record<string, string> = {}): Promise<void> {
  r = await rig(xlator, options, { ...rigServices(), inodes: new InodeTable() });
  r.child.answers = {
    lookup: async (_call, { loc }) => {
      const i = numberOf(loc.name!);
      if (i >= files) return fail(Errno.ENOENT);
      return { ok: true, iatt: iattOf(i), postParent: rootIatt, xattrs: {} };
    },
    opendir: async () => (unlistable ? fail(Errno.EACCES) : { ok: true }),
    readdirp: async (_call, { offset }: Args<'readdirp'>): Promise<Reply<'readdirp'>> => {
      const until = Math.min(files, offset + pageEntries);
      const entries = Array.from({ length: until - offset }, (_, i) => entryOf(offset + i));
      return { ok: true, entries, end: until === files };
    },
  };
}

const asked = (fop: string) => r.child.calls.filter((one) => one.fop === fop).length;
/** As a mount does it: with a gfid for a file that has none. */
async function lookup(i: number): Promise<Reply<'lookup'>> {
  const reply = await r.xlator.ops.lookup(call, { loc: locAt(rootGfid, nameOf(i)), gfid: gfidOf(999_999) });
  await settle();
  return reply;
}

beforeEach(async () => {
  files = 60;
  pageEntries = 50;
  unlistable = false;
  await setUp();
});

describe('names looked up one after the other', () => {
  it('are answered from a listing after the first', async () => {
    for (let i = 0; i < files; i++) {
      const reply = await lookup(i);
      expect(reply.ok && reply.iatt).toEqual(iattOf(i));
    }
    expect(asked('lookup')).toBe(missesBefore);
    expect(asked('opendir')).toBe(1);
    expect(asked('readdirp')).toBe(2);
  });

  it('are asked for again when what was listed has timed out', async () => {
    for (let i = 0; i < files; i++) await lookup(i);
    await r.services.clock.advance(1001);
    for (let i = 0; i < files; i++) await lookup(i);
    expect(asked('lookup')).toBe(2 * missesBefore);
    expect(asked('opendir')).toBe(2);
  });

  it('are asked for when a brick has told of a change since', async () => {
    for (let i = 0; i < 10; i++) await lookup(i);
    const before = asked('lookup');
    r.xlator.notify({ type: 'upcall', gfid: gfidOf(20), what: 'metadata' }, null);
    await lookup(20);
    await lookup(21);
    expect(asked('lookup')).toBe(before + 1);
  });

  it('are not answered from a listing that was overtaken by a change of this client', async () => {
    let go: (() => void) | undefined;
    const { readdirp } = r.child.answers;
    r.child.answers.readdirp = async (...args) => {
      const reply = await readdirp!(...args);
      await new Promise<void>((resolve) => (go = resolve));
      return reply;
    };
    for (let i = 0; i < missesBefore; i++) await lookup(i);
    const parents = { preParent: rootIatt, postParent: rootIatt };
    r.child.answers.unlink = async () => ({ ok: true, ...parents });
    await r.xlator.ops.unlink(call, { loc: locAt(rootGfid, nameOf(20), gfidOf(20)) });
    files = 20;
    go!();
    await settle();
    expect(await lookup(20)).toEqual(fail(Errno.ENOENT));
  });

  it('are listed as the one who looks them up', async () => {
    for (let i = 0; i < 10; i++) await lookup(i);
    const listed = r.child.calls.find((one) => one.fop === 'opendir')!;
    expect(listed.call).toMatchObject({ uid: 1000, gid: 100, groups: [7] });
    expect(listed.call.deadlineMs).toBeUndefined();
  });

  it('are asked for one by one where they may not be listed', async () => {
    unlistable = true;
    for (let i = 0; i < 20; i++) expect((await lookup(i)).ok).toBe(true);
    expect(asked('lookup')).toBe(20);
    expect(asked('opendir')).toBe(1);
    expect(asked('readdirp')).toBe(0);
  });

  it.each([{ 'list-ahead': 'off' }, { 'md-cache-timeout': '0' }, { 'pass-through': 'on' }])(
    'are asked for one by one with %j',
    async (options) => {
      await setUp(options);
      for (let i = 0; i < 20; i++) await lookup(i);
      expect(asked('lookup')).toBe(20);
      expect(asked('opendir')).toBe(0);
    },
  );

  it('do not count where they are not there', async () => {
    files = 0;
    for (let i = 0; i < 20; i++) await lookup(i);
    expect(asked('opendir')).toBe(0);
  });
});

describe('a large directory', () => {
  beforeEach(() => {
    files = 100_000;
  });

  it('is not listed on for who wants a few of its names', async () => {
    for (let i = 0; i < 5; i++) await lookup(files - 1 - i);
    expect(asked('readdirp') * pageEntries).toBeLessThan(trust + pageEntries + 5 * perHit);
  });

  it('is listed on while its names are wanted', async () => {
    for (let i = 0; i < 2000; i++) await lookup(i);
    expect(asked('lookup')).toBeLessThan(20);
  });

  it('is asked for less of when it is listed again for who goes on, in whatever order', async () => {
    files = 1500;
    // Each name once, since 611 has no factor in common with 1500.
    const walk = async () => {
      const before = asked('lookup');
      for (let i = 0; i < files; i++) await lookup((i * 611) % files);
      return asked('lookup') - before;
    };
    const first = await walk();
    await r.services.clock.advance(1001);
    expect(await walk()).toBeLessThan(first / 3);
  });

  it.each([
    ['nobody wants more of it', () => r.services.clock.advance(1500)],
    ['a brick goes', async () => r.xlator.notify({ type: 'child-down' }, r.child)],
    ['the graph ends', () => r.xlator.fini()],
  ])('is closed when %s', async (_when, end) => {
    let open = 0;
    r.child.answers.opendir = async (_call, { fd }) => {
      open++;
      fd.onRelease(() => open--);
      return { ok: true };
    };
    for (let i = 0; i < 5; i++) await lookup(files - 1 - i);
    expect(open).toBe(1);
    await end();
    expect(open).toBe(0);
  });
});

describe('a subvolume that throws while it is listed', () => {
  it.each(['opendir', 'readdirp'] as const)('leaves nothing open, and names are looked up on: %s', async (fop) => {
    let open = 0;
    r.child.answers.opendir = async (_call, { fd }) => {
      open++;
      fd.onRelease(() => open--);
      if (fop === 'opendir') throw new Error('a bug below');
      return { ok: true };
    };
    r.child.answers.readdirp = async () => {
      throw new Error('a bug below');
    };
    for (let i = 0; i < files; i++) expect((await lookup(i)).ok).toBe(true);
    expect(asked(fop)).toBeGreaterThan(0);
    expect(open).toBe(0);
    expect(r.services.lines.map(({ level, text }) => [level, text])).toContainEqual([
      'ERROR',
      expect.stringContaining('a bug below'),
    ]);
  });

  it('keeps none of the listings that there may be at a time', async () => {
    const { readdirp } = r.child.answers;
    const gfidOfDirectory = (i: number) => gfidOf(1000 + i);
    r.child.answers.readdirp = async (one, args) => {
      if (args.fd.gfid !== rootGfid) throw new Error('a bug below');
      return readdirp!(one, args);
    };
    for (let directory = 0; directory < 20; directory++)
      for (let i = 0; i < missesBefore; i++) {
        await r.xlator.ops.lookup(call, { loc: locAt(gfidOfDirectory(directory), nameOf(i)), gfid: gfidOf(999_999) });
        await settle();
      }
    expect(asked('readdirp')).toBe(20);
    for (let i = 0; i < files; i++) await lookup(i);
    expect(asked('readdirp')).toBe(22);
  });
});

describe('credit', () => {
  it('lists ever less often what nobody asks for', () => {
    const credit = new Credit();
    let listings = 0;
    for (let nowMs = 0; nowMs < 3_600_000; nowMs += 100) {
      if (!credit.missed(nowMs, 1000)) continue;
      listings++;
      credit.begin(nowMs);
      credit.spend(trust);
    }
    expect(listings).toBeLessThan(25);
  });

  it('trusts who used the last listing with half of it, and nobody who did not', () => {
    const credit = new Credit();
    const listing = (nowMs: number, used: number) => {
      for (let i = 0; i < missesBefore; i++) credit.missed(nowMs, 1000);
      credit.begin(nowMs);
      let listed = 0;
      for (; credit.isLeft && listed < 2000; listed++) credit.spend(1);
      for (let i = 0; i < used; i++) credit.earn();
      for (; credit.isLeft && listed < 2000; listed++) credit.spend(1);
      return listed;
    };
    expect(listing(0, 1500)).toBe(2000);
    expect(listing(2000, 0)).toBe(1000);
    expect(listing(8000, 0)).toBe(trust);
  });

  it('goes on as long as what it lists is worth it, and no longer', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(300), fc.nat(100))), (steps) => {
        const credit = new Credit();
        for (let i = 0; i < missesBefore; i++) credit.missed(0, 1000);
        credit.begin(0);
        let listed = 0;
        let hits = 0;
        for (const [entries, used] of steps) {
          if (credit.isLeft) {
            credit.spend(entries);
            listed += entries;
          }
          for (let i = 0; i < used; i++) credit.earn();
          hits += used;
          expect(listed).toBeLessThan(trust + hits * perHit + 300);
        }
      }),
    );
  });
});
