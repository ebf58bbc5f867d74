import { Errno, Fd, isKnownIatt, locOf, parseOptions } from '@mortar/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { errnoOfReply, rig, rigCall, settle } from '../../lib/translator-rig.ts';
import { xlator as ioCache } from '../io-cache/index.ts';
import { xlator } from './index.ts';
import { LateFile, testGfid } from './late-child-rig.ts';

const call = rigCall('client');
const readWrite = 2;

async function made(options: Record<string, string> = {}, seed = 1) {
  const one = await rig(xlator, { 'answer-ahead': 'on', ...options });
  let state = seed;
  const next = (below: number) => {
    state = (state * 48271) % 2147483647;
    return state % below;
  };
  const file = new LateFile(one.child, next);
  const { ops } = one.xlator;
  const write = (fd: Fd, offset: number, text: string | Buffer) =>
    ops.writev(call, { fd, offset, data: Buffer.from(text as string) });
  return { ...one, ops, file, write };
}

/** Whether it is answered without a request below ending. */
async function isAnswered(reply: Promise<unknown>): Promise<boolean> {
  let answered = false;
  void reply.then(() => {
    answered = true;
  });
  await settle();
  return answered;
}

function endAll(file: LateFile) {
  return (async () => {
    for (let idle = 0; idle < 3; idle = file.step() ? 0 : idle + 1) await settle();
  })();
}

type Step =
  | { what: 'write'; fd: number; at: number; size: number }
  | { what: 'read'; at: number; size: number }
  | { what: 'truncate'; size: number }
  | { what: 'stat' | 'fsync' | 'flush' | 'lookup'; fd: number };

const fdIndex = fc.nat(2);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      what: fc.constant('write' as const),
      fd: fdIndex,
      at: fc.nat(60),
      size: fc.integer({ min: 1, max: 30 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ what: fc.constant('read' as const), at: fc.nat(70), size: fc.integer({ min: 1, max: 60 }) }),
  },
  { weight: 1, arbitrary: fc.record({ what: fc.constant('truncate' as const), size: fc.nat(50) }) },
  {
    weight: 2,
    arbitrary: fc.record({ what: fc.constantFrom('stat', 'fsync', 'flush', 'lookup' as const), fd: fdIndex }),
  },
) as fc.Arbitrary<Step>;
const settings = fc.record({
  'strict-write-ordering': fc.constantFrom('on', 'off'),
  'trickling-writes': fc.constantFrom('on', 'off'),
});

describe('what is answered ahead', () => {
  it('is what everything after it sees, and on the child after a close or a sync', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 60 }),
        settings,
        fc.integer({ min: 1, max: 2 ** 31 - 2 }),
        async (steps, options, seed) => {
          const { ops, file, write } = await made(options, seed);
          const stop = file.run();
          const fds = [0, 1, 2].map(() => new Fd(testGfid, readWrite));
          let model = Buffer.alloc(0);
          let fill = 1;
          const resize = (size: number) => {
            const old = model;
            model = Buffer.alloc(size);
            old.copy(model, 0, 0, Math.min(size, old.length));
          };
          for (const one of steps) {
            if (one.what === 'write') {
              const data = Buffer.alloc(one.size, fill++ % 251);
              if (one.at + one.size > model.length) resize(one.at + one.size);
              data.copy(model, one.at);
              expect(await write(fds[one.fd]!, one.at, data)).toMatchObject({ ok: true, written: one.size });
            } else if (one.what === 'read') {
              const reply = await ops.readv(call, { fd: fds[0]!, size: one.size, offset: one.at });
              expect(reply.ok && Buffer.from(reply.data).toString('hex')).toBe(
                model.subarray(one.at, one.at + one.size).toString('hex'),
              );
            } else if (one.what === 'truncate') {
              resize(one.size);
              await ops.ftruncate(call, { fd: fds[1]!, size: one.size });
            } else if (one.what === 'stat' || one.what === 'lookup') {
              const reply =
                one.what === 'stat'
                  ? await ops.fstat(call, { fd: fds[one.fd]! })
                  : await ops.lookup(call, { loc: locOf(testGfid) });
              expect(reply).toMatchObject({ ok: true, iatt: { size: model.length } });
            } else {
              const fd = fds[one.fd]!;
              const reply =
                one.what === 'fsync' ? await ops.fsync(call, { fd, dataOnly: false }) : await ops.flush(call, { fd });
              expect(reply.ok).toBe(true);
              expect(file.data.toString('hex')).toBe(model.toString('hex'));
            }
          }
          expect((await ops.flush(call, { fd: fds[0]! })).ok).toBe(true);
          expect(file.data.toString('hex')).toBe(model.toString('hex'));
          stop();
        },
      ),
      { numRuns: 400 },
    );
  });

  it('and fails is told once to each file that was open', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(2), { minLength: 1, maxLength: 30 }),
        fc.integer({ min: 1, max: 2 ** 31 - 2 }),
        async (writers, seed) => {
          const { ops, file, write, services } = await made({}, seed);
          file.failing = 30;
          const fds = [0, 1, 2].map(() => new Fd(testGfid, readWrite));
          const told = [0, 0, 0];
          let refused = 0;
          for (const [i, who] of writers.entries()) {
            const reply = await write(fds[who]!, i * 10, 'x');
            if (!reply.ok) told[who]!++;
            if (!reply.ok) refused++;
            if (i % 3 === 0) file.step();
            await settle();
          }
          await endAll(file);
          for (const [i, fd] of fds.entries()) {
            const first = await ops.flush(call, { fd });
            if (!first.ok) told[i]!++;
            expect(errnoOfReply(first)).toBeOneOf([0, Errno.ENOSPC]);
            expect(await ops.flush(call, { fd })).toEqual({ ok: true });
            expect(told[i]! > 0).toBe(file.failures > 0);
            expect(told[i]!).toBeLessThanOrEqual(file.failures);
          }
          expect(services.lines.filter(({ level }) => level === 'ERROR')).toHaveLength(file.failures);
          expect(file.writes.length).toBeLessThanOrEqual(writers.length - refused);
          const later = new Fd(testGfid, readWrite);
          await ops.open(call, { loc: locOf(testGfid), flags: readWrite, fd: later });
          expect(await ops.flush(call, { fd: later })).toEqual({ ok: true });
        },
      ),
    );
  });
});

describe('a read that no write under way concerns', () => {
  const page = 4096;
  /** A file of two pages; the first of two writes is done, the second, behind its end, is under way. */
  async function written() {
    const one = await made();
    const { child, file, write } = one;
    file.data = Buffer.alloc(2 * page, 'x');
    const { writev, readv } = child.answers;
    const waiting: (() => void)[] = [];
    child.answers.writev = async (...args) => {
      await new Promise<void>((resolve) => waiting.push(resolve));
      const reply = writev!(...args);
      file.step();
      return reply;
    };
    child.answers.readv = (...args) => {
      const reply = readv!(...args);
      file.step();
      return reply;
    };
    const done = () => {
      waiting.shift()!();
      return settle();
    };
    const fd = new Fd(testGfid, readWrite);
    await write(fd, 0, 'first');
    await write(fd, 5 * page, 'second');
    // It tells how long the file is at least.
    await done();
    return { ...one, fd, done };
  }

  it('is not waited for, and does not tell attributes of before those', async () => {
    const { ops, fd, done } = await written();
    const reply = await ops.readv(call, { fd, offset: page, size: page });
    expect(reply).toMatchObject({ ok: true, data: Uint8Array.from(Buffer.alloc(page, 'x')) });
    expect(reply.ok && isKnownIatt(reply.iatt)).toBe(false);
    await done();
    const after = await ops.readv(call, { fd, offset: page, size: page });
    expect(after).toMatchObject({ ok: true, iatt: { size: 5 * page + 6 } });
  });

  it('does not hide these from who reads through a cache', async () => {
    const { xlator: below, ops, services, fd, done } = await written();
    const texts = new Map([['page-size', `${page}`]]);
    const { values: options } = parseOptions(ioCache.options, texts);
    const cache = ioCache.create({ name: 'cache', type: ioCache.type, options, texts, services });
    cache.bind([ops], undefined);
    below.parents = [cache];
    const read = async (offset: number) => {
      const reply = await cache.ops.readv(call, { fd, offset, size: page });
      return reply.ok ? Buffer.from(reply.data).toString() : reply.errno;
    };
    expect(await read(page)).toBe('x'.repeat(page));
    const reading = read(5 * page);
    await settle();
    await done();
    expect(await reading).toBe('second');
  });
});

describe('the window', () => {
  const mib = Buffer.alloc(2 ** 20, 1);

  it('is as large as it is set; who finds it full is answered when there is room', async () => {
    const { ops, file, write } = await made({ 'cache-size': '1MB' });
    const fd = new Fd(testGfid, readWrite);
    expect(await isAnswered(write(fd, 0, mib))).toBe(true);
    const second = write(fd, 2 ** 20, mib);
    expect(await isAnswered(second)).toBe(false);
    // Both are under way.
    expect(file.writes).toHaveLength(2);
    file.step();
    expect(await isAnswered(second)).toBe(true);
    await endAll(file);
    expect(await ops.flush(call, { fd })).toEqual({ ok: true });
  });

  it('bounds all files together', async () => {
    const { ops, file } = await made({ 'cache-size': '64MB' });
    const gfidOf = (i: number) => `00000000-0000-4000-8000-${String(i).padStart(12, '0')}` as typeof testGfid;
    const replies = Array.from({ length: 66 }, (_, i) =>
      ops.writev(call, { fd: new Fd(gfidOf(i), readWrite), offset: 0, data: mib }),
    );
    const answers = await Promise.all(replies.map(isAnswered));
    expect(answers.filter((yes) => yes)).toHaveLength(64);
    file.step();
    await settle();
    expect((await Promise.all(replies.map(isAnswered))).filter((yes) => yes).length).toBeGreaterThan(64);
    await endAll(file);
    await Promise.all(replies);
  });
});

describe('small writes that continue one another', () => {
  it('go as one while another is under way, up to the size that is set', async () => {
    const { file, write } = await made({ 'aggregate-size': '4KB' });
    const fd = new Fd(testGfid, readWrite);
    for (let i = 0; i < 20; i++) await write(fd, i * 512, Buffer.alloc(512, i));
    expect(file.writes[0]).toEqual({ offset: 0, size: 512 });
    await endAll(file);
    expect(Math.max(...file.writes.map(({ size }) => size))).toBe(4096);
    expect(file.writes.length).toBeLessThan(6);
    expect(file.data.length).toBe(20 * 512);
  });

  it('are held back if they are not to trickle, until somebody waits or a second has passed', async () => {
    const { ops, file, write, services } = await made({ 'trickling-writes': 'off' });
    const fd = new Fd(testGfid, readWrite);
    await write(fd, 0, 'a');
    await write(fd, 1, 'b');
    expect(file.writes).toEqual([]);
    const flushed = ops.flush(call, { fd });
    await endAll(file);
    await flushed;
    expect(file.writes).toEqual([{ offset: 0, size: 2 }]);
    await write(fd, 2, 'c');
    await services.clock.advance(1000);
    expect(file.writes).toHaveLength(2);
  });
});

describe('not answered ahead', () => {
  const append = 0o2000;
  const dataSync = 0o10000;
  const direct = 0o40000;

  it.each([
    ['appends', readWrite | append, {}],
    ['O_DSYNC', readWrite | dataSync, {}],
    ['files open for reading', 0, {}],
    ['O_DIRECT, if so set', readWrite | direct, { 'strict-O_DIRECT': 'on' }],
    ['anything that is to pass through', readWrite, { 'pass-through': 'on' }],
    ['anything, unless it is asked for', readWrite, { 'answer-ahead': 'off' }],
  ])('%s', async (_what, flags, options) => {
    const { file, write } = await made(options);
    const reply = write(new Fd(testGfid, flags), 0, 'x');
    expect(await isAnswered(reply)).toBe(false);
    await endAll(file);
    expect(await reply).toMatchObject({ ok: true, written: 1 });
  });

  it('what asks for more than to be written, but for where to run it', async () => {
    const { ops, file } = await made();
    const args = { fd: new Fd(testGfid, readWrite), offset: 0, data: Buffer.from('x') };
    expect(await isAnswered(ops.writev(call, { ...args, xdata: { offload: true } }))).toBe(true);
    const asking = ops.writev(call, { ...args, xdata: { fence: 5 } });
    expect(await isAnswered(asking)).toBe(false);
    await endAll(file);
    expect(await asking).toMatchObject({ ok: true });
  });

  it('O_DIRECT is, else', async () => {
    const { write } = await made();
    const reply = await write(new Fd(testGfid, readWrite | direct), 0, 'x');
    expect(reply.ok && isKnownIatt(reply.post)).toBe(false);
  });
});

describe('a file that is closed or replaced', () => {
  it('stays open below until its writes are done', async () => {
    const { file, write } = await made({ 'flush-behind': 'on' });
    const fd = new Fd(testGfid, readWrite);
    let isReleased = false;
    fd.onRelease(() => {
      isReleased = true;
    });
    await write(fd, 0, 'x');
    fd.release();
    expect(isReleased).toBe(false);
    await endAll(file);
    expect(isReleased).toBe(true);
  });

  it('is closed at once where flushing behind is set, else when it is written', async () => {
    for (const behind of ['on', 'off']) {
      const { ops, file, write } = await made({ 'flush-behind': behind });
      const fd = new Fd(testGfid, readWrite);
      await write(fd, 0, 'x');
      const flushed = ops.flush(call, { fd });
      expect(await isAnswered(flushed)).toBe(behind === 'on');
      await endAll(file);
      expect(await flushed).toEqual({ ok: true });
    }
  });

  it('has nothing answered ahead once it settles', async () => {
    const { xlator: tested, file, write } = await made();
    const fd = new Fd(testGfid, readWrite);
    await write(fd, 0, 'x');
    const settled = tested.settle();
    expect(settled).not.toBeNull();
    const late = write(fd, 1, 'y');
    expect(await isAnswered(late)).toBe(false);
    await endAll(file);
    await settled;
    expect(await late).toMatchObject({ ok: true });
    expect(tested.settle()).toBeNull();
  });
});

describe('listings and lookups', () => {
  it('leave out attributes that were asked for while writes were under way', async () => {
    const { ops, child, file, write } = await made();
    const fd = new Fd(testGfid, readWrite);
    const other = '00000000-0000-4000-8000-000000000def' as typeof testGfid;
    const entry = (gfid: typeof testGfid) => ({ name: gfid, gfid, type: 8, offset: 1, iatt: file.iatt(), xattrs: {} });
    let finish = () => {};
    child.answers.readdirp = () =>
      new Promise((resolve) => {
        finish = () => resolve({ ok: true, entries: [entry(testGfid), entry(other)], end: true });
      });
    await write(fd, 0, 'x');
    const listed = ops.readdirp(call, { fd: new Fd(other), size: 4096, offset: 0 });
    await endAll(file);
    finish();
    const reply = await listed;
    expect(reply.ok && reply.entries.map(({ iatt }) => iatt === null)).toEqual([true, false]);
  });

  it('by name are asked again when they turn out to be of such a file', async () => {
    const { ops, file, write } = await made();
    const fd = new Fd(testGfid, readWrite);
    await write(fd, 0, 'xyz');
    const loc = { gfid: null, parent: '00000000-0000-0000-0000-000000000001' as typeof testGfid, name: 'n' };
    const found = ops.lookup(call, { loc });
    await endAll(file);
    expect(await found).toMatchObject({ ok: true, iatt: { size: 3 } });
  });
});
