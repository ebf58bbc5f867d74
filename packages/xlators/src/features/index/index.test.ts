import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
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
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { errnoOfReply, type Rig, rig, rigCall, rigServices, settle } from '../../lib/translator-rig.ts';
import { type IndexXlator, xlator } from './index.ts';
import { IndexStore } from './index-store.ts';

const a = 'aaaaaaaa-0000-0000-0000-000000000001' as Gfid;
const b = 'bbbbbbbb-0000-0000-0000-000000000002' as Gfid;
let brick: string;
let base: string;
let open: Rig<IndexXlator>[] = [];

beforeEach(() => {
  brick = mkdtempSync(join(tmpdir(), 'mortar-index-'));
  base = join(brick, 'indices');
});

afterEach(async () => {
  for (const r of open) await r.xlator.fini();
  open = [];
  rmSync(brick, { recursive: true });
});

/** A child with counters, as posix keeps them. */
class Counters {
  readonly files = new Map<Gfid, Map<string, Buffer>>();

  apply(gfid: Gfid, values: Xattrs): Xattrs {
    const file = this.files.get(gfid) ?? new Map<string, Buffer>();
    this.files.set(gfid, file);
    const result: Xattrs = {};
    for (const [name, delta] of Object.entries(values)) {
      const now = Buffer.from(file.get(name) ?? Buffer.alloc(delta.length));
      for (let i = 0; i < now.length; i += 4)
        now.writeInt32BE((now.readInt32BE(i) + Buffer.from(delta).readInt32BE(i)) | 0, i);
      file.set(name, now);
      result[name] = now;
    }
    return result;
  }

  want(gfid: Gfid, names: readonly string[]): Xattrs {
    const matches = (name: string) =>
      names.some((want) => (want.endsWith('*') ? name.startsWith(want.slice(0, -1)) : name === want));
    return Object.fromEntries([...(this.files.get(gfid) ?? [])].filter(([name]) => matches(name)));
  }
}

let seed = 1;

async function make(options: Record<string, string> = {}, counters = new Counters()) {
  const r = await rig<typeof xlator.options, IndexXlator>(
    xlator,
    {
      'index-base': base,
      'xattrop-pending-watchlist': 'trusted.afr.vol-',
      ...options,
    },
    rigServices(seed++),
  );
  open.push(r);
  r.child.answers.xattrop = async (_, { loc, values }) => ({ ok: true, xattrs: counters.apply(loc.gfid!, values) });
  r.child.answers.lookup = async (_, { loc, want }) =>
    counters.files.has(loc.gfid!)
      ? ({ ok: true, iatt: {}, postParent: {}, xattrs: counters.want(loc.gfid!, want ?? []) } as never)
      : { ok: false, errno: Errno.ESTALE };
  return { ...r, counters };
}

type Made = Awaited<ReturnType<typeof make>>;

function vector(data: number, metadata = 0, entry = 0): Buffer {
  const bytes = Buffer.alloc(12);
  for (const [i, n] of [data, metadata, entry].entries()) bytes.writeInt32BE(n, 4 * i);
  return bytes;
}

function xattrop(r: Made, gfid: Gfid, values: Xattrs, pendingNames?: string[]) {
  const args = { loc: locOf(gfid), operation: 'add32' as const, values };
  return r.xlator.ops.xattrop(rigCall('c'), pendingNames ? { ...args, xdata: { pendingNames } } : args);
}

function entries(kind: string): string[] {
  return readdirSync(join(base, kind))
    .filter((name) => !name.startsWith(`${kind}-`))
    .sort();
}

async function ask(r: Made, operation: string, data: unknown, call = rigCall('shd', { internal: 'self-heal' })) {
  const reply = await r.xlator.ops.ipc(call, { operation, data: Buffer.from(JSON.stringify(data)) });
  return reply.ok ? JSON.parse(Buffer.from(reply.data!).toString()) : reply.errno;
}

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

describe('a brick whose machine went down', () => {
  const dirtyKey = 'trusted.afr.dirty';
  const dirty = (r: Made, gfid: Gfid) => r.counters.files.get(gfid)?.get(dirtyKey)?.toString('hex');
  const again = async (r: Made, boot: string | null) => {
    await r.xlator.fini();
    if (boot === null) rmSync(join(base, 'boot'));
    else if (boot !== '') writeFileSync(join(base, 'boot'), `${boot}\n`);
    await r.xlator.init();
  };

  it('says of what was under a change that it may lack some of it', async () => {
    const r = await make();
    await xattrop(r, a, { [dirtyKey]: vector(1, 0, 2) });
    await xattrop(r, b, { 'trusted.afr.vol-client-1': vector(1) });
    await again(r, 'another boot');
    expect(dirty(r, a)).toBe('000100010000000000010002');
    expect(dirty(r, b)).toBeUndefined();
    // Once: it is known under which boot that was, and twice would be more than heal takes off.
    await again(r, '');
    await again(r, 'yet another boot');
    expect(dirty(r, a)).toBe('000100010000000000010002');
  });

  it('is not one whose process was killed, nor one that was never started before', async () => {
    const r = await make();
    await xattrop(r, a, { [dirtyKey]: vector(1) });
    await again(r, '');
    expect(dirty(r, a)).toBe('000000010000000000000000');
    await again(r, null);
    expect(dirty(r, a)).toBe('000000010000000000000000');
  });

  it('tries again at the next start what it could not mark', async () => {
    const r = await make();
    await xattrop(r, a, { [dirtyKey]: vector(1) });
    const { xattrop: good } = r.child.answers;
    r.child.answers.xattrop = async () => ({ ok: false, errno: Errno.EIO });
    await again(r, 'another boot');
    expect(dirty(r, a)).toBe('000000010000000000000000');
    r.child.answers.xattrop = good!;
    await again(r, '');
    expect(dirty(r, a)).toBe('000100010000000000000000');
  });

  it('forgets what has gone meanwhile, and starts whatever its record holds', async () => {
    const r = await make();
    await xattrop(r, a, { [dirtyKey]: vector(1) });
    r.counters.files.delete(a);
    await again(r, '\0'.repeat(5000));
    await again(r, '');
    expect(readFileSync(join(base, 'boot'), 'latin1')).toMatch(/^[0-9a-f-]{36}\n$/);
  });
});
