import { Errno, Fd, FileType, type Gfid, locAt, locOf, newGfid, rootGfid } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { alike } from './fix-layout.ts';
import { assignRanges, childOfHash, layoutOf, type Part } from './layout.ts';
import { migrateFile } from './migrate.ts';
import type { FileToMove } from './moved.ts';
import { Rebalance, type RebalanceKind } from './rebalance.ts';
import { type DistributeRig, distributeRig, joined } from './rig.ts';

const linkto = 'trusted.glusterfs.dht.linkto';
const regular = FileType.regular << 12;
const directory = FileType.directory << 12;

async function write(rig: DistributeRig, parent: Gfid, name: string, text: string, mode = 0o640): Promise<Gfid> {
  const gfid = rig.gfid();
  const fd = new Fd(gfid, 2);
  const made = await rig.ops.create(rig.call, {
    loc: locAt(parent, name),
    flags: 0o102,
    mode: regular | mode,
    gfid,
    fd,
  });
  if (!made.ok) throw new Error(`create ${name}: ${made.errno}`);
  await rig.ops.writev(rig.call, { fd, offset: 0, data: Buffer.from(text) });
  fd.release();
  return gfid;
}

async function read(rig: DistributeRig, gfid: Gfid): Promise<string> {
  const reply = await rig.ops.readv(rig.call, { fd: new Fd(gfid), size: 65536, offset: 0 });
  if (!reply.ok) throw new Error(`read: ${reply.errno}`);
  return Buffer.from(reply.data).toString();
}

async function kinds(rig: DistributeRig, path: string): Promise<string[]> {
  const found = await Promise.all(rig.bricks.map((_, i) => rig.onBrick(i, path)));
  return found.map((one) => {
    if (!one) return '-';
    return one.xattrs[linkto] && one.iatt.mode === 0o1000 ? 'linkto' : 'data';
  });
}

/** A volume on two bricks with files, mounted once more with a third brick. */
async function grown(files: number, storage: 'memory' | 'posix' = 'memory') {
  const small = await distributeRig({ children: 2, storage });
  await small.walk('/');
  const sub = rigGfid(small);
  await small.ops.mkdir(small.call, { loc: locAt(rootGfid, 'd'), mode: directory | 0o755, gfid: sub });
  const names = Array.from({ length: files }, (_, i) => (i % 2 ? `d/f${i}` : `f${i}`));
  const gfids = new Map<string, Gfid>();
  for (const [i, path] of names.entries())
    gfids.set(path, await write(small, i % 2 ? sub : rootGfid, `f${i}`, `content of ${path}`));
  const more = await distributeRig({ children: 1, name: 'new', storage });
  const rig = await distributeRig({ children: 3, over: joined(small, more) });
  await rig.walk('/');
  const close = async () => {
    for (const each of [rig, small, more]) await each.close();
  };
  return { rig, small, names, gfids, close };
}

const rigGfid = (rig: DistributeRig) => newGfid(rig.services.random);
const rebalance = (rig: DistributeRig, kind: RebalanceKind) => new Rebalance(rig.d, kind).run();

describe('fix-layout', () => {
  it('gives a new child its share of every directory, and moves nothing', async () => {
    const { rig, names, close } = await grown(12);
    const before = await Promise.all(names.map((path) => kinds(rig, `/${path}`)));
    expect(await rebalance(rig, 'fix-layout')).toMatchObject({ state: 'completed', movedFiles: 0, failures: 0 });
    for (const path of ['/', '/d']) {
      const ranges = await Promise.all([0, 1, 2].map((i) => rig.xattr(i, path, 'trusted.glusterfs.dht')));
      expect(ranges.every((hex) => hex !== undefined && !hex.endsWith('0'.repeat(16)))).toBe(true);
    }
    expect(await Promise.all(names.map((path) => kinds(rig, `/${path}`)))).toEqual(before);
    await close();
  });

  it('keeps as many names as possible where they are', () => {
    const named = (count: number) =>
      Array.from({ length: count }, (_, i) => ({ name: `c${i}`, usable: true, chunks: 0 }));
    const how = { seed: 0, spread: 0, weighted: false, commit: 1 };
    const old = assignRanges(named(2), { ...how, seed: 1 });
    const before = layoutOf([...old.map((range): Part => ({ state: 'range', range })), { state: 'bare' }]);
    const after = alike(assignRanges(named(3), how), before);
    const layout = layoutOf(after.map((range): Part => ({ state: 'range', range })));
    let moved = 0;
    for (let hash = 0; hash < 2 ** 32; hash += 2 ** 24)
      if (childOfHash(before, hash) !== childOfHash(layout, hash) && childOfHash(layout, hash) !== 2) moved++;
    // The new one takes a third; of the rest at most a sixth has to change places.
    expect(moved).toBeLessThanOrEqual(256 / 6 + 1);
  });
});

it('reaches every directory, whatever child its name hashes to afterwards', async () => {
  const { rig, close } = await grown(0);
  const paths = Array.from({ length: 12 }, (_, i) => `d${i}`);
  for (const name of paths)
    await rig.ops.mkdir(rig.call, { loc: locAt(rootGfid, name), mode: directory | 0o755, gfid: rig.gfid() });
  // As they were before the third brick came.
  for (const name of paths) await rig.bricks[2]!.rmdir(rig.call, { loc: locAt(rootGfid, name), recursive: true });
  await rebalance(rig, 'force');
  for (const name of paths) expect(await rig.onBrick(2, `/${name}`), name).not.toBeNull();
  await close();
});

describe('moving files', () => {
  for (const storage of ['memory', 'posix'] as const)
    it(`takes every file to where it hashes to, with all that belongs to it (${storage})`, async () => {
      const { rig, small, names, gfids, close } = await grown(24, storage);
      const attr = { mode: 0o604, uid: 12, gid: 34, mtime: { sec: 1_000_000, nsec: 5 } };
      for (const gfid of gfids.values()) {
        await small.ops.setattr(small.call, { loc: locOf(gfid), attr });
        await small.ops.setxattr(small.call, { loc: locOf(gfid), xattrs: { 'user.a': Buffer.from('b') }, flags: 0 });
      }
      const status = await rebalance(rig, 'force');
      expect(status).toMatchObject({ state: 'completed', failures: 0, skipped: 0 });
      expect(status.movedFiles).toBeGreaterThan(0);
      expect(status.scanned).toBeGreaterThanOrEqual(names.length);
      for (const [path, gfid] of gfids) {
        const at = await kinds(rig, `/${path}`);
        expect(
          at.filter((kind) => kind === 'data'),
          path,
        ).toHaveLength(1);
        const slash = path.lastIndexOf('/');
        const parent = slash < 0 ? rootGfid : await rig.at(`/${path.slice(0, slash)}`);
        expect(at.indexOf('data'), path).toBe(await rig.d.hashedOf(rig.call, parent, path.slice(slash + 1)));
        expect(await read(rig, gfid)).toBe(`content of ${path}`);
        expect(await rig.walk(`/${path}`)).toMatchObject({ iatt: { mode: 0o604, uid: 12, gid: 34, mtime: 1_000_000 } });
        const value = await rig.ops.getxattr(rig.call, { loc: locOf(gfid), name: 'user.a' });
        expect(value).toMatchObject({ ok: true });
        // A client that knows the file at its old place finds it.
        expect(await read(small, gfid).catch((error) => String(error))).toMatch(/content|read: (2|116)/);
      }
      await close();
    });

  it('empties a child that leaves the volume', async () => {
    const rig = await distributeRig({ children: 3 });
    await rig.walk('/');
    for (let i = 0; i < 20; i++) await write(rig, rootGfid, `f${i}`, `text ${i}`);
    const target = Buffer.from('nowhere').toString();
    await rig.ops.symlink(rig.call, { loc: locAt(rootGfid, 'l'), target, gfid: rig.gfid() });
    const leaving = await distributeRig({
      children: 3,
      over: rig,
      options: { 'decommissioned-bricks': 'tr-client-1' },
    });
    await leaving.walk('/');
    expect(await rebalance(leaving, 'detach')).toMatchObject({ state: 'completed', failures: 0 });
    for (let i = 0; i < 20; i++) {
      expect((await kinds(leaving, `/f${i}`))[1]).toBe('-');
      expect(await read(leaving, await leaving.at(`/f${i}`))).toBe(`text ${i}`);
    }
    expect(await leaving.onBrick(1, '/l')).toBeNull();
    expect((await leaving.walk('/l')).ok).toBe(true);
    for (const each of [leaving, rig]) await each.close();
  });

  async function one() {
    const rig = await distributeRig({ children: 2, storage: 'posix' });
    await rig.walk('/');
    const gfid = await write(rig, rootGfid, 'f', 'old text');
    const from = (await kinds(rig, '/f')).indexOf('data');
    const file: FileToMove = { parent: rootGfid, name: 'f', gfid, from, to: 1 - from };
    const call = { ...rig.call, clientId: 'mover' };
    return { rig, gfid, file, call };
  }

  it('moves what another client has open, who goes on with the same descriptor', async () => {
    const { rig, gfid, file, call } = await one();
    const fd = new Fd(gfid, 2);
    await rig.ops.open(rig.call, { loc: locOf(gfid), flags: 2, fd });
    expect(await migrateFile(rig.d, call, file)).toMatchObject({ outcome: 'moved', bytes: 8 });
    await rig.ops.writev(rig.call, { fd, offset: 0, data: Buffer.from('new') });
    expect(await read(rig, gfid)).toBe('new text');
    expect((await rig.onBrick(file.to, '/f'))!.iatt).toMatchObject({ size: 8, mode: 0o640 });
    const back = { ...file, from: file.to, to: file.from };
    const other = new Fd(gfid, 2);
    await rig.ops.open(rig.call, { loc: locOf(gfid), flags: 2, fd: other });
    // Back to where it was open before, and is again.
    expect(await migrateFile(rig.d, call, back)).toEqual({ outcome: 'moved', bytes: 8 });
    await rig.ops.writev(rig.call, { fd, offset: 0, data: Buffer.from('new') });
    fd.release();
    await rig.ops.writev(rig.call, { fd: other, offset: 4, data: Buffer.from('TEXT') });
    expect(await read(rig, gfid)).toBe('new TEXT');
    // Open there, it outlives its name.
    await rig.ops.unlink(rig.call, { loc: locAt(rootGfid, 'f', gfid) });
    const kept = await rig.ops.readv(rig.call, { fd: other, size: 100, offset: 0 });
    expect(kept.ok && Buffer.from(kept.data).toString()).toBe('new TEXT');
    other.release();
    await rig.close();
  });

  it('leaves alone what another client has locked, and an empty linkto in its place', async () => {
    const { rig, gfid, file, call } = await one();
    const fd = new Fd(gfid, 2);
    await rig.ops.open(rig.call, { loc: locOf(gfid), flags: 2, fd });
    const lock = (type: 'write' | 'unlock') =>
      rig.ops.lk(rig.call, { fd, command: 'set', flock: { type, start: 0, length: 0, owner: '01', pid: 1 } });
    expect(await lock('write')).toMatchObject({ ok: true });
    expect(await migrateFile(rig.d, call, file)).toEqual({ outcome: 'skipped', reason: 'it is locked' });
    expect((await rig.onBrick(file.to, '/f'))!.iatt).toMatchObject({ size: 0, mode: 0o1000 });
    await lock('unlock');
    expect(await migrateFile(rig.d, call, file)).toMatchObject({ outcome: 'moved' });
    expect(await lock('write')).toMatchObject({ ok: true });
    fd.release();
    await rig.close();
  });

  it('has whatever is written while it copies', async () => {
    const { rig, gfid, file, call } = await one();
    const door = rig.doors[file.to]!;
    let wrote = false;
    door.refuse = (fop) => {
      if (fop === 'fsync' && !wrote) {
        wrote = true;
        void rig.ops.truncate(rig.call, { loc: locOf(gfid), size: 3 });
      }
      return undefined;
    };
    expect(await migrateFile(rig.d, call, file)).toMatchObject({ outcome: 'moved' });
    expect(wrote).toBe(true);
    expect(await read(rig, gfid)).toBe('old');
    await rig.close();
  });

  it('makes who comes to the brick while the names change places wait, and sends him on', async () => {
    const { rig, gfid, file, call } = await one();
    let late: Promise<unknown> | undefined;
    const fd = new Fd(gfid, 2);
    const brick = rig.doors[file.from]!;
    brick.refuse = (fop, args) => {
      if (fop === 'setxattr' && linkto in (args as { xattrs: object }).xattrs)
        late ??= brick.child.open(rig.call, { loc: locOf(gfid), flags: 2, fd });
      return undefined;
    };
    expect(await migrateFile(rig.d, call, file)).toMatchObject({ outcome: 'moved' });
    // Opened there it would be written there.
    expect(await late).toMatchObject({ ok: false });
    rig.d.remember(gfid, { kind: 'file', child: file.from });
    expect(await rig.ops.open(rig.call, { loc: locOf(gfid), flags: 2, fd })).toMatchObject({ ok: true });
    await rig.ops.writev(rig.call, { fd, offset: 0, data: Buffer.from('NEW') });
    expect(await kinds(rig, '/f')).toEqual(file.to === 0 ? ['data', '-'] : ['-', 'data']);
    expect(await read(rig, gfid)).toBe('NEW text');
    await rig.close();
  });

  it.each(['setattr', 'removexattr', 'unlink'] as const)(
    'that ends at the %s is found, written and ended later',
    async (step) => {
      const { rig, gfid, file, call } = await one();
      const at = step === 'unlink' ? file.from : file.to;
      rig.doors[at]!.refuse = (fop) => (fop === step ? Errno.EIO : undefined);
      await migrateFile(rig.d, call, file);
      rig.doors[at]!.refuse = () => undefined;
      for (const door of rig.doors) door.counts.clear();
      // A client that knows nothing, and one that knows the old place.
      rig.d.forgetState(gfid);
      expect(await rig.walk('/f')).toMatchObject({ ok: true, iatt: { gfid, size: 8, mode: 0o640 } });
      rig.d.remember(gfid, { kind: 'file', child: file.from });
      await rig.ops.truncate(rig.call, { loc: locOf(gfid), size: 3 });
      rig.d.forgetState(gfid);
      expect(await read(rig, gfid)).toBe('old');
      await migrateFile(rig.d, call, file);
      expect((await kinds(rig, '/f')).filter((kind) => kind === 'data')).toHaveLength(1);
      expect(await read(rig, await rig.at('/f'))).toBe('old');
      await rig.close();
    },
  );

  it('is asked for by root with an attribute', async () => {
    const { rig, gfid, file } = await one();
    const name = 'trusted.distribute.migrate-data';
    const ask = (uid = 0) =>
      rig.ops.setxattr({ ...rig.call, uid }, { loc: locOf(gfid), xattrs: { [name]: Buffer.from('force') }, flags: 0 });
    expect(await ask()).toEqual({ ok: false, errno: Errno.EEXIST });
    // As a layout fix leaves it: its name hashes to the other one.
    const layouts = await Promise.all([0, 1].map((i) => rig.xattr(i, '/', 'trusted.glusterfs.dht')));
    for (const i of [0, 1]) {
      const value = Buffer.from(layouts[1 - i]!, 'hex');
      await rig.bricks[i]!.setxattr(
        { ...rig.call, internal: 'rebalance' },
        {
          loc: locOf(rootGfid),
          xattrs: { 'trusted.glusterfs.dht': value },
          flags: 0,
        },
      );
    }
    expect(await ask(7)).toEqual({ ok: false, errno: Errno.EPERM });
    expect(await ask()).toEqual({ ok: true });
    expect((await kinds(rig, '/f')).indexOf('data')).toBe(file.to);
    expect(await ask()).toEqual({ ok: false, errno: Errno.EEXIST });
    await rig.close();
  });

  it('takes all back when a file of the mode of a linkto cannot be made more than one', async () => {
    const { rig, gfid, file, call } = await one();
    await rig.ops.setattr(rig.call, { loc: locOf(gfid), attr: { mode: 0o1000 } });
    rig.doors[file.to]!.refuse = (fop) => (fop === 'removexattr' ? Errno.EIO : undefined);
    expect(await migrateFile(rig.d, call, file)).toMatchObject({ outcome: 'failed' });
    rig.doors[file.to]!.refuse = () => undefined;
    expect(await read(rig, gfid)).toBe('old text');
    expect(await migrateFile(rig.d, call, file)).toMatchObject({ outcome: 'moved' });
    expect(await read(rig, gfid)).toBe('old text');
    await rig.close();
  });

  it('leaves a file where one of its names belongs', async () => {
    const { rig, gfid, file, call } = await one();
    await rig.bricks[file.from]!.link(rig.call, { from: locOf(gfid), to: locAt(rootGfid, 'g') });
    const at = await rig.d.hashedOf(rig.call, rootGfid, 'g');
    expect(at).toBe(file.from);
    expect(await migrateFile(rig.d, call, file)).toMatchObject({ outcome: 'skipped' });
    await rig.close();
  });

  it('moves a file with all its names', async () => {
    const rig = await distributeRig({ children: 3, storage: 'posix' });
    await rig.walk('/');
    const gfid = await write(rig, rootGfid, 'f', 'text');
    const from = (await kinds(rig, '/f')).indexOf('data');
    const others: string[] = [];
    for (let i = 0; others.length < 6; i++)
      if ((await rig.d.hashedOf(rig.call, rootGfid, `n${i}`)) !== from) others.push(`n${i}`);
    for (const name of others)
      expect(await rig.ops.link(rig.call, { from: locOf(gfid), to: locAt(rootGfid, name) })).toMatchObject({
        ok: true,
      });
    // The first name hashes to where it is; without it, all others belong elsewhere.
    expect(await rig.ops.unlink(rig.call, { loc: locAt(rootGfid, 'f', gfid) })).toMatchObject({ ok: true });
    expect(await rebalance(rig, 'force')).toMatchObject({ state: 'completed', movedFiles: 1, failures: 0 });
    for (const name of others) {
      const found = await kinds(rig, `/${name}`);
      expect(
        found.filter((kind) => kind === 'data'),
        name,
      ).toHaveLength(1);
      expect(found[from], name).toBe('-');
      const at = await rig.d.hashedOf(rig.call, rootGfid, name);
      expect(found[at as number], name).not.toBe('-');
      rig.d.forgetState(gfid);
      expect(await rig.walk(`/${name}`)).toMatchObject({ ok: true, iatt: { gfid, nlink: 6, size: 4 } });
    }
    expect(await read(rig, gfid)).toBe('text');
    await rig.close();
  });
});
