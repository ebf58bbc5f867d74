import {
  type Args,
  buildGraph,
  canReconfigure,
  Errno,
  Fd,
  FileType,
  fopNames,
  type Gfid,
  type Graph,
  locAt,
  locOf,
  parseVolfile,
  type Reply,
  reconfigureGraph,
  rootGfid,
  type Subvolume,
  startGraph,
  type Volfile,
  type XlatorType,
} from '@mortar/core';
import { beforeEach, describe, expect, it } from 'vitest';
import { xlator as replicate } from '../cluster/replicate/index.ts';
import { xlator as ioStats } from '../debug/io-stats/index.ts';
import { xlator as trace } from '../debug/trace/index.ts';
import { errnoOfReply, type RigServices, rigCall, rigServices } from '../lib/translator-rig.ts';
import { xlator as memory } from '../storage/memory/index.ts';
import { type MetaFacts, type MetaGraph, MetaOverlay, MetaVolume, metaPortName, xlator } from './index.ts';
import { levelNumber, levelOf } from './log-level.ts';

const registry = new Map<string, XlatorType>(
  [replicate, ioStats, trace, memory, xlator].map((type) => [type.type, type as unknown as XlatorType]),
);
const volume = (name: string, type: string, subvolumes: string, options = '') =>
  `volume ${name}\n type ${type}\n ${options.replaceAll(';', '\n')}\n ${subvolumes && `subvolumes ${subvolumes}`}\nend-volume\n`;
const text = (options = 'option read-hash-mode 2') =>
  [
    volume('v-memory-0', 'storage/memory', '', 'option size 16MB'),
    volume('v-memory-1', 'storage/memory', '', 'option size 16MB'),
    volume('v-replicate-0', 'cluster/replicate', 'v-memory-0 v-memory-1', options),
    volume('/trace', 'debug/trace', 'v-replicate-0', 'option log-history on'),
    volume('v', 'debug/io-stats', '/trace', 'option count-fop-hits on'),
  ].join('');
const volfileOf = (source: string): Volfile => parseVolfile(source, 'test.vol');

const call = rigCall('');
const first = 'host-1-2026-11-21-00:00:00-0';
let services: RigServices;
let graph: Graph;
let graphs: MetaGraph[];
let ops: Subvolume;
let below: number;
let level: string[];

const facts: MetaFacts = {
  version: '10.3',
  commandLine: 'glusterfs -s "h" /mnt',
  logFile: '/var/log/glusterfs/mnt.log',
  graphs: () => graphs,
  root: () => ({
    name: 'fuse',
    type: 'mount/fuse',
    options: new Map([['mountpoint', '/mnt']]),
    values: { attribute_timeout: '1.000000', use_readdirp: true },
  }),
  memory: () => ({ resident_bytes: 5 }),
  callCount: () => 3,
};

beforeEach(async () => {
  services = rigServices();
  level = [];
  Object.assign(services.log, { level: 'INFO', setLevel: (...next: string[]) => level.push(next.join(' ')) });
  graph = buildGraph(volfileOf(text()), registry, services);
  await startGraph(graph);
  graphs = [{ name: first, volfile: graph.volfile, top: 'v', running: graph }];
  below = 0;
  const counted = Object.fromEntries(
    fopNames.map((name) => [
      name,
      (...args: [never, never]) => {
        below++;
        return (graph.top.ops[name] as (...args: [never, never]) => unknown)(...args);
      },
    ]),
  );
  ops = new MetaOverlay(new MetaVolume(facts, services)).over({ ...counted, xlator: graph.top } as Subvolume);
});

async function walk(path: string): Promise<Gfid> {
  let at = rootGfid;
  for (const name of ['.meta', ...path.split('/').filter((part) => part !== '')]) {
    const reply = await ops.lookup(call, { loc: locAt(at, name) });
    if (!reply.ok) throw new Error(`${path}: ${name}: errno ${reply.errno}`);
    at = reply.iatt.gfid;
    if (reply.iatt.type !== FileType.symlink) continue;
    const link = await ops.readlink(call, { loc: locOf(at) });
    if (link.ok) throw new Error(`${path}: ${name} -> ${link.target}`);
  }
  return at;
}

async function read(path: string): Promise<string> {
  const gfid = await walk(path);
  const fd = new Fd(gfid);
  const opened = await ops.open(call, { loc: locOf(gfid), flags: 0, fd });
  if (!opened.ok) throw new Error(`${path}: errno ${opened.errno}`);
  expect(opened.xdata).toEqual({ uncached: true });
  const parts: Uint8Array[] = [];
  for (let offset = 0; ; ) {
    const reply = await ops.readv(call, { fd, size: 7, offset });
    if (!reply.ok) throw new Error(`${path}: errno ${reply.errno}`);
    if (reply.data.length === 0) return Buffer.concat(parts).toString();
    parts.push(reply.data);
    offset += reply.data.length;
  }
}

async function write(path: string, value: string, more: Partial<Args<'writev'>> = {}): Promise<number> {
  const gfid = await walk(path);
  const fd = new Fd(gfid, 1);
  const opened = await ops.open(call, { loc: locOf(gfid), flags: 1, fd });
  if (!opened.ok) return opened.errno;
  const emptied = await ops.ftruncate(call, { fd, size: 0 });
  if (!emptied.ok) return emptied.errno;
  return errnoOfReply(await ops.writev(call, { fd, offset: 0, data: Buffer.from(value), ...more }));
}

async function list(path: string, size = 4096): Promise<string[]> {
  const gfid = await walk(path);
  const fd = new Fd(gfid);
  await ops.opendir(call, { loc: locOf(gfid), fd });
  const names: string[] = [];
  for (let offset = 0; ; ) {
    const reply: Reply<'readdirp'> = await ops.readdirp(call, { fd, size, offset });
    if (!reply.ok) throw new Error(`${path}: errno ${reply.errno}`);
    for (const { name, gfid: entry, iatt } of reply.entries) {
      expect(iatt?.gfid).toBe(entry);
      names.push(name);
    }
    if (reply.end) return names.sort();
    offset = reply.entries.at(-1)!.offset;
  }
}

describe('the tree', () => {
  it('has the files of GlusterFS', async () => {
    const top = ['cmdline', 'frames', 'graphs', 'logging', 'mallinfo', 'measure_latency', 'process_uuid', 'root'];
    expect(await list('')).toEqual([...top, 'version']);
    expect(await list('graphs')).toEqual(['active', first]);
    const volumes = ['v', 'v-memory-0', 'v-memory-1', 'v-replicate-0'];
    expect(await list(`graphs/${first}`)).toEqual(['-trace', 'top', ...volumes, 'volfile']);
    const files = ['history', 'meminfo', 'name', 'options', 'private', 'profile', 'subvolumes', 'type', 'view'];
    expect(await list(`graphs/${first}/v`)).toEqual(files);
    expect(await list('logging')).toEqual(['logfile', 'loglevel']);
    expect(await list('root')).toEqual(files);
    expect(below).toBe(0);
  });

  it('says what the process is', async () => {
    expect(JSON.parse(await read('version'))).toEqual({ 'Package Version': '10.3' });
    expect(JSON.parse(await read('cmdline'))).toEqual({ Cmdlinestr: 'glusterfs -s "h" /mnt' });
    expect(JSON.parse(await read('frames'))).toEqual({ Stack: [], Call_Count: 3 });
    expect(await read('process_uuid')).toMatch(/^[0-9a-f-]{36}\n$/);
    expect(await read('mallinfo')).toBe('resident_bytes = 5\n');
    expect(await read('root/private')).toBe('attribute_timeout = 1.000000\nuse_readdirp = 1\n');
    expect(await read('root/options/mountpoint')).toBe('/mnt\n');
  });

  it.each([
    ['graphs/active', first],
    ['logging/logfile', '/var/log/glusterfs/mnt.log'],
    [`graphs/${first}/top`, 'v'],
    [`graphs/${first}/v-replicate-0/subvolumes/1`, '../../v-memory-1'],
    [`graphs/${first}/v/subvolumes/0`, '../../-trace'],
  ])('%s leads to %s', async (path, target) => {
    await expect(walk(path)).rejects.toThrow(` -> ${target}`);
  });

  it('says what a translator is', async () => {
    const at = `graphs/${first}`;
    expect(await read(`${at}/v-replicate-0/name`)).toBe('v-replicate-0\n');
    expect(await read(`${at}/v-replicate-0/type`)).toBe('cluster/replicate\n');
    expect(await read(`${at}/-trace/name`)).toBe('/trace\n');
    expect(await read(`${at}/v/meminfo`)).toBe('inode-contexts = 0\n');
    expect(await read(`${at}/volfile`)).toContain('type cluster/replicate');
  });

  it('has of options those that were given, and no others', async () => {
    expect(await list(`graphs/${first}/v-replicate-0/options`)).toEqual(['read-hash-mode']);
    expect(await read(`graphs/${first}/v-replicate-0/options/read-hash-mode`)).toBe('2\n');
    await expect(walk(`graphs/${first}/v-replicate-0/options/arbiter-count`)).rejects.toThrow('errno 2');
  });

  it('follows options that change while the graph runs', async () => {
    const changed = volfileOf(text('option read-hash-mode 3;option quorum-type fixed;option quorum-count 1'));
    expect(canReconfigure(graph.volfile, changed, registry)).toBe(true);
    reconfigureGraph(graph, changed, registry);
    expect(await read(`graphs/${first}/v-replicate-0/options/read-hash-mode`)).toBe('3\n');
    const lines = await read(`graphs/${first}/v-replicate-0/private`);
    expect(lines).toMatch(/^read-hash-mode = 3$/m);
    expect(lines).toMatch(/^quorum-type = fixed\nquorum-count = 1$/m);
  });

  it("has the keys of replicate's state that scripts read", async () => {
    const lines = (await read(`graphs/${first}/v-replicate-0/private`)).split('\n');
    const at = lines.indexOf('child_up[1] = 1');
    expect(lines[at + 1]).toBe('pending_key[1] = trusted.afr.v-memory-1');
    for (const line of [
      'child_up[0] = 1',
      'up = 1',
      'quorum-type = none',
      'read_child = -1',
      'data_self_heal = 0',
      'heal-wait-queue-length = 128',
      'background-self-heal-count = 8',
      'read-hash-mode = 2',
      'use-anonymous-inode = 0',
    ])
      expect(lines).toContain(line);
    expect(lines.filter((line) => line.includes('quorum'))).toHaveLength(1);
  });

  it('keeps of an ended graph what its volfile says', async () => {
    graphs.push({ ...graphs[0]!, name: 'second', running: graph });
    graphs[0] = { ...graphs[0]!, running: undefined };
    expect(await list('graphs')).toEqual(['active', first, 'second']);
    await expect(walk('graphs/active')).rejects.toThrow(' -> second');
    expect(await read(`graphs/${first}/v/type`)).toBe('debug/io-stats\n');
    expect(await read(`graphs/${first}/v-replicate-0/options/read-hash-mode`)).toBe('2\n');
    expect(await read(`graphs/${first}/v/private`)).toBe('');
  });

  it('hides passwords from others', async () => {
    const secret = volfileOf(volume('m', 'storage/memory', '', 'option transport.password x'));
    graphs.push({ name: 'g', volfile: secret, top: 'm', running: undefined });
    for (const path of ['graphs/g/volfile', 'graphs/g/m/options/transport.password']) {
      const gfid = await walk(path);
      const user = rigCall('', { uid: 1000 });
      const reply = await ops.open(user, { loc: locOf(gfid), flags: 0, fd: new Fd(gfid) });
      expect(errnoOfReply(reply)).toBe(Errno.EACCES);
      expect(errnoOfReply(await ops.access(user, { loc: locOf(gfid), mask: 4 }))).toBe(Errno.EACCES);
      const stat = await ops.stat(call, { loc: locOf(gfid) });
      expect(stat.ok && stat.iatt.mode).toBe(0o400);
    }
  });
});

describe('writing', () => {
  it('sets the log level, by number or name', async () => {
    expect(await read('logging/loglevel')).toBe('7\n');
    expect(await write('logging/loglevel', '9\n')).toBe(0);
    expect(await write('logging/loglevel', 'warning\n', { append: true, offset: 2 })).toBe(0);
    expect(level).toEqual(['TRACE', 'WARNING']);
  });

  it.each(['', '\n', '10', '-1', 'loud', `7${' '.repeat(5000)}`])('refuses the level %.9s', async (value) => {
    expect(await write('logging/loglevel', value)).toBe(Errno.EINVAL);
    expect(level).toEqual([]);
  });

  it('switches the measuring of latencies on and off', async () => {
    expect(await read('measure_latency')).toBe('0\n');
    let now = 0;
    Object.assign(services.clock, { nowMs: () => now++ });
    const profile = () => read(`graphs/${first}/v/profile`);
    await ops.statfs(call, { loc: locOf(rootGfid) });
    expect(await profile()).toMatch(/^STATFS = 1,latency\(0\.0+,0\.0+,/m);
    expect(await write('measure_latency', '1\n')).toBe(0);
    expect(await read('measure_latency')).toBe('1\n');
    await ops.statfs(call, { loc: locOf(rootGfid) });
    expect(await profile()).toMatch(/^STATFS = 2,latency\(\d+\.0+,[1-9]\d*\.0+,/m);
    expect(await write('measure_latency', 'maybe')).toBe(Errno.EINVAL);
    expect(await write('measure_latency', '0')).toBe(0);
    expect(await read('measure_latency')).toBe('0\n');
  });

  it.each(['version', 'process_uuid', `graphs/${first}/v/private`])('is refused for %s', async (path) => {
    expect(await write(path, '1')).toBe(Errno.EACCES);
  });

  it('is for the superuser', async () => {
    const gfid = await walk('logging/loglevel');
    const user = rigCall('', { uid: 1000 });
    const reply = await ops.open(user, { loc: locOf(gfid), flags: 2, fd: new Fd(gfid) });
    expect(errnoOfReply(reply)).toBe(Errno.EACCES);
  });
});

describe('the overlay', () => {
  it('does not show in the listing of the root', async () => {
    const fd = new Fd(rootGfid);
    await ops.opendir(call, { loc: locOf(rootGfid), fd });
    const reply = await ops.readdirp(call, { fd, size: 4096, offset: 0 });
    expect(reply.ok && reply.entries.map(({ name }) => name)).toEqual(['.', '..']);
  });

  it('leaves the volume to itself', async () => {
    await walk('graphs');
    below = 0;
    const loc = locAt(rootGfid, 'meta');
    expect(errnoOfReply(await ops.lookup(call, { loc }))).toBe(Errno.ENOENT);
    const gfid = '6d6f7274-6172-4000-8000-000000000001' as Gfid;
    expect((await ops.mkdir(call, { loc, mode: 0o755, gfid })).ok).toBe(true);
    // Only the root's own entry is special.
    expect(errnoOfReply(await ops.lookup(call, { loc: locAt(gfid, '.meta') }))).toBe(Errno.ENOENT);
    expect(below).toBe(3);
  });

  it('has the same gfids again in the next graph of the mount', async () => {
    const shared = new MetaVolume(facts, services);
    const gfid = await walk('version');
    expect(shared.knows(gfid)).toBe(false);
    ops = new MetaOverlay(shared).over(graph.top.ops);
    expect(await walk('version')).toBe(gfid);
    const next = new MetaOverlay(shared).over(graph.top.ops);
    const fd = new Fd(gfid);
    expect((await next.open(call, { loc: locOf(gfid), flags: 0, fd })).ok).toBe(true);
    expect((await next.readv(call, { fd, size: 100, offset: 0 })).ok).toBe(true);
  });

  it('keeps what an open file said when it was opened', async () => {
    const gfid = await walk('frames');
    const fd = new Fd(gfid);
    await ops.open(call, { loc: locOf(gfid), flags: 0, fd });
    const before = await ops.fstat(call, { fd });
    const spy = { ...facts, callCount: () => 1000 };
    Object.assign(facts, { callCount: spy.callCount });
    try {
      const reply = await ops.readv(call, { fd, size: 1000, offset: 0 });
      expect(reply.ok && Buffer.from(reply.data).toString()).toContain('"Call_Count": 3');
      expect(before.ok && reply.ok && before.iatt.size === reply.data.length).toBe(true);
    } finally {
      Object.assign(facts, { callCount: () => 3 });
    }
  });

  it('says ENOENT of what has gone, and of names that nobody has', async () => {
    const gone = await walk(`graphs/${first}/v/name`);
    graphs = [];
    expect(errnoOfReply(await ops.stat(call, { loc: locOf(gone) }))).toBe(Errno.ENOENT);
    for (const name of ['constructor', '__proto__', 'active', 'x'])
      expect(errnoOfReply(await ops.lookup(call, { loc: locAt(await walk('graphs'), name) }))).toBe(Errno.ENOENT);
    expect(await list('graphs')).toEqual([]);
  });

  it('lists every name once, whatever the size of an answer', async () => {
    const all = await list(`graphs/${first}/v`);
    for (const size of [0, 1, 200, 500]) expect(await list(`graphs/${first}/v`, size)).toEqual(all);
  });

  it('lets nothing be made, moved or removed in it', async () => {
    const meta = await walk('');
    const file = await walk('version');
    const gfid = '6d6f7274-6172-4000-8000-000000000002' as Gfid;
    below = 0;
    const replies = [
      await ops.mkdir(call, { loc: locAt(meta, 'x'), mode: 0o755, gfid }),
      await ops.mkdir(call, { loc: locAt(rootGfid, '.meta'), mode: 0o755, gfid }),
      await ops.create(call, { loc: locAt(meta, 'x'), flags: 0, mode: 0o644, gfid, fd: new Fd(gfid) }),
      await ops.unlink(call, { loc: locAt(meta, 'version') }),
      await ops.rmdir(call, { loc: locAt(rootGfid, '.meta'), recursive: true }),
      await ops.rename(call, { from: locAt(rootGfid, 'a'), to: locAt(meta, 'a'), flags: 0 }),
      await ops.link(call, { from: locOf(file), to: locAt(rootGfid, 'a', file) }),
      await ops.setattr(call, { loc: locOf(file), attr: { mode: 0o777 } }),
      await ops.setxattr(call, { loc: locOf(file), xattrs: { 'user.a': Buffer.from('b') }, flags: 0 }),
    ];
    expect(replies.map(errnoOfReply)).toEqual(replies.map(() => Errno.EPERM));
    expect(below).toBe(0);
  });

  it('takes the steps of a compound one by one where they are about it', async () => {
    const loc = locOf(await walk('version'));
    below = 0;
    const both = await ops.compound(call, { steps: [{ fop: 'stat', args: { loc } }] });
    expect(both).toMatchObject({ ok: true, replies: [{ ok: true }] });
    expect(below).toBe(0);
    await ops.compound(call, { steps: [{ fop: 'stat', args: { loc: locOf(rootGfid) } }] });
    expect(below).toBe(1);
  });

  it('is a translator for a volfile too, in a process that has the port', async () => {
    const source = text() + volume('m', 'meta', 'v', 'option none x');
    expect(() => buildGraph(volfileOf(source), registry, services)).toThrow(`no port ${metaPortName}`);
    services.ports.set(metaPortName, facts);
    const made = buildGraph(volfileOf(source), registry, services);
    await startGraph(made);
    ops = made.top.ops;
    expect(await read('version')).toContain('10.3');
    expect(errnoOfReply(await ops.lookup(call, { loc: locAt(rootGfid, 'x') }))).toBe(Errno.ENOENT);
  });
});

it('log levels have the numbers of GlusterFS', () => {
  expect(['NONE', 'CRITICAL', 'INFO', 'TRACE'].map((name) => levelNumber(levelOf(name)!))).toEqual([0, 3, 7, 9]);
  expect(['0', '1', '3', '6', ' 8\n'].map(levelOf)).toEqual(['NONE', 'CRITICAL', 'CRITICAL', 'WARNING', 'DEBUG']);
});

describe('a log level set by an xattr on any file', () => {
  const set = (name: string, value: string, as = call) =>
    ops.setxattr(as, { loc: locOf(rootGfid), xattrs: { [name]: Buffer.from(value) }, flags: 0 });
  const levelOf = (who: string) => `trusted.glusterfs.${who}set-log-level`;

  it('is that of the process, of one translator, or of those that a pattern means', async () => {
    expect(await set(levelOf(''), 'debug')).toEqual({ ok: true });
    expect(await set(levelOf('v-replicate-0.'), 'TRACE\0')).toEqual({ ok: true });
    expect(await set(levelOf('fuse.'), 'NONE')).toEqual({ ok: true });
    expect(await set(levelOf('v-memory-*.'), 'INFO')).toEqual({ ok: true });
    expect(level).toEqual(['DEBUG', 'TRACE v-replicate-0', 'NONE fuse', 'INFO v-memory-0', 'INFO v-memory-1']);
    expect(below).toBe(0);
  });

  it('is refused when it is none, or nobody has that name', async () => {
    expect(await set(levelOf(''), 'loud')).toEqual({ ok: false, errno: Errno.EOPNOTSUPP });
    expect(await set(levelOf('v-memory-(.'), 'INFO')).toEqual({ ok: false, errno: Errno.EINVAL });
    expect(level).toEqual([]);
  });

  it('is an xattr like any other where the caller is not root, or the name is another one', async () => {
    await set(levelOf(''), 'DEBUG', rigCall('', { uid: 1000 }));
    await set('user.glusterfs.set-log-level', 'DEBUG');
    expect(level).toEqual([]);
    expect(below).toBe(2);
  });
});
