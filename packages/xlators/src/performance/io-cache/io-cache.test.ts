import { emptyIatt, Fd, locOf, rootGfid } from '@mortar/core';
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { asked, type CacheRig, cacheRig, call, gfid } from '../../lib/data-cache/rig.ts';
import { rig } from '../../lib/translator-rig.ts';
import { xlator } from './index.ts';

const page = 4096;

const stack = (count: number, options: Record<string, string> = {}) =>
  cacheRig(xlator, { 'page-size': `${page}`, 'cache-size': '4MB', ...options }, count);

async function read(s: CacheRig, offset: number, size: number): Promise<string> {
  const reply = await s.ops.readv(call, { fd: new Fd(gfid, 0), offset, size });
  if (!reply.ok) throw new Error(`readv: ${reply.errno}`);
  expect(reply.iatt.size).toBe(s.model.data.length);
  return Buffer.from(reply.data).toString('latin1');
}

let s: CacheRig;
beforeEach(() => {
  s = stack(1);
  s.model.write(0, Buffer.alloc(3 * page + 100, 'abcdefg'));
});

describe('what was read', () => {
  it('is not read again, but asked about after the timeout', async () => {
    const whole = s.model.data.toString('latin1');
    expect(await read(s, 10, 2 * page)).toBe(whole.slice(10, 10 + 2 * page));
    expect(await read(s, page, 5)).toBe(whole.slice(page, page + 5));
    expect([asked(s, 'readv'), asked(s, 'fstat')]).toEqual([1, 0]);
    await s.services.clock.advance(1000);
    await read(s, 0, 5);
    expect([asked(s, 'readv'), asked(s, 'fstat')]).toEqual([1, 1]);
  });

  it('ends where the file ends', async () => {
    expect((await read(s, 3 * page, page)).length).toBe(100);
    expect(await read(s, 3 * page + 100, 10)).toBe('');
    expect(await read(s, 10 * page, 10)).toBe('');
    expect((await read(s, 0, 100 * page)).length).toBe(3 * page + 100);
  });

  it('is given up when the file was changed, as attributes that pass by tell too', async () => {
    await read(s, 0, 10);
    s.model.write(0, Buffer.from('XX'));
    s.child.answers.lookup = async () => ({
      ok: true,
      iatt: s.model.iatt(),
      postParent: emptyIatt(rootGfid),
      xattrs: {},
    });
    await s.ops.lookup(call, { loc: locOf(gfid) });
    expect((await read(s, 0, 2)).slice(0, 2)).toBe('XX');
  });

  it('is given up when a brick tells of a change', async () => {
    await read(s, 0, 10);
    s.model.write(0, Buffer.from('XX'));
    s.caches[0]!.notify({ type: 'upcall', gfid, what: 'data' }, s.child);
    expect(await read(s, 0, 2)).toBe('XX');
  });

  it('is asked about by who has got a lock', async () => {
    s.child.answers.lk = async (_call, { flock }) => ({ ok: true, flock });
    const lk = (type: 'write' | 'unlock') => {
      const flock = { type, start: 0, length: 0, owner: 'o', pid: 1 };
      return s.ops.lk(call, { fd: new Fd(gfid, 0), command: 'set', flock });
    };
    await read(s, 0, 10);
    s.model.write(0, Buffer.from('ZZ'));
    await lk('write');
    expect(await read(s, 0, 2)).toBe('ZZ');
    const questions = asked(s, 'fstat');
    await lk('unlock');
    await read(s, 0, 2);
    expect(asked(s, 'fstat')).toBe(questions);
  });

  it('is asked about when the connection was lost', async () => {
    await read(s, 0, 10);
    s.model.write(0, Buffer.from('YY'));
    s.caches[0]!.notify({ type: 'child-down' }, s.child);
    s.caches[0]!.notify({ type: 'child-up' }, s.child);
    expect(await read(s, 0, 2)).toBe('YY');
  });

  it('is not taken from an answer that a write has overtaken', async () => {
    const { readv } = s.model.answers;
    let answer: (() => void) | undefined;
    s.child.answers.readv = async (...args) => {
      const reply = await readv!(...args);
      const copy = reply.ok ? { ...reply, data: Buffer.from(reply.data) } : reply;
      await new Promise<void>((resolve) => {
        answer = resolve;
      });
      return copy;
    };
    const slow = s.ops.readv(call, { fd: new Fd(gfid, 0), offset: 0, size: 2 });
    await s.services.clock.advance(0);
    await s.ops.writev(call, { fd: new Fd(gfid, 1), offset: 0, data: Buffer.from('ZZ') });
    s.child.answers.readv = readv!;
    answer!();
    const reply = await slow;
    expect(reply.ok && Buffer.from(reply.data).toString()).toBe('ZZ');
    expect(await read(s, 0, 2)).toBe('ZZ');
  });

  it('ends where the latest open has told, also when attributes of before arrive after it', async () => {
    const { fstat } = s.model.answers;
    let arrive = () => {};
    s.child.answers.fstat = async (...args) => {
      const reply = await fstat!(...args);
      await new Promise<void>((resolve) => {
        arrive = resolve;
      });
      return reply;
    };
    await read(s, 0, 10);
    const early = s.ops.fstat(call, { fd: new Fd(gfid, 0) });
    s.model.write(3 * page + 100, Buffer.alloc(page, 'x'));
    await s.ops.open(call, { loc: locOf(gfid), flags: 0, fd: new Fd(gfid, 0) });
    arrive();
    await early;
    expect(await read(s, 4 * page, 10)).toBe('xxxxxxxxxx');
  });

  it('is patched by an own write', async () => {
    await read(s, 0, 4 * page);
    await s.ops.writev(call, { fd: new Fd(gfid, 1), offset: page - 2, data: Buffer.from('1234') });
    expect(await read(s, page - 2, 4)).toBe('1234');
    await s.ops.writev(call, { fd: new Fd(gfid, 1), offset: 0, append: true, data: Buffer.from('tail') });
    expect((await read(s, 3 * page, page)).slice(-4)).toBe('tail');
    expect(asked(s, 'readv')).toBe(1);
  });

  it('is dropped by an own write when somebody else wrote before', async () => {
    await read(s, 0, 4 * page);
    s.model.write(5, Buffer.from('OTHER'));
    await s.ops.writev(call, { fd: new Fd(gfid, 1), offset: 0, data: Buffer.from('mine') });
    expect(await read(s, 0, 10)).toBe(s.model.data.subarray(0, 10).toString('latin1'));
  });

  it('stays within its bytes', async () => {
    s.model.write(0, Buffer.alloc(6 * 2 ** 20, 'x'));
    for (let at = 0; at < 6 * 2 ** 20; at += 2 ** 20) await read(s, at, 2 ** 20);
    const { cache_used: used } = s.caches[0]!.dump() as { cache_used: number };
    expect(used).toBeGreaterThan(3 * 2 ** 20);
    expect(used).toBeLessThanOrEqual(4 * 2 ** 20);
  });

  it('is not kept of files outside the sizes, with O_DIRECT, or when told to do nothing', async () => {
    const small: Record<string, string>[] = [
      { 'min-file-size': '1MB' },
      { 'max-file-size': '1KB' },
      { 'pass-through': 'on' },
    ];
    for (const options of small) {
      const one = stack(1, options);
      one.model.write(0, Buffer.alloc(8192, 'x'));
      await read(one, 0, 10);
      await read(one, 0, 10);
      expect(asked(one, 'readv')).toBe(2);
    }
    for (let i = 0; i < 2; i++) await s.ops.readv(call, { fd: new Fd(gfid, 0o40000), offset: 0, size: 10 });
    expect(asked(s, 'readv')).toBe(2);
  });
});

describe('two on top of each other', () => {
  const offset = fc.nat(5 * page);
  const action = fc.oneof(
    fc.record({ what: fc.constant('read' as const), offset, size: fc.integer({ min: 1, max: 3 * page }) }),
    fc.record({
      what: fc.constant('write' as const),
      offset,
      size: fc.integer({ min: 1, max: 2 * page }),
      byte: fc.nat(255),
    }),
    fc.record({ what: fc.constant('append' as const), size: fc.integer({ min: 1, max: page }), byte: fc.nat(255) }),
    fc.record({ what: fc.constant('truncate' as const), size: offset }),
    fc.record({ what: fc.constant('fallocate' as const), offset, size: fc.integer({ min: 1, max: page }) }),
    fc.record({
      what: fc.constant('elsewhere' as const),
      offset,
      size: fc.integer({ min: 1, max: page }),
      byte: fc.nat(255),
    }),
    fc.record({ what: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 900 }) }),
  );

  it('always show own changes, and those behind their back after their timeouts', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 40 }), async (actions) => {
        const two = stack(2);
        const fd = new Fd(gfid, 2);
        for (const one of actions) {
          if (one.what === 'read') {
            const reply = await two.ops.readv(call, { fd, offset: one.offset, size: one.size });
            const expected = two.model.data.subarray(one.offset, one.offset + one.size);
            expect(reply.ok && Buffer.compare(reply.data, expected)).toBe(0);
          } else if (one.what === 'write')
            await two.ops.writev(call, { fd, offset: one.offset, data: Buffer.alloc(one.size, one.byte) });
          else if (one.what === 'append')
            await two.ops.writev(call, { fd, offset: 0, append: true, data: Buffer.alloc(one.size, one.byte) });
          else if (one.what === 'truncate') await two.ops.ftruncate(call, { fd, size: one.size });
          else if (one.what === 'fallocate')
            await two.ops.fallocate(call, { fd, mode: 0, offset: one.offset, size: one.size });
          else if (one.what === 'elsewhere') {
            two.model.write(one.offset, Buffer.alloc(one.size, one.byte));
            await two.services.clock.advance(2000);
          } else await two.services.clock.advance(one.ms);
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('a list of priorities', () => {
  it('keeps out a graph when it is bad', async () => {
    await expect(rig(xlator, { priority: 'x' })).rejects.toThrow('priority');
  });
});
