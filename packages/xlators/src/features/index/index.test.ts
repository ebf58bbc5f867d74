import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  Errno,
  type Gfid,
  type GraphEvent,
  isGfid,
  locAt,
  locOf,
  OptionError,
  rootGfid,
  type Xattrs,
} from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { errnoOfReply, rig, rigCall, settle } from '../../lib/translator-rig.ts';
import { xlator } from './index.ts';
import { IndexStore } from './index-store.ts';
import { a, ask, b, base, brick, entries, make, vector, xattrop } from './rig.ts';

describe('counters', () => {
  it('puts a file into the index before a counter rises and takes it out after all are zero', async () => {
    const r = await make();
    const seen: string[][] = [];
    const { xattrop: below } = r.child.answers;
    r.child.answers.xattrop = (call, args) => {
      seen.push(entries('xattrop'));
      return below!(call, args);
    };
    await xattrop(r, a, { 'trusted.afr.vol-client-1': vector(1) });
    await xattrop(r, a, { 'trusted.afr.vol-client-1': vector(-1) });
    expect(seen).toEqual([[a], [a]]);
    expect(entries('xattrop')).toEqual([]);
  });

  it('tells all other clients when a replica becomes accused, once', async () => {
    const r = await make();
    const told: GraphEvent[] = [];
    r.xlator.propagate = (event) => void told.push(event);
    await xattrop(r, a, { 'trusted.afr.dirty': vector(1) });
    await xattrop(r, a, { 'trusted.afr.vol-client-1': vector(0) });
    expect(told).toEqual([]);
    await xattrop(r, a, { 'trusted.afr.vol-client-1': vector(1) });
    await xattrop(r, a, { 'trusted.afr.vol-client-1': vector(1) });
    expect(told).toEqual([{ type: 'upcall', gfid: a, what: 'accused', except: 'c' }]);
  });

  it('keeps a file for which another counter is not zero', async () => {
    const r = await make();
    await xattrop(r, a, { 'trusted.afr.vol-client-1': vector(0, 1), 'trusted.afr.vol-client-2': vector(1) });
    await xattrop(r, a, { 'trusted.afr.vol-client-1': vector(0, -1) });
    expect(entries('xattrop')).toEqual([a]);
    await xattrop(r, a, { 'trusted.afr.vol-client-2': vector(-1) });
    expect(entries('xattrop')).toEqual([]);
  });

  it('has an index of its own for dirty', async () => {
    const r = await make();
    await xattrop(r, a, { 'trusted.afr.dirty': vector(1) });
    expect([entries('dirty'), entries('xattrop')]).toEqual([[a], []]);
    await xattrop(r, a, { 'trusted.afr.dirty': vector(-1), 'trusted.afr.vol-client-0': vector(1) });
    expect([entries('dirty'), entries('xattrop')]).toEqual([[], [a]]);
  });

  it('asks the disk no more often than needed', async () => {
    const r = await make();
    const lookups = () => r.child.calls.filter(({ fop }) => fop === 'lookup').length;
    await xattrop(r, a, { 'trusted.afr.vol-client-1': vector(0) });
    await xattrop(r, a, { 'user.other': vector(1) });
    // There is one dirty mark, and the reply has it.
    await xattrop(r, a, { 'trusted.afr.dirty': vector(1) });
    await xattrop(r, a, { 'trusted.afr.dirty': vector(-1) });
    expect([lookups(), entries('dirty')]).toEqual([0, []]);
    expect(readdirSync(join(base, 'xattrop'))).toEqual([]);
    await xattrop(r, a, { 'trusted.afr.vol-client-1': vector(1) });
    await xattrop(r, a, { 'trusted.afr.vol-client-1': vector(-1) });
    expect(lookups()).toBe(1);
  });

  it('takes a new entry out again when the operation failed, but not one that was there', async () => {
    const r = await make();
    r.counters.apply(a, { 'user.x': vector(0) });
    const { xattrop: below } = r.child.answers;
    r.child.answers.xattrop = async () => ({ ok: false, errno: Errno.ENOSPC });
    expect(errnoOfReply(await xattrop(r, a, { 'trusted.afr.dirty': vector(1) }))).toBe(Errno.ENOSPC);
    expect(entries('dirty')).toEqual([]);
    r.child.answers.xattrop = below!;
    await xattrop(r, a, { 'trusted.afr.dirty': vector(1) });
    r.child.answers.xattrop = async () => ({ ok: false, errno: Errno.EIO });
    await xattrop(r, a, { 'trusted.afr.dirty': vector(-1) });
    expect(entries('dirty')).toEqual([a]);
  });

  it('does not mix up two operations whose replies cross', async () => {
    const r = await make();
    const { xattrop: below } = r.child.answers;
    let first = true;
    r.child.answers.xattrop = async (call, args) => {
      const reply = await below!(call, args);
      if (first) {
        first = false;
        await new Promise((resolve) => setImmediate(resolve));
      }
      return reply;
    };
    await Promise.all([
      xattrop(r, a, { 'trusted.afr.dirty': vector(0) }),
      xattrop(r, a, { 'trusted.afr.dirty': vector(1) }),
    ]);
    expect(entries('dirty')).toEqual([a]);
  });

  it('does not take a file out while a counter rises', async () => {
    const r = await make();
    await xattrop(r, a, { 'trusted.afr.vol-client-1': vector(1) });
    const { lookup } = r.child.answers;
    let answer: () => void = () => {};
    r.child.answers.lookup = async (call, args) => {
      const reply = await lookup!(call, args);
      await new Promise<void>((resolve) => {
        answer = resolve;
      });
      return reply;
    };
    const falls = xattrop(r, a, { 'trusted.afr.vol-client-1': vector(-1) });
    await settle();
    const rises = xattrop(r, a, { 'trusted.afr.vol-client-2': vector(1) });
    await settle();
    answer();
    await Promise.all([falls, rises]);
    expect(entries('xattrop')).toEqual([a]);
  });

  it('sees counters written by setxattr, and new objects born with them', async () => {
    const r = await make();
    r.child.answers.setxattr = async (_, { loc, xattrs }) => {
      r.counters.files.set(loc.gfid!, new Map(Object.entries(xattrs).map(([k, v]) => [k, Buffer.from(v)])));
      return { ok: true };
    };
    const set = (value: Buffer) =>
      r.xlator.ops.setxattr(rigCall('c'), { loc: locOf(a), xattrs: { 'trusted.afr.vol-client-0': value }, flags: 0 });
    await set(vector(1));
    expect(entries('xattrop')).toEqual([a]);
    await set(vector(0));
    expect(entries('xattrop')).toEqual([]);
    const mkdir = (errno?: Errno) => {
      r.child.answers.mkdir = async () => {
        expect(entries('xattrop')).toEqual([b]);
        return errno ? { ok: false, errno } : ({ ok: true } as never);
      };
      const args = {
        loc: locAt(rootGfid, 'd'),
        mode: 0o755,
        gfid: b,
        initial: { 'trusted.afr.vol-client-0': vector(1, 1, 2) },
      };
      return r.xlator.ops.mkdir(rigCall('c'), args);
    };
    await mkdir(Errno.EEXIST);
    expect(entries('xattrop')).toEqual([]);
    await mkdir();
    expect(entries('xattrop')).toEqual([b]);
  });

  it('refuses the change when the index cannot be written', async () => {
    const r = await make();
    rmSync(join(base, 'xattrop'), { recursive: true });
    expect(errnoOfReply(await xattrop(r, a, { 'trusted.afr.vol-client-0': vector(1) }))).toBe(Errno.ENOENT);
    expect(r.child.calls.some(({ fop }) => fop === 'xattrop')).toBe(false);
  });

  it('unrolls a compound', async () => {
    const r = await make();
    const args = { loc: locOf(a), operation: 'add32', values: { 'trusted.afr.dirty': vector(1) } };
    await r.xlator.ops.compound(rigCall('c'), { steps: [{ fop: 'xattrop', args }] });
    expect(entries('dirty')).toEqual([a]);
  });
});

describe('names', () => {
  it('are kept below their directory until healed', async () => {
    const r = await make();
    await xattrop(r, a, { 'trusted.afr.vol-client-1': vector(0, 0, 2) }, ['x', '\xff\xfe "quoted"']);
    expect(await ask(r, 'index.list', { kind: 'entry-changes' })).toEqual({ names: [a], more: false });
    const names = await ask(r, 'index.list', { kind: 'entry-changes', parent: a });
    expect(names).toEqual({ names: ['x', '\xff\xfe "quoted"'], more: false });
    expect(await ask(r, 'index.count', { kind: 'entry-changes' })).toEqual({ count: 2 });
    expect(await ask(r, 'index.forgetName', { parent: a, name: '\xff\xfe "quoted"' })).toEqual({});
    expect(entries(`entry-changes/${a}`)).toEqual(['x']);
  });

  it('go with the last counter of their directory', async () => {
    const r = await make();
    await xattrop(r, a, { 'trusted.afr.vol-client-1': vector(0, 0, 1) }, ['x', 'y']);
    await xattrop(r, a, { 'trusted.afr.vol-client-1': vector(0, 0, -1) });
    expect(entries('entry-changes')).toEqual([]);
  });

  it('are checked', async () => {
    const r = await make();
    const reply = await xattrop(r, a, { 'trusted.afr.vol-client-1': vector(0, 0, 1) }, ['../../etc']);
    expect(errnoOfReply(reply)).toBe(Errno.EINVAL);
    expect(await ask(r, 'index.forgetName', { parent: a, name: '..' })).toBe(Errno.EINVAL);
    expect(await ask(r, 'index.forgetParent', { parent: '../..' })).toBe(Errno.EINVAL);
  });
});

describe('the heal daemon', () => {
  it('pages through the index in order, also when it changes and after a restart', async () => {
    const r = await make();
    const gfids = Array.from(
      { length: 50 },
      (_, i) => `${i.toString(16).padStart(8, '0')}-0000-0000-0000-000000000000`,
    );
    for (const gfid of gfids) await xattrop(r, gfid as Gfid, { 'trusted.afr.vol-client-1': vector(1) });
    const first = await ask(r, 'index.list', { kind: 'xattrop', limit: 20 });
    expect(first).toEqual({ names: gfids.slice(0, 20), more: true });
    const again = await make({}, r.counters);
    const second = await ask(again, 'index.list', { kind: 'xattrop', after: gfids[19], limit: 20 });
    expect(second).toEqual({ names: gfids.slice(20, 40), more: true });
    const third = await ask(again, 'index.list', { kind: 'xattrop', after: gfids[39], limit: 20 });
    expect(third).toEqual({ names: gfids.slice(40), more: false });
    expect(await ask(r, 'index.count', { kind: 'xattrop' })).toEqual({ count: 50 });
  });

  it('purges what is gone, and only that', async () => {
    const r = await make();
    await xattrop(r, a, { 'trusted.afr.vol-client-1': vector(1) });
    await xattrop(r, b, { 'trusted.afr.vol-client-1': vector(1) });
    r.counters.files.delete(a);
    expect(await ask(r, 'index.purge', { gfid: a })).toEqual({ purged: true });
    expect(await ask(r, 'index.purge', { gfid: b })).toEqual({ purged: false });
    expect(entries('xattrop')).toEqual([b]);
  });

  it('is not anybody', async () => {
    const r = await make();
    expect(await ask(r, 'index.count', { kind: 'dirty' }, rigCall('c', { uid: 1000 }))).toBe(Errno.EPERM);
    expect(await ask(r, 'index.count', { kind: 'bogus' })).toBe(Errno.EINVAL);
    expect(await ask(r, 'index.list', { kind: 'dirty', parent: a })).toBe(Errno.EINVAL);
  });
});

describe('base files', () => {
  const bases = (kind: string) => readdirSync(join(base, kind)).filter((name) => name.startsWith(`${kind}-`));

  it('are empty, without permissions, one a run; those without entries go', async () => {
    const r = await make();
    await xattrop(r, a, { 'trusted.afr.vol-client-1': vector(1) });
    const [first] = bases('xattrop');
    expect(first).toMatch(/^xattrop-[0-9a-f-]{36}$/);
    expect(statSync(join(base, 'xattrop', first!))).toMatchObject({ size: 0, nlink: 2 });
    expect(statSync(join(base, 'xattrop', first!)).mode & 0o7777).toBe(0);
    expect(statSync(join(base, 'xattrop')).mode & 0o7777).toBe(0o600);
    const stale = join(base, 'xattrop', 'xattrop-00000000-0000-0000-0000-000000000000');
    writeFileSync(stale, '');
    const second = await make({}, r.counters);
    expect(bases('xattrop')).toEqual([first]);
    expect(await ask(second, 'index.count', { kind: 'xattrop' })).toEqual({ count: 1 });
    await xattrop(second, a, { 'trusted.afr.vol-client-1': vector(-1) });
    expect(await ask(second, 'index.list', { kind: 'xattrop' })).toEqual({ names: [], more: false });
    expect(bases('xattrop')).not.toContain(first);
  });

  it('make way for another when the file system takes no more links', { timeout: 120_000 }, () => {
    mkdirSync(base);
    const store = new IndexStore(base, {
      integer: () => 0,
      bytes: (n) => Uint8Array.from({ length: n }, () => Math.random() * 256),
    });
    const limit = 65_100;
    for (let i = 0; i < limit; i++) {
      const gfid = `${i.toString(16).padStart(8, '0')}-0000-0000-0000-000000000000` as Gfid;
      if (store.add('dirty', gfid) !== 0) throw new Error(`entry ${i} failed`);
    }
    expect(store.count('dirty')).toBe(limit);
    expect((store.names('dirty', undefined, '', 10) as string[]).every(isGfid)).toBe(true);
    store.close();
  });
});

describe('start', () => {
  it('needs the parent of its directory, and a base', async () => {
    await expect(make({ 'index-base': join(brick, 'no', 'such') })).rejects.toThrow(/parent exist/);
    await expect(rig(xlator, {})).rejects.toThrow(OptionError);
  });
});

interface Trace {
  steps: {
    gfids: Record<string, Record<string, string>>;
    gone: string[];
    indices: Record<'xattrop' | 'dirty', string[]>;
  }[];
}

describe('the trace of a GlusterFS brick', () => {
  const fixtures = new URL('../../../../../test/fixtures/index/', import.meta.url);

  for (const brickName of ['brick1', 'brick2', 'brick3']) {
    it(`leads to the same index after each step of ${brickName}`, async () => {
      const trace = JSON.parse(readFileSync(new URL(`replica3-${brickName}.json`, fixtures), 'utf8')) as Trace;
      const r = await make({ 'xattrop-pending-watchlist': 'trusted.afr.replica3-' });
      const gone = new Set<string>();
      for (const step of trace.steps) {
        for (const [gfid, xattrs] of Object.entries(step.gfids)) {
          const now = r.counters.files.get(gfid as Gfid) ?? new Map();
          const values: Xattrs = {};
          for (const [name, hex] of Object.entries(xattrs)) {
            const after = Buffer.from(hex, 'hex');
            const before = now.get(name) ?? Buffer.alloc(12);
            values[name] = vector(...([0, 4, 8].map((i) => after.readInt32BE(i) - before.readInt32BE(i)) as [number]));
          }
          await xattrop(r, gfid as Gfid, values);
        }
        for (const gfid of step.gone) {
          r.counters.files.delete(gfid as Gfid);
          gone.add(gfid);
        }
        // A removed file stays in the index until the heal daemon finds it gone.
        for (const gfid of gone) if (!step.indices.xattrop.includes(gfid)) await ask(r, 'index.purge', { gfid });
        expect({ xattrop: entries('xattrop'), dirty: entries('dirty') }).toEqual(step.indices);
      }
    });
  }
});
