import { Errno, emptyIatt, Fd, type Gfid, locAt, locOf, parseOptions, rootGfid } from '@mortar/core';
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { asked, type CacheRig, cacheRig, call, gfid } from '../../lib/data-cache/rig.ts';
import { xlator } from './index.ts';

const [O_RDONLY, O_RDWR, O_CREAT, O_EXCL, O_TRUNC, O_DIRECT] = [0, 2, 0o100, 0o200, 0o1000, 0o40000];

const stack = (options: Record<string, string> = {}) => cacheRig(xlator, options);

async function open(s: CacheRig, flags = O_RDONLY): Promise<Fd> {
  const fd = new Fd(gfid, flags);
  const reply = await s.ops.open(call, { loc: locOf(gfid), flags, fd });
  expect(reply).toMatchObject({ ok: true });
  expect(reply).not.toHaveProperty('data');
  return fd;
}

async function read(s: CacheRig, fd: Fd, size = 65536, offset = 0): Promise<string> {
  const reply = await s.ops.readv(call, { fd, offset, size });
  if (!reply.ok) throw new Error(`readv: ${reply.errno}`);
  return Buffer.from(reply.data).toString('latin1');
}

let s: CacheRig;
beforeEach(() => {
  s = stack();
  s.model.set(Buffer.from('0123456789'));
});

describe('a small file', () => {
  it('comes with its open, and is read from that, to its end', async () => {
    const fd = await open(s);
    expect([await read(s, fd), await read(s, fd, 3, 4), await read(s, fd, 5, 8), await read(s, fd, 5, 20)]).toEqual([
      '0123456789',
      '456',
      '89',
      '',
    ]);
    expect([asked(s, 'open'), asked(s, 'readv'), asked(s, 'fstat')]).toEqual([1, 0, 0]);
  });

  it('comes once: the next open only says whether it is still the same', async () => {
    await open(s);
    await s.services.clock.advance(5000);
    const fd = await open(s);
    expect(await read(s, fd)).toBe('0123456789');
    const contents = s.child.calls
      .filter(({ fop }) => fop === 'open')
      .map(({ args }) => (args as { contents?: number }).contents);
    expect(contents).toEqual([65536, undefined]);
    expect(asked(s, 'readv')).toBe(0);
  });

  it.each([
    ['has told', true],
    ['could not tell', false],
  ])('is what the latest open %s, also when an earlier one is answered after it', async (_name, isTold) => {
    const { open: answer } = s.model.answers;
    let arrive = () => {};
    s.child.answers.open = async (...args) => {
      const reply = await answer!(...args);
      await new Promise<void>((resolve) => {
        arrive = resolve;
      });
      return reply;
    };
    const early = open(s);
    s.child.answers.open = answer!;
    s.model.agrees = isTold;
    s.model.set(Buffer.from('another'));
    const fd = await open(s);
    arrive();
    await early;
    expect(await read(s, fd)).toBe('another');
  });

  it('is read from below where the open shows that it was changed, or cannot tell', async () => {
    await open(s);
    s.model.set(Buffer.from('changed'));
    expect(await read(s, await open(s))).toBe('changed');
    expect(asked(s, 'readv')).toBe(1);
    await open(s);
    s.model.agrees = false;
    s.model.set(Buffer.from('again'));
    expect(await read(s, await open(s))).toBe('again');
  });

  it('is read from below when its time is over', async () => {
    const fd = await open(s);
    await s.services.clock.advance(1000);
    s.model.set(Buffer.from('later'));
    expect(await read(s, fd)).toBe('later');
    expect([asked(s, 'readv'), asked(s, 'fstat')]).toEqual([1, 0]);
  });

  it('is given up when a brick tells of a change, or the connection was lost', async () => {
    const fd = await open(s);
    s.model.set(Buffer.from('new'));
    s.caches[0]!.notify({ type: 'upcall', gfid, what: 'data' }, s.child);
    expect(await read(s, fd)).toBe('new');
    const again = await open(s);
    s.model.set(Buffer.from('newer'));
    s.caches[0]!.notify({ type: 'child-down' }, s.child);
    s.caches[0]!.notify({ type: 'child-up' }, s.child);
    expect(await read(s, again)).toBe('newer');
  });

  it('is not asked for by who writes, or reads past caches, nor beyond the size', async () => {
    await open(s, O_RDWR);
    await open(s, O_DIRECT);
    s.caches[0]!.reconfigure({ ...parseOptions(xlator.options, new Map([['max-file-size', '0']])).values });
    await open(s);
    expect(s.child.calls.map(({ args }) => (args as { contents?: number }).contents)).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });

  it('is given up when a create by name empties it, and only it', async () => {
    const other = '22222222-2222-4222-8222-222222222222' as Gfid;
    const making = (found: Gfid, flags: number) => {
      const iatts = { preParent: emptyIatt(rootGfid), postParent: emptyIatt(rootGfid) };
      s.child.answers.create = async () => ({ ok: true, iatt: { ...s.model.iatt(), gfid: found }, ...iatts });
      const proposed = '33333333-3333-4333-8333-333333333333' as Gfid;
      const args = { loc: locAt(rootGfid, 'f'), mode: 0o644, gfid: proposed, fd: new Fd(proposed, flags) };
      return s.ops.create(call, { ...args, flags });
    };
    const fd = await open(s);
    await making(other, O_CREAT | O_TRUNC | O_RDWR);
    await making(gfid, O_CREAT | O_EXCL | O_TRUNC | O_RDWR);
    expect(await read(s, fd)).toBe('0123456789');
    expect(asked(s, 'readv')).toBe(0);
    s.model.set(Buffer.alloc(0));
    await making(gfid, O_CREAT | O_TRUNC | O_RDWR);
    expect(await read(s, fd)).toBe('');
  });

  it('comes also while other files are made and changed', async () => {
    const other = '22222222-2222-4222-8222-222222222222' as Gfid;
    s.services.inodes.get(other);
    const { open: answer } = s.model.answers;
    s.child.answers.open = async (...args) => {
      s.caches[0]!.notify({ type: 'upcall', gfid: other, what: 'data' }, s.child);
      return answer!(...args);
    };
    expect(await read(s, await open(s))).toBe('0123456789');
    expect(asked(s, 'readv')).toBe(0);
  });

  it('is doubted when a create by name fails, which may have emptied it', async () => {
    const fd = await open(s);
    s.child.answers.create = async () => ({ ok: false, errno: Errno.ENOTCONN });
    s.model.set(Buffer.alloc(0));
    const args = { loc: locAt(rootGfid, 'f'), mode: 0o644, gfid, fd: new Fd(gfid, O_RDWR) };
    await s.ops.create(call, { ...args, flags: O_CREAT | O_TRUNC | O_RDWR });
    expect(await read(s, fd)).toBe('');
  });

  it('stays for who asked for it above', async () => {
    const reply = await s.ops.open(call, { loc: locOf(gfid), flags: 0, fd: new Fd(gfid, 0), contents: 100 });
    expect(reply.ok && Buffer.from(reply.data!).toString()).toBe('0123456789');
  });

  it('shows what it is by how long ago it was asked for', async () => {
    const fd = await open(s);
    await s.services.clock.advance(300);
    expect(await s.ops.readv(call, { fd, offset: 0, size: 10 })).toMatchObject({ xdata: { ageMs: 300 } });
  });

  it('stays within the bytes of all', async () => {
    const tight = stack({ 'cache-size': '100KB', 'max-file-size': '64KB' });
    tight.model.set(Buffer.alloc(60_000, 'x'));
    for (let i = 0; i < 5; i++) {
      const other = `11111111-1111-4111-8111-11111111111${i}` as Gfid;
      tight.child.answers.open = async () => ({
        ok: true,
        iatt: { ...tight.model.iatt(), gfid: other },
        data: Buffer.from(tight.model.data),
      });
      await tight.ops.open(call, { loc: locOf(other), flags: 0, fd: new Fd(other, 0) });
    }
    const { cache_used: used } = tight.caches[0]!.dump() as { cache_used: number };
    expect(used).toBeGreaterThan(50_000);
    expect(used).toBeLessThanOrEqual(100 * 1024);
  });
});

describe('what is read after an open', () => {
  const action = fc.oneof(
    fc.record({
      what: fc.constant('open' as const),
      flags: fc.constantFrom(O_RDONLY, O_RDONLY, O_RDWR, O_RDWR | O_TRUNC),
    }),
    fc.record({ what: fc.constant('read' as const), offset: fc.nat(30), size: fc.integer({ min: 1, max: 30 }) }),
    fc.record({ what: fc.constant('write' as const), offset: fc.nat(30), byte: fc.nat(255) }),
    fc.record({ what: fc.constant('truncate' as const), size: fc.nat(30) }),
    fc.record({ what: fc.constant('elsewhere' as const), offset: fc.nat(30), byte: fc.nat(255) }),
    fc.record({ what: fc.constant('disagree' as const), agrees: fc.boolean() }),
    fc.record({ what: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 900 }) }),
  );

  it('is all that was written here, and elsewhere before the open or longer than the timeout ago', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 60, size: 'max' }), async (actions) => {
        const one = stack();
        let fd: Fd | undefined;
        // What others wrote since then may be shown or not.
        let past: { data: Buffer; atMs: number }[] = [];
        const { clock } = one.services;
        const note = () => past.push({ data: Buffer.from(one.model.data), atMs: clock.nowMs() });
        note();
        for (const act of actions) {
          if (act.what === 'open') {
            fd = await open(one, act.flags);
            past = [];
            note();
          } else if (act.what === 'read' && fd) {
            const found = Buffer.from(await read(one, fd, act.size, act.offset), 'latin1');
            // Of each version the time until which it was the last.
            const allowed = past.filter((_, i) => i === past.length - 1 || clock.nowMs() - past[i + 1]!.atMs < 1000);
            const slices = allowed.map(({ data }) => data.subarray(act.offset, act.offset + act.size));
            expect(slices.some((slice) => slice.equals(found))).toBe(true);
          } else if (act.what === 'write' && fd) {
            await one.ops.writev(call, { fd, offset: act.offset, data: Buffer.alloc(3, act.byte) });
            past = [];
            note();
          } else if (act.what === 'truncate' && fd) {
            await one.ops.ftruncate(call, { fd, size: act.size });
            past = [];
            note();
          } else if (act.what === 'elsewhere') {
            one.model.write(act.offset, Buffer.alloc(3, act.byte));
            note();
          } else if (act.what === 'disagree') one.model.agrees = act.agrees;
          else if (act.what === 'wait') await clock.advance(act.ms);
        }
      }),
      { numRuns: 500 },
    );
  });
});
