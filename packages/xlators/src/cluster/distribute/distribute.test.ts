import { readFileSync } from 'node:fs';
import { Errno, Fd, FileType, type Gfid, locAt, locOf, rootGfid } from '@mortar/core';
import { describe, expect, it, vi } from 'vitest';
import { type DistributeRig, distributeRig } from './rig.ts';

interface Step {
  step: string;
  errno?: string;
  diff: Record<string, { added?: Record<string, Node>; removed?: string[]; changed?: Record<string, Change> }>;
}
interface Node {
  type: string;
  mode: string;
  xattrs: Record<string, string>;
}
interface Change {
  after: Record<string, unknown>;
}
const trace = (name: string) =>
  JSON.parse(readFileSync(new URL(`../../../../../test/fixtures/dht/trace-${name}.json`, import.meta.url), 'utf8')) as {
    steps: Step[];
  };

const layoutName = 'trusted.glusterfs.dht';
const directory = FileType.directory << 12;
const regular = FileType.regular << 12;

async function mkdir(rig: DistributeRig, path: string, mode = 0o755) {
  const { parent, name } = await split(rig, path);
  return rig.ops.mkdir(rig.call, { loc: locAt(parent, name), mode: directory | mode, gfid: rig.gfid() });
}

async function create(rig: DistributeRig, path: string, data = 'x') {
  const { parent, name } = await split(rig, path);
  const gfid = rig.gfid();
  const fd = new Fd(gfid, 2);
  const reply = await rig.ops.create(rig.call, {
    loc: locAt(parent, name),
    flags: 0o302,
    mode: regular | 0o644,
    gfid,
    fd,
  });
  if (reply.ok) await rig.ops.writev(rig.call, { fd, offset: 0, data: Buffer.from(data) });
  return { reply, fd, gfid };
}

async function split(rig: DistributeRig, path: string): Promise<{ parent: Gfid; name: string }> {
  const at = path.lastIndexOf('/');
  return { parent: at <= 0 ? rootGfid : await rig.at(path.slice(0, at)), name: path.slice(at + 1) };
}

async function rename(rig: DistributeRig, from: string, to: string, flags = 0) {
  const a = await split(rig, from);
  const b = await split(rig, to);
  return rig.ops.rename(rig.call, { from: locAt(a.parent, a.name), to: locAt(b.parent, b.name), flags });
}

async function unlink(rig: DistributeRig, path: string) {
  const { parent, name } = await split(rig, path);
  return rig.ops.unlink(rig.call, { loc: locAt(parent, name) });
}

async function rmdir(rig: DistributeRig, path: string) {
  const { parent, name } = await split(rig, path);
  return rig.ops.rmdir(rig.call, { loc: locAt(parent, name), recursive: false });
}

async function link(rig: DistributeRig, from: string, to: string) {
  const { parent, name } = await split(rig, to);
  return rig.ops.link(rig.call, { from: locOf(await rig.at(from)), to: locAt(parent, name) });
}

async function read(rig: DistributeRig, path: string): Promise<string> {
  const gfid = await rig.at(path);
  const fd = new Fd(gfid, 0);
  const opened = await rig.ops.open(rig.call, { loc: locOf(gfid), flags: 0, fd });
  if (!opened.ok) throw new Error(`open: ${opened.errno}`);
  const reply = await rig.ops.readv(rig.call, { fd, size: 4096, offset: 0 });
  fd.release();
  if (!reply.ok) throw new Error(`readv: ${reply.errno}`);
  return Buffer.from(reply.data).toString();
}

/** What of a path is on the bricks: `data`, `linkto:NAME`, `dir` or `-`, brick by brick. */
async function spread(rig: DistributeRig, path: string): Promise<string[]> {
  return Promise.all(
    rig.bricks.map(async (_, i) => {
      const found = await rig.onBrick(i, path);
      if (!found) return '-';
      if (found.iatt.type === FileType.directory) return 'dir';
      const linkto = found.xattrs[`${layoutName}.linkto`];
      return linkto ? `linkto:${Buffer.from(linkto).toString('latin1').replace('\0', '')}` : 'data';
    }),
  );
}

async function list(rig: DistributeRig, path: string, size = 65536): Promise<string[]> {
  const gfid = await rig.at(path);
  const fd = new Fd(gfid, 0);
  const opened = await rig.ops.opendir(rig.call, { loc: locOf(gfid), fd });
  if (!opened.ok) throw new Error(`opendir: ${opened.errno}`);
  const names: string[] = [];
  for (let offset = 0, end = false; !end; ) {
    const reply = await rig.ops.readdirp(rig.call, { fd, size, offset });
    if (!reply.ok) throw new Error(`readdirp: ${reply.errno}`);
    names.push(...reply.entries.map((entry) => entry.name).filter((name) => name !== '.' && name !== '..'));
    offset = reply.entries.at(-1)?.offset ?? offset;
    end = reply.end;
  }
  return names.sort();
}

describe('the trace of a real client on three subvolumes', () => {
  const { steps } = trace('distribute');
  const step = (start: string) => steps.find((one) => one.step.startsWith(start))!;
  /** Layouts, marks and linktos of a path on the bricks of a step. */
  const written = (at: Step, path: string, prefix: string) =>
    ['brick1', 'brick2', 'brick3'].map((brick) =>
      Object.fromEntries(
        Object.entries(at.diff[brick]?.added?.[path]?.xattrs ?? {}).filter(([name]) => name.startsWith(prefix)),
      ),
    );
  const ours = (rig: DistributeRig, path: string, prefix: string) =>
    Promise.all(
      rig.bricks.map(async (_, i) => {
        const found = await rig.onBrick(i, path);
        return Object.fromEntries(
          Object.entries(found?.xattrs ?? {})
            .filter(([name]) => name.startsWith(prefix))
            .map(([name, value]) => [name, Buffer.from(value).toString('hex')]),
        );
      }),
    );
  const present = (at: Step, path: string) =>
    ['brick1', 'brick2', 'brick3'].map((brick) => at.diff[brick]?.added?.[path] !== undefined);

  it.each(['memory', 'posix'] as const)(
    'leaves the same layouts, marks, files and linktos on bricks, %s',
    async (storage) => {
      const rig = await distributeRig({ storage });
      await rig.walk('/');
      const compare = async (start: string, path: string) => {
        expect(await ours(rig, path, layoutName), start).toEqual(written(step(start), path, layoutName));
        expect(
          (await spread(rig, path)).map((one) => one !== '-'),
          start,
        ).toEqual(present(step(start), path));
      };
      expect((await mkdir(rig, '/d')).ok).toBe(true);
      await compare('mkdir /d', '/d');
      await create(rig, '/d/f1', 'hello\n');
      await compare('create /d/f1', '/d/f1');
      expect((await link(rig, '/d/f1', '/d/ren0L')).ok).toBe(true);
      await compare('link /d/f1 -> /d/hl', '/d/ren0L');
      expect((await link(rig, '/d/f1', '/d/ren2')).ok).toBe(true);
      await compare('link /d/f1 -> /d/ren2', '/d/ren2');
      expect((await unlink(rig, '/d/ren2')).ok).toBe(true);
      expect(await spread(rig, '/d/ren2')).toEqual(['-', '-', '-']);
      expect(await read(rig, '/d/f1')).toBe('hello\n');
      await create(rig, '/d/g1', 'g1 data');
      await compare('create /d/g1', '/d/g1');
      expect((await rename(rig, '/d/g1', '/d/ren0')).ok).toBe(true);
      await compare('rename /d/g1', '/d/ren0');
      expect(await spread(rig, '/d/g1')).toEqual(['-', '-', '-']);
      expect((await rename(rig, '/d/ren0', '/d/ren2x')).ok).toBe(true);
      await compare('rename /d/ren0', '/d/ren2x');
      expect(await spread(rig, '/d/ren0')).toEqual(['-', '-', '-']);
      expect(await read(rig, '/d/ren2x')).toBe('g1 data');
      expect((await unlink(rig, '/d/ren2x')).ok).toBe(true);
      expect(await spread(rig, '/d/ren2x')).toEqual(['-', '-', '-']);
      await mkdir(rig, '/d/sub');
      await mkdir(rig, '/d/sub/deep');
      await compare('mkdir /d/sub', '/d/sub');
      await compare('mkdir /d/sub', '/d/sub/deep');
      expect((await rename(rig, '/d/sub', '/sub2')).ok).toBe(true);
      await compare('rename dir', '/sub2');
      expect((await rmdir(rig, '/sub2/deep')).ok).toBe(true);
      expect(await spread(rig, '/sub2/deep')).toEqual(['-', '-', '-']);
      await mkdir(rig, '/d/setgid', 0o2775);
      await compare('mkdir /d/setgid', '/d/setgid');
      await rig.close();
    },
  );

  it('gives the root its layout at the first lookup', async () => {
    const rig = await distributeRig();
    await rig.walk('/');
    const layouts = await Promise.all([0, 1, 2].map((i) => rig.xattr(i, '/', layoutName)));
    expect(layouts).toEqual([
      '0000000100000000aaaaaaaaffffffff',
      '00000001000000000000000055555554',
      '000000010000000055555555aaaaaaa9',
    ]);
  });
});

describe('without use-readdirp', () => {
  it('lists every name once by plain readdir, also those whose data is not where they hash to', async () => {
    const rig = await distributeRig({ options: { 'use-readdirp': 'off' } });
    await rig.walk('/');
    await mkdir(rig, '/d');
    const names = Array.from({ length: 20 }, (_, i) => `f${i}`);
    for (const name of names) await create(rig, `/${name}`);
    for (const [i, name] of names.entries()) if (i % 2) await rename(rig, `/${name}`, `/moved${i}`);
    const expected = ['d', ...names.map((name, i) => (i % 2 ? `moved${i}` : name))].sort();
    for (const door of rig.doors) door.counts.clear();
    const fd = new Fd(rootGfid, 0);
    await rig.ops.opendir(rig.call, { loc: locOf(rootGfid), fd });
    const found: string[] = [];
    for (let offset = 0, end = false; !end; ) {
      const reply = await rig.ops.readdir(rig.call, { fd, size: 400, offset });
      if (!reply.ok) throw new Error(`readdir: ${reply.errno}`);
      found.push(...reply.entries.map((entry) => entry.name).filter((name) => !/^\.\.?$/.test(name)));
      offset = reply.entries.at(-1)?.offset ?? offset;
      end = reply.end;
    }
    expect(found.sort()).toEqual(expected);
    expect(rig.doors.map((door) => door.counts.get('readdirp'))).toEqual([undefined, undefined, undefined]);
    await rig.close();
  });
});

describe('with a subvolume just added', () => {
  it('shows all that a volume over a single one had', async () => {
    const small = await distributeRig({ children: 1 });
    await small.walk('/');
    expect(await small.xattr(0, '/', layoutName)).toMatch(/00000000ffffffff$/);
    const names = Array.from({ length: 8 }, (_, i) => `d${i}`);
    for (const name of names) await mkdir(small, `/${name}`);
    const more = await distributeRig({ children: 1, name: 'new' });
    const rig = await distributeRig({
      children: 2,
      over: { ...small, bricks: [...small.bricks, ...more.bricks], served: [...small.served, ...more.served] },
    });
    await rig.walk('/');
    const page = await rig.ops.readdirp(rig.call, { fd: new Fd(rootGfid), size: 65536, offset: 0 });
    const shown = page.ok ? page.entries.map((entry) => entry.name) : [];
    expect(shown.filter((name) => name.startsWith('d')).sort()).toEqual(names);
    for (const each of [rig, small, more]) await each.close();
  });

  it('keeps owner and mode of the root, and gives them to the new one', async () => {
    const small = await distributeRig({ children: 2 });
    await small.walk('/');
    const attr = { mode: 0o1777, uid: 7, gid: 8 };
    await small.ops.setattr(small.call, { loc: locOf(rootGfid), attr });
    const more = await distributeRig({ children: 1, name: 'new' });
    const bricks = [...small.bricks, ...more.bricks];
    // The root of the new one is the youngest of all.
    const old = await small.bricks[0]!.stat(small.call, { loc: locOf(rootGfid) });
    const ctime = { sec: (old.ok ? old.iatt.ctime : 0) + 60, nsec: 0 };
    await more.bricks[0]!.setattr(more.call, { loc: locOf(rootGfid), attr: { mode: 0o755, ctime } });
    const rig = await distributeRig({ children: 3, over: { ...small, bricks, served: bricks } });
    expect(await rig.walk('/')).toMatchObject({ ok: true, iatt: attr });
    expect(await more.bricks[0]!.stat(more.call, { loc: locOf(rootGfid) })).toMatchObject({ ok: true, iatt: attr });
    for (const each of [rig, small, more]) await each.close();
  });
});

describe('with a subvolume down', () => {
  const hex = (rig: DistributeRig, path: string, name = layoutName) =>
    Promise.all(rig.bricks.map((_, i) => rig.xattr(i, path, name)));

  it('does what a real client does, and heals when it is back', async () => {
    const rig = await distributeRig({ name: 'dh' });
    await rig.walk('/');
    await mkdir(rig, '/old');
    await mkdir(rig, '/dirmds0');
    rig.doors[2]!.close();
    expect((await mkdir(rig, '/new0')).ok).toBe(true);
    expect(await hex(rig, '/new0')).toEqual([
      '00000000000000007fffffffffffffff',
      '0000000000000000000000007ffffffe',
      undefined,
    ]);
    expect(await mkdir(rig, '/new2')).toMatchObject({ ok: false, errno: Errno.ENOTCONN });
    const dir = await rig.at('/dirmds0');
    expect((await rig.ops.setattr(rig.call, { loc: locOf(dir), attr: { mode: 0o711 } })).ok).toBe(true);
    const xattrs = { 'user.a': Buffer.from('1') };
    expect((await rig.ops.setxattr(rig.call, { loc: locOf(dir), xattrs, flags: 0 })).ok).toBe(true);
    expect(await hex(rig, '/dirmds0', `${layoutName}.mds`)).toEqual(['ffffffff', undefined, undefined]);
    expect((await create(rig, '/w0_1')).reply.ok).toBe(true);
    expect((await create(rig, '/w1_2')).reply.ok).toBe(true);
    expect((await create(rig, '/w2_0')).reply).toMatchObject({ errno: Errno.ENOTCONN });
    rig.doors[2]!.open();
    await rig.walk('/new0');
    await rig.walk('/dirmds0');
    expect(await hex(rig, '/new0')).toEqual([
      '00000000000000007fffffffffffffff',
      '0000000000000000000000007ffffffe',
      '00000000000000000000000000000000',
    ]);
    expect(await hex(rig, '/dirmds0', `${layoutName}.mds`)).toEqual(['00000000', undefined, undefined]);
    expect(await hex(rig, '/dirmds0', 'user.a')).toEqual(['31', '31', '31']);
    expect((await rig.onBrick(2, '/dirmds0'))!.iatt.mode).toBe(0o711);
  });

  it('writes a layout anew that has lost a part, with the commit hash that says so', async () => {
    const rig = await distributeRig({ name: 'dh' });
    await rig.walk('/');
    await mkdir(rig, '/old');
    const gfid = await rig.at('/old');
    const before = await hex(rig, '/old');
    await rig.bricks[1]!.removexattr(rig.call, { loc: locOf(gfid), name: layoutName });
    await rig.walk('/old');
    expect(await hex(rig, '/old')).toEqual(before.map((layout) => `00000001${layout!.slice(8)}`));
  });

  it('lists what the others have, and says so only when none is left', async () => {
    const rig = await distributeRig();
    await rig.walk('/');
    await mkdir(rig, '/d');
    const names = Array.from({ length: 30 }, (_, i) => `f${i}`);
    for (const name of names) await create(rig, `/d/${name}`);
    await mkdir(rig, '/d/sub');
    expect(await list(rig, '/d')).toEqual([...names, 'sub'].sort());
    rig.doors[1]!.close();
    const some = await list(rig, '/d');
    expect(some.length).toBeGreaterThan(10);
    expect(some).toContain('sub');
    for (const one of rig.doors) one.close();
    await expect(list(rig, '/d')).rejects.toThrow(`${Errno.ENOTCONN}`);
  });

  it('refuses to remove or rename a directory, which would come back', async () => {
    const rig = await distributeRig();
    await mkdir(rig, '/d');
    rig.doors[0]!.close();
    expect(await rmdir(rig, '/d')).toMatchObject({ errno: Errno.ENOTCONN });
    expect(await rename(rig, '/d', '/e')).toMatchObject({ ok: false, errno: Errno.ENOTCONN });
    rig.doors[0]!.open();
    expect((await rename(rig, '/d', '/e')).ok).toBe(true);
    expect(await spread(rig, '/e')).toEqual(['dir', 'dir', 'dir']);
  });
});

describe('a name', () => {
  it('is made in a directory that its subvolume lacked', async () => {
    const rig = await distributeRig();
    await mkdir(rig, '/d');
    const { parent } = await split(rig, '/d/a');
    for (const door of rig.doors) {
      let lacks = true;
      door.refuse = (fop) => (lacks && fop === 'create' ? Errno.ESTALE : undefined);
      door.before = (fop) => {
        // The directory is made then.
        if (fop === 'lookup') lacks = false;
        return undefined;
      };
    }
    for (const name of ['a', 'b', 'c', 'd']) {
      const fd = new Fd(rig.gfid(), 2);
      const args = { loc: locAt(parent, name), flags: 0o302, mode: regular | 0o644, gfid: fd.gfid, fd };
      expect(await rig.ops.create(rig.call, args)).toMatchObject({ ok: true });
    }
    await rig.close();
  });

  it('is looked for on one subvolume, unless it may be elsewhere', async () => {
    const rig = await distributeRig();
    await rig.walk('/');
    await mkdir(rig, '/d');
    const gfid = await rig.at('/d');
    const before = rig.requests();
    await rig.ops.lookup(rig.call, { loc: locAt(gfid, 'none') });
    expect(rig.requests() - before).toBe(1);
    rig.d.volumeCommit = 4711;
    await rig.ops.lookup(rig.call, { loc: locAt(gfid, 'none') });
    expect(rig.requests() - before).toBe(4);
  });

  it('whose file lies elsewhere gets a linkto', async () => {
    const rig = await distributeRig();
    await rig.walk('/');
    const home = (await spreadOfNew(rig, '/f')).indexOf('data');
    await unlink(rig, '/f');
    const other = (home + 1) % 3;
    const loc = locAt(rootGfid, 'f');
    await rig.bricks[other]!.mknod(rig.call, {
      loc,
      mode: regular | 0o600,
      rdevMajor: 0,
      rdevMinor: 0,
      gfid: rig.gfid(),
    });
    expect((await rig.walk('/f')).ok).toBe(true);
    expect((await spread(rig, '/f'))[home]).toBe(`linkto:tr-client-${other}`);
    expect(await list(rig, '/')).toEqual(['f']);
    // Gone behind our back: the linkto is stale, and goes too.
    await rig.bricks[other]!.unlink(rig.call, { loc });
    expect(await rig.walk('/f')).toMatchObject({ errno: Errno.ENOENT });
    expect(await spread(rig, '/f')).toEqual(['-', '-', '-']);
  });

  it('whose data is on a subvolume that is down keeps its linkto', async () => {
    const rig = await distributeRig();
    await rig.walk('/');
    const [from, to] = await misplaced(rig);
    const where = await spread(rig, to);
    rig.doors[where.indexOf('data')]!.close();
    expect(await rig.walk(to)).toMatchObject({ errno: Errno.ENOTCONN });
    expect(await spread(rig, to)).toEqual(where);
    expect(from).not.toBe(to);
  });

  it('that is a file here and a directory there is an error', async () => {
    const rig = await distributeRig();
    await rig.walk('/');
    const [, to] = await misplaced(rig);
    const free = (await spread(rig, to)).indexOf('-');
    await rig.bricks[free]!.mkdir(rig.call, { loc: locAt(rootGfid, 'x'), mode: directory | 0o755, gfid: rig.gfid() });
    const data = await create(rig, '/x2');
    expect(data.reply.ok).toBe(true);
    for (const i of [0, 1, 2].filter((one) => one !== free))
      await rig.bricks[i]!.mknod(rig.call, {
        loc: locAt(rootGfid, 'x'),
        mode: regular,
        rdevMajor: 0,
        rdevMinor: 0,
        gfid: rig.gfid(),
      });
    rig.d.volumeCommit = 99;
    expect((await rig.walk('/x')).ok && (await rename(rig, '/x', '/y')).ok && (await spread(rig, '/y'))).not.toBe(true);
  });
});

async function spreadOfNew(rig: DistributeRig, path: string): Promise<string[]> {
  await create(rig, path);
  return spread(rig, path);
}

/** Makes a file whose name does not hash to where its data is; its names before and after. */
async function misplaced(rig: DistributeRig): Promise<[string, string]> {
  for (let i = 0; ; i++) {
    const from = `/from${i}`;
    await create(rig, from, `data ${i}`);
    const to = `/to${i}`;
    expect((await rename(rig, from, to)).ok).toBe(true);
    if ((await spread(rig, to)).some((one) => one.startsWith('linkto'))) return [from, to];
  }
}

describe('rename', () => {
  it.each([
    ['is gone by then', true],
    ['is there still', false],
  ])(
    'takes away what it replaced when the subvolume of that is back, also where the new file %s',
    async (_when, gone) => {
      const rig = await distributeRig();
      await rig.walk('/');
      const [, to] = await misplaced(rig);
      const old = (await spread(rig, to)).indexOf('data');
      let from = '';
      for (let i = 0; from === '' || (await spread(rig, from))[old] === 'data'; i++) {
        from = `/new${i}`;
        await create(rig, from, 'new');
      }
      rig.doors[old]!.refuse = (fop) => (fop === 'unlink' ? Errno.ENOTCONN : undefined);
      expect((await rename(rig, from, to)).ok).toBe(true);
      expect((await spread(rig, to))[old]).toBe('data');
      rig.doors[old]!.close();
      if (gone) expect((await unlink(rig, to)).ok).toBe(true);
      rig.doors[old]!.refuse = () => undefined;
      rig.doors[old]!.open();
      await vi.waitFor(async () => expect((await spread(rig, to))[old]).not.toBe('data'));
      if (gone) expect(await rig.walk(to)).toMatchObject({ errno: Errno.ENOENT });
      else expect(await read(rig, to)).toBe('new');
    },
  );

  it('is taken back when the subvolume of the file is back', async () => {
    const rig = await distributeRig();
    await rig.walk('/');
    const [, to] = await misplaced(rig);
    const where = await spread(rig, to);
    const old = await read(rig, to);
    const source = where.indexOf('-');
    let from = '';
    for (let i = 0; from === '' || (await spread(rig, from))[source] !== 'data'; i++) {
      from = `/new${i}`;
      await create(rig, from, 'new');
    }
    const refuse = (errno: Errno | undefined) => {
      for (const door of rig.doors)
        door.refuse = (fop) =>
          fop === 'unlink' || (fop === 'rename' && door !== rig.doors[source]) ? errno : undefined;
    };
    refuse(Errno.ENOTCONN);
    expect(await rename(rig, from, to)).toMatchObject({ errno: Errno.ENOTCONN });
    expect((await spread(rig, to))[source]).toBe('data');
    refuse(undefined);
    rig.doors[source]!.close();
    rig.doors[source]!.open();
    await vi.waitFor(async () => expect((await spread(rig, to))[source]).toBe('-'));
    expect([await read(rig, to), await read(rig, from)]).toEqual([old, 'new']);
  });

  it('takes away what it replaced where the old name cannot be taken away', async () => {
    const rig = await distributeRig();
    await rig.walk('/');
    const [, to] = await misplaced(rig);
    const where = await spread(rig, to);
    // Neither where the data is that is replaced, nor where the new name hashes to.
    const source = where.indexOf('-');
    let from = '';
    for (let i = 0; from === '' || (await spread(rig, from))[source] !== 'data'; i++) {
      from = `/new${i}`;
      await create(rig, from, 'new');
    }
    rig.doors[source]!.refuse = (fop) => (fop === 'unlink' ? Errno.ENOTCONN : undefined);
    expect(await rename(rig, from, to)).toMatchObject({ errno: Errno.ENOTCONN });
    expect((await spread(rig, to))[where.indexOf('data')]).toBe('-');
    expect(await read(rig, to)).toBe('new');
  });

  it('keeps data, one name and at most one linkto, whatever is replaced', async () => {
    const rig = await distributeRig();
    await rig.walk('/');
    for (let i = 0; i < 40; i++) {
      await create(rig, `/a${i}`, `source ${i}`);
      if (i % 2) await create(rig, `/b${i}`, `target ${i}`);
      if (i % 4 === 3) {
        await create(rig, `/c${i}`, 'other');
        expect((await rename(rig, `/c${i}`, `/b${i}`)).ok).toBe(true);
      }
      expect((await rename(rig, `/a${i}`, `/b${i}`)).ok).toBe(true);
      expect(await read(rig, `/b${i}`)).toBe(`source ${i}`);
      expect(await spread(rig, `/a${i}`)).toEqual(['-', '-', '-']);
      const kinds = (await spread(rig, `/b${i}`)).map((one) => one.split(':')[0]).sort();
      expect(kinds.filter((one) => one === 'data')).toHaveLength(1);
      expect(kinds.filter((one) => one === 'linkto').length).toBeLessThanOrEqual(1);
    }
    const fresh = await distributeRig({ over: rig });
    expect(await list(fresh, '/')).toEqual(Array.from({ length: 40 }, (_, i) => `b${i}`).sort());
    for (let i = 0; i < 40; i++) expect(await read(fresh, `/b${i}`)).toBe(`source ${i}`);
  });

  it('refuses to replace with RENAME_NOREPLACE, and leaves two names of one file', async () => {
    const rig = await distributeRig();
    await create(rig, '/a', 'a');
    await create(rig, '/b', 'b');
    expect(await rename(rig, '/a', '/b', 1)).toMatchObject({ errno: Errno.EEXIST });
    await link(rig, '/a', '/c');
    expect((await rename(rig, '/a', '/c')).ok).toBe(true);
    expect(await list(rig, '/')).toEqual(['a', 'b', 'c']);
  });

  it('of a directory is taken back when a subvolume refuses', async () => {
    const rig = await distributeRig();
    await mkdir(rig, '/d');
    await create(rig, '/d/f');
    const hashed = await rig.d.hashedOf(rig.call, rootGfid, 'e');
    const victim = [0, 1, 2].find((i) => i !== hashed)!;
    rig.doors[victim]!.refuse = (fop) => (fop === 'rename' ? Errno.EROFS : undefined);
    expect(await rename(rig, '/d', '/e')).toMatchObject({ errno: Errno.EROFS });
    expect(await spread(rig, '/d')).toEqual(['dir', 'dir', 'dir']);
    expect(await spread(rig, '/e')).toEqual(['-', '-', '-']);
  });
});

describe('directories', () => {
  it('are removed from all, with the linktos in them, unless there is a file', async () => {
    const rig = await distributeRig();
    await mkdir(rig, '/d');
    await create(rig, '/d/f');
    expect(await rmdir(rig, '/d')).toMatchObject({ errno: Errno.ENOTEMPTY });
    expect(await spread(rig, '/d')).toEqual(['dir', 'dir', 'dir']);
    await unlink(rig, '/d/f');
    const gfid = await rig.at('/d');
    for (const brick of rig.bricks)
      await brick.mknod(rig.call, {
        loc: locAt(gfid, 'stale'),
        mode: regular | 0o1000,
        rdevMajor: 0,
        rdevMinor: 0,
        gfid: rig.gfid(),
        initial: { [`${layoutName}.linkto`]: Buffer.from('gone-client-9\0') },
      });
    expect((await rmdir(rig, '/d')).ok).toBe(true);
    expect(await spread(rig, '/d')).toEqual(['-', '-', '-']);
  });

  it('come back whole when a removal fails half-way', async () => {
    const rig = await distributeRig();
    await rig.walk('/');
    await mkdir(rig, '/d');
    const hashed = (await rig.d.hashedOf(rig.call, rootGfid, 'd')) as number;
    rig.doors[hashed]!.refuse = (fop) => (fop === 'rmdir' ? Errno.EROFS : undefined);
    expect(await rmdir(rig, '/d')).toMatchObject({ errno: Errno.EROFS });
    await rig.walk('/d');
    expect(await spread(rig, '/d')).toEqual(['dir', 'dir', 'dir']);
    rig.doors[hashed]!.refuse = () => undefined;
    expect((await create(rig, '/d/f')).reply.ok).toBe(true);
  });

  it('cost one round to the first and one to the rest', async () => {
    const rig = await distributeRig();
    await rig.walk('/');
    await mkdir(rig, '/a');
    const before = rig.requests();
    await rig.ops.mkdir(rig.call, { loc: locAt(rootGfid, 'b'), mode: directory | 0o755, gfid: rig.gfid() });
    expect(rig.requests() - before).toBe(3);
  });

  it('are listed once, in any portions', async () => {
    const rig = await distributeRig();
    await mkdir(rig, '/d');
    const names: string[] = [];
    for (let i = 0; i < 25; i++) {
      await mkdir(rig, `/d/dir${i}`);
      await create(rig, `/d/file${i}`);
      names.push(`dir${i}`, `file${i}`);
    }
    for (const size of [200, 1000, 65536]) expect(await list(rig, '/d', size)).toEqual(names.sort());
  });

  it('have no sizes of their own and the latest times', async () => {
    const rig = await distributeRig();
    await mkdir(rig, '/d');
    const later = { ...rig.call, time: { sec: rig.call.time.sec + 100, nsec: 5 } };
    const gfid = rig.gfid();
    const parent = await rig.at('/d');
    await rig.ops.create(later, { loc: locAt(parent, 'f'), flags: 0o302, mode: regular, gfid, fd: new Fd(gfid, 2) });
    expect(await rig.ops.stat(rig.call, { loc: locOf(parent) })).toMatchObject({
      iatt: { size: 4096, blocks: 8, mtime: later.time.sec, mtimeNsec: 5 },
    });
  });
});

describe('xattrs', () => {
  it('of the file system are hidden and guarded', async () => {
    const rig = await distributeRig();
    await mkdir(rig, '/d');
    const loc = locOf(await rig.at('/d'));
    await rig.ops.setxattr(rig.call, { loc, xattrs: { 'user.k': Buffer.from('v') }, flags: 0 });
    const all = await rig.ops.getxattr(rig.call, { loc });
    expect(all.ok && Object.keys(all.xattrs)).toEqual(['user.k']);
    expect(await rig.ops.getxattr(rig.call, { loc, name: layoutName })).toMatchObject({ errno: Errno.ENODATA });
    const xattrs = { [layoutName]: Buffer.alloc(16) };
    expect(await rig.ops.setxattr(rig.call, { loc, xattrs, flags: 0 })).toMatchObject({ errno: Errno.EPERM });
    expect((await rig.ops.removexattr(rig.call, { loc, name: 'user.k' })).ok).toBe(true);
  });

  it('tell where a name would go', async () => {
    const rig = await distributeRig();
    await rig.walk('/');
    await create(rig, '/f');
    const name = 'dht.file.hashed-subvol.f';
    const reply = await rig.ops.getxattr(rig.call, { loc: locOf(rootGfid), name });
    const child = (await spread(rig, '/f')).indexOf('data');
    expect(reply.ok && Buffer.from(reply.xattrs[name]!).toString()).toBe(`tr-client-${child}`);
  });
});

describe('a full subvolume', () => {
  it('gets linktos, the roomiest one the files', async () => {
    const rig = await distributeRig({ options: { 'min-free-disk': '99%' } });
    await rig.walk('/');
    const { d } = rig;
    await d.space.refresh();
    const statfs = await rig.ops.statfs(rig.call, { loc: locOf(rootGfid) });
    if (!statfs.ok) throw new Error('statfs');
    const one = { ...statfs.statfs, blocks: 100, blocksFree: 50, blocksAvailable: 50 };
    const original = rig.doors.map((door) => door.ops.statfs);
    rig.doors.forEach((door, i) => {
      const answers = door.ops as { statfs: unknown };
      answers.statfs = async () => ({ ok: true, statfs: { ...one, blocksAvailable: i === 1 ? 60 : 50 } });
    });
    await rig.services.clock.advance(1500);
    await d.space.refresh();
    await rig.services.clock.advance(0);
    for (let i = 0; i < 12; i++) {
      await create(rig, `/mf${i}`);
      expect((await spread(rig, `/mf${i}`))[1]).toBe('data');
      expect(await read(rig, `/mf${i}`)).toBe('x');
    }
    expect((await spread(rig, '/mf1')).filter((kind) => kind === 'linkto:tr-client-1').length).toBeLessThanOrEqual(1);
    expect(original).toHaveLength(3);
  });
});

describe('events', () => {
  it('say up when all have answered and one is up, and down when none is', async () => {
    const rig = await distributeRig();
    const ups = () => rig.events.map((event) => event.type).filter((type) => type.startsWith('child-'));
    expect(ups()).toEqual(['child-up']);
    rig.doors[0]!.close();
    rig.doors[1]!.close();
    expect(ups()).toEqual(['child-up']);
    rig.doors[2]!.close();
    expect(ups()).toEqual(['child-up', 'child-down']);
    rig.doors[1]!.open();
    expect(ups()).toEqual(['child-up', 'child-down', 'child-up']);
  });
});

describe('over a single subvolume', () => {
  it('passes straight through, and lays directories out', async () => {
    const rig = await distributeRig({ children: 1, name: 'dl1' });
    await rig.walk('/');
    // GlusterFS leaves the root without, and lays it out as soon as there is a second subvolume.
    expect(await rig.xattr(0, '/', layoutName)).toBe('000000000000000000000000ffffffff');
    expect(rig.d.ops.readv).toBe(rig.doors[0]!.ops.readv);
    await mkdir(rig, '/dir0');
    expect(await rig.xattr(0, '/dir0', layoutName)).toBe('000000000000000000000000ffffffff');
    expect(await rig.xattr(0, '/dir0', `${layoutName}.mds`)).toBeUndefined();
  });
});

describe('a compound', () => {
  it('on one file goes to its subvolume whole', async () => {
    const rig = await distributeRig();
    const { fd } = await create(rig, '/f', 'hello');
    const steps = [
      { fop: 'writev', args: { fd, offset: 0, data: Buffer.from('J') } },
      { fop: 'readv', args: { fd, size: 10, offset: 0 } },
      { fop: 'flush', args: { fd } },
    ];
    const before = rig.requests();
    const reply = await rig.ops.compound(rig.call, { steps });
    expect(reply.ok && reply.replies.map((one) => one.ok)).toEqual([true, true, true]);
    expect(rig.doors.reduce((sum, door) => sum + (door.counts.get('compound') ?? 0), 0)).toBe(1);
    expect(rig.requests() - before).toBe(1);
  });
});
