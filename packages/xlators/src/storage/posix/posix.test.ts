import { existsSync, mkdirSync, readdirSync, rmSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import {
  Errno,
  Fd,
  FileType,
  type FopName,
  type Gfid,
  gfidBytes,
  gfidFromBytes,
  locAt,
  locOf,
  parseOptions,
  type Reply,
  rootGfid,
} from '@mortar/core';
import * as libc from '@mortar/libc';
import { afterEach, describe, expect, it } from 'vitest';
import { type RigServices, rigServices } from '../../lib/translator-rig.ts';
import { handlePath } from './handle.ts';
import { xlator as posix } from './index.ts';
import { type PosixRig, posixRig, removeBrick, rootAt, temporaryBrick } from './rig.ts';

const gfid = (n: number): Gfid => gfidFromBytes(new Uint8Array(16).fill(n));
const bytes = (text: string) => new Uint8Array(Buffer.from(text));
let rig: PosixRig | null = null;
const extra: string[] = [];

afterEach(async () => {
  await rig?.close();
  rig = null;
  for (const directory of extra.splice(0)) removeBrick(directory);
});

async function start(texts: Record<string, string> = {}, services?: RigServices): Promise<PosixRig> {
  rig = await posixRig(texts, services);
  return rig;
}

function ok<N extends FopName>(reply: Reply<N>) {
  if (!reply.ok) throw new Error(`errno ${reply.errno}`);
  return reply as Extract<Reply<N>, { ok: true }>;
}

function made(): string {
  const directory = temporaryBrick();
  extra.push(directory);
  return directory;
}

async function make(r: PosixRig, name: string, id: Gfid, mode = 0o100644, parent = rootGfid) {
  return ok(await r.ops.mknod(rootAt(), { loc: locAt(parent, name), mode, rdevMajor: 0, rdevMinor: 0, gfid: id }));
}

describe('start', () => {
  const volumeId = '11111111-2222-4333-8444-555555555555';

  it('refuses a directory that is missing, is none, or is another volume’s', async () => {
    const directory = made();
    await expect(posixRig({ directory: `${directory}/absent` })).rejects.toThrow(/absent' doesn't exist, exiting/);
    writeFileSync(`${directory}/file`, '');
    await expect(posixRig({ directory: `${directory}/file` })).rejects.toThrow(/is not a directory/);
    await expect(posixRig({ directory, 'volume-id': volumeId })).rejects.toThrow(
      /Extended attribute trusted.glusterfs.volume-id is absent/,
    );
    expect(existsSync(`${directory}/.glusterfs`)).toBe(false);
    libc.setxattr(directory, 'trusted.glusterfs.volume-id', gfidBytes(gfid(9)));
    await expect(posixRig({ directory, 'volume-id': volumeId })).rejects.toThrow(/mismatching volume-id/);
    libc.setxattr(directory, 'trusted.glusterfs.volume-id', gfidBytes(volumeId as Gfid));
    await start({ directory, 'volume-id': volumeId.toUpperCase() });
  });

  it('refuses a directory inside of a brick, and a bad octal option', async () => {
    const directory = made();
    libc.setxattr(directory, 'trusted.gfid', gfidBytes(gfid(7)));
    await expect(posixRig({ directory })).rejects.toThrow(/inside of another brick/);
    await expect(posixRig({ directory, 'create-mask': '999' })).rejects.toThrow(/create-mask/);
  });

  it('makes the tree that GlusterFS makes', async () => {
    const { directory } = await start({ directory: made() });
    const hidden = join(directory, '.glusterfs');
    const names = readdirSync(hidden);
    expect(names.filter((name) => /^[0-9a-f]{2}$/.test(name))).toHaveLength(256);
    for (const name of [
      'indices/xattrop',
      'indices/dirty',
      'indices/entry-changes',
      'landfill',
      'unlink',
      'changelogs/htime',
      'changelogs/csnap',
    ])
      expect(existsSync(join(hidden, name))).toBe(true);
    expect(libc.readlinkat(-100, join(hidden, handlePath(rootGfid)))).toBe('../../..');
    expect(libc.getxattr(directory, 'trusted.gfid')).toEqual(new Uint8Array(gfidBytes(rootGfid)));
  });

  it('gives the root its owner, and another one when that is set later; -1 leaves it', async () => {
    const directory = made();
    const owner = () => [statSync(directory).uid, statSync(directory).gid];
    const r = await start({ directory, 'brick-uid': '1001' });
    expect(owner()).toEqual([1001, 0]);
    const set = (texts: Record<string, string>) =>
      r.xlator.reconfigure(parseOptions(posix.options, new Map(Object.entries({ directory, ...texts }))).values);
    set({ 'brick-uid': '1002', 'brick-gid': '7' });
    expect(owner()).toEqual([1002, 7]);
    set({});
    expect(owner()).toEqual([1002, 7]);
  });

  it('empties unlink and landfill, handles included', async () => {
    const directory = made();
    let r = await posixRig({ directory });
    ok(await r.ops.mkdir(rootAt(), { loc: locAt(rootGfid, 'd'), mode: 0o755, gfid: gfid(1) }));
    await make(r, 'f', gfid(2), 0o100644, gfid(1));
    ok(await r.ops.rmdir(rootAt(), { loc: locAt(rootGfid, 'd'), recursive: true }));
    expect(existsSync(`${directory}/.glusterfs/landfill/${gfid(1)}/f`)).toBe(true);
    await r.close();
    writeFileSync(`${directory}/.glusterfs/unlink/${gfid(3)}`, 'x');
    const services = rigServices();
    r = await posixRig({ directory }, services);
    await services.clock.advance(10);
    expect(readdirSync(`${directory}/.glusterfs/landfill`)).toEqual([]);
    expect(readdirSync(`${directory}/.glusterfs/unlink`)).toEqual([]);
    expect(existsSync(`${directory}/.glusterfs/${handlePath(gfid(2))}`)).toBe(false);
    await r.close();
  });
});

describe('what the file system keeps for itself', () => {
  it('is not found, made, listed or removed', async () => {
    const r = await start();
    const loc = locAt(rootGfid, '.glusterfs');
    expect(await r.ops.lookup(rootAt(), { loc })).toEqual({ ok: false, errno: Errno.EPERM });
    expect(await r.ops.mkdir(rootAt(), { loc, mode: 0o755, gfid: gfid(1) })).toEqual({ ok: false, errno: Errno.EPERM });
    expect(await r.ops.rmdir(rootAt(), { loc, recursive: true })).toEqual({ ok: false, errno: Errno.EPERM });
    const page = ok(await r.ops.readdir(rootAt(), { fd: new Fd(rootGfid), size: 9999, offset: 0 }));
    expect(page.entries.map((entry) => entry.name)).toEqual(['.', '..']);
  });

  it('is refused to ordinary clients as an attribute, and open to its own', async () => {
    const r = await start();
    await make(r, 'f', gfid(1));
    const loc = locOf(gfid(1));
    for (const name of [
      'trusted.gfid',
      'trusted.afr.v-client-0',
      'trusted.glusterfs.dht',
      'trusted.ec.size',
      'trusted.bit-rot.version',
    ]) {
      expect(await r.ops.setxattr(rootAt(), { loc, xattrs: { [name]: bytes('x') }, flags: 0 })).toEqual({
        ok: false,
        errno: Errno.EPERM,
      });
      expect(await r.ops.removexattr(rootAt(), { loc, name })).toEqual({ ok: false, errno: Errno.EPERM });
    }
    const own = rootAt({ internal: 'rebalance' });
    ok(await r.ops.setxattr(own, { loc, xattrs: { 'trusted.glusterfs.dht': bytes('x') }, flags: 0 }));
    expect((await r.ops.setxattr(own, { loc, xattrs: { 'trusted.gfid': bytes('x') }, flags: 0 })).ok).toBe(false);
    ok(await r.ops.setxattr(rootAt(), { loc, xattrs: { 'trusted.mine': bytes('y') }, flags: 0 }));
    expect(Object.keys(ok(await r.ops.getxattr(rootAt(), { loc })).xattrs)).toEqual(['trusted.mine']);
    const want = ['trusted.glusterfs.dht', 'trusted.gfid2path.*', 'absent'];
    const found = ok(await r.ops.lookup(rootAt(), { loc, want }));
    expect(Object.keys(found.xattrs)).toHaveLength(2);
    expect(
      (await r.ops.setxattr(rootAt(), { loc, xattrs: { [`user.${'n'.repeat(251)}`]: bytes('') }, flags: 0 })).ok,
    ).toBe(false);
  });
});

describe('virtual attributes', () => {
  it('tell paths, hosts and names', async () => {
    const r = await start();
    ok(await r.ops.mkdir(rootAt(), { loc: locAt(rootGfid, 'Dir'), mode: 0o755, gfid: gfid(1) }));
    await make(r, 'File\xff', gfid(2), 0o100644, gfid(1));
    ok(await r.ops.link(rootAt(), { from: locOf(gfid(2)), to: locAt(rootGfid, 'other') }));
    const get = async (id: Gfid, name: string) => {
      const value = ok(await r.ops.getxattr(rootAt(), { loc: locOf(id), name })).xattrs[name]!;
      return Buffer.from(value).toString('latin1');
    };
    expect((await get(gfid(2), 'glusterfs.gfidtopath')).split(':').sort()).toEqual(['/Dir/File\xff', '/other']);
    expect(await get(gfid(1), 'glusterfs.ancestry.path')).toBe('/Dir');
    expect(await get(gfid(1), 'glusterfs.gfid.string')).toBe(gfid(1));
    const dir = r.directory;
    expect(await get(gfid(1), 'trusted.glusterfs.pathinfo')).toBe(`<POSIX(${dir}):${hostname()}:${dir}/Dir>\0`);
    expect(await get(rootGfid, 'glusterfs.get_real_filename:DIR')).toBe('Dir\0');
    const absent = await r.ops.getxattr(rootAt(), { loc: locOf(rootGfid), name: 'glusterfs.get_real_filename:x' });
    expect(absent).toEqual({ ok: false, errno: Errno.ENOENT });
  });
});

describe('lookup', () => {
  it('adopts what was put on the brick, when the client brings a gfid', async () => {
    const r = await start();
    mkdirSync(`${r.directory}/old`);
    writeFileSync(`${r.directory}/old/f`, 'contents');
    const dir = locAt(rootGfid, 'old');
    expect(await r.ops.lookup(rootAt(), { loc: dir })).toEqual({
      ok: false,
      errno: Errno.ENODATA,
      xdata: { typeWithoutGfid: FileType.directory },
    });
    expect(ok(await r.ops.lookup(rootAt(), { loc: dir, gfid: gfid(1) })).iatt.gfid).toBe(gfid(1));
    const file = ok(await r.ops.lookup(rootAt(), { loc: locAt(gfid(1), 'f'), gfid: gfid(2) })).iatt;
    expect(file).toMatchObject({ gfid: gfid(2), size: 8, nlink: 1 });
    expect(ok(await r.ops.stat(rootAt(), { loc: locOf(gfid(2)) })).iatt).toEqual(file);
    // Once given, a gfid stays.
    expect(ok(await r.ops.lookup(rootAt(), { loc: dir, gfid: gfid(3) })).iatt.gfid).toBe(gfid(1));
    writeFileSync(`${r.directory}/another`, '');
    const taken = await r.ops.lookup(rootAt(), { loc: locAt(rootGfid, 'another'), gfid: gfid(2) });
    expect(taken).toEqual({ ok: false, errno: Errno.EEXIST });
  });

  it('gives back a handle that was lost', async () => {
    const r = await start();
    await make(r, 'f', gfid(1));
    unlinkSync(`${r.directory}/.glusterfs/${handlePath(gfid(1))}`);
    expect(await r.ops.stat(rootAt(), { loc: locOf(gfid(1)) })).toEqual({ ok: false, errno: Errno.ESTALE });
    expect(ok(await r.ops.lookup(rootAt(), { loc: locAt(rootGfid, 'f') })).iatt.nlink).toBe(1);
    ok(await r.ops.stat(rootAt(), { loc: locOf(gfid(1)) }));
  });

  it('notices a directory that was removed behind its back', async () => {
    const r = await start();
    ok(await r.ops.mkdir(rootAt(), { loc: locAt(rootGfid, 'd'), mode: 0o755, gfid: gfid(1) }));
    rmSync(`${r.directory}/d`, { recursive: true });
    expect(await r.ops.lookup(rootAt(), { loc: locAt(rootGfid, 'd') })).toMatchObject({
      ok: false,
      errno: Errno.ENOENT,
    });
    expect(await r.ops.stat(rootAt(), { loc: locOf(gfid(1)) })).toEqual({ ok: false, errno: Errno.ESTALE });
    ok(await r.ops.mkdir(rootAt(), { loc: locAt(rootGfid, 'd'), mode: 0o755, gfid: gfid(1) }));
    ok(await r.ops.stat(rootAt(), { loc: locOf(gfid(1)) }));
  });

  it('follows a path deeper than PATH_MAX', async () => {
    const directory = made();
    let r = await posixRig({ directory });
    let parent = rootGfid;
    for (let i = 0; i < 60; i++) {
      const id = gfidFromBytes(new Uint8Array(16).fill(100).fill(i, 0, 8));
      ok(await r.ops.mkdir(rootAt(), { loc: locAt(parent, 'x'.repeat(200)), mode: 0o755, gfid: id }));
      parent = id;
    }
    await make(r, 'f', gfid(1), 0o100644, parent);
    await r.close();
    r = await posixRig({ directory });
    expect(ok(await r.ops.lookup(rootAt(), { loc: locAt(parent, 'f') })).iatt.gfid).toBe(gfid(1));
    ok(await r.ops.rename(rootAt(), { from: locAt(parent, 'f'), to: locAt(rootGfid, 'f'), flags: 0 }));
    await r.close();
  });
});

describe('mknod of a gfid that is there', () => {
  it('makes one more name of it, unless it is of another type', async () => {
    const r = await start();
    await make(r, 'f', gfid(1));
    expect((await make(r, 'g', gfid(1))).iatt).toMatchObject({ gfid: gfid(1), nlink: 2 });
    const fifo = { loc: locAt(rootGfid, 'p'), mode: 0o010644, rdevMajor: 0, rdevMinor: 0, gfid: gfid(1) };
    expect(await r.ops.mknod(rootAt(), fifo)).toEqual({ ok: false, errno: Errno.EEXIST });
  });
});

describe('limits', () => {
  it('refuses more names than max-hardlinks', async () => {
    const r = await start({ 'max-hardlinks': '2' });
    await make(r, 'f', gfid(1));
    ok(await r.ops.link(rootAt(), { from: locOf(gfid(1)), to: locAt(rootGfid, 'g') }));
    const third = await r.ops.link(rootAt(), { from: locOf(gfid(1)), to: locAt(rootGfid, 'h') });
    expect(third).toEqual({ ok: false, errno: Errno.EMLINK });
  });
});

describe('an object without a name', () => {
  it('is made by icreate and named by namelink', async () => {
    const r = await start();
    ok(await r.ops.icreate(rootAt(), { gfid: gfid(1), mode: 0o100600 }));
    ok(await r.ops.namelink(rootAt(), { loc: locAt(rootGfid, 'f', gfid(1)) }));
    expect(ok(await r.ops.lookup(rootAt(), { loc: locAt(rootGfid, 'f') })).iatt).toMatchObject({
      gfid: gfid(1),
      nlink: 1,
    });
  });
});

describe('xattrop', () => {
  it('counts from zero, tells the new values, and is one for all names', async () => {
    const r = await start();
    await make(r, 'f', gfid(1));
    const values = {
      'trusted.afr.v-client-0': Uint8Array.from([0, 0, 0, 1, 0, 0, 0, 0, 255, 255, 255, 255]),
      'trusted.afr.dirty': new Uint8Array(12),
    };
    const loc = locOf(gfid(1));
    ok(await r.ops.xattrop(rootAt(), { loc, operation: 'add32', values }));
    const { xattrs } = ok(await r.ops.xattrop(rootAt(), { loc, operation: 'add32', values }));
    expect([...xattrs['trusted.afr.v-client-0']!]).toEqual([0, 0, 0, 2, 0, 0, 0, 0, 255, 255, 255, 254]);
    expect(libc.getxattr(`${r.directory}/f`, 'trusted.afr.dirty')).toEqual(new Uint8Array(12));
    const odd = { 'trusted.afr.x': new Uint8Array(3) };
    expect(await r.ops.xattrop(rootAt(), { loc, operation: 'add32', values: odd })).toEqual({
      ok: false,
      errno: Errno.EINVAL,
    });
  });
});

describe('an open', () => {
  it('of a file without a name is for those who have it open', async () => {
    const r = await start();
    await make(r, 'f', gfid(1));
    const id = (second: number) => `a-host-77-${second}-0123456789ab-v-client-0`;
    const open = async (more: Parameters<typeof rootAt>[0]) => {
      const reply = await r.ops.open(rootAt(more), { loc: locOf(gfid(1)), flags: 0, fd: new Fd(gfid(1), 0) });
      return reply.ok || reply.errno;
    };
    expect(await open({ clientId: id(1) })).toBe(true);
    ok(await r.ops.unlink(rootAt(), { loc: locAt(rootGfid, 'f', gfid(1)) }));
    expect(await open({ clientId: 'another' })).toBe(Errno.ESTALE);
    expect(await open({ clientId: 'a-host-78-1-0123456789ab-v-client-0' })).toBe(Errno.ESTALE);
    expect(await open({ clientId: id(1) })).toBe(true);
    // The same mount, in its next graph.
    expect(await open({ clientId: id(2) })).toBe(true);
    expect(await open({ clientId: 'another', internal: 'self-heal' })).toBe(true);
  });

  it('brings what a small file holds, to who may read it', async () => {
    const r = await start();
    const id = gfid(9);
    await make(r, 'f', id);
    const open = async (flags: number, contents?: number) => {
      const fd = new Fd(id, flags);
      const reply = ok(await r.ops.open(rootAt(), { loc: locOf(id), flags, fd, ...(contents && { contents }) }));
      fd.release();
      return reply.data && Buffer.from(reply.data).toString();
    };
    expect(await open(libc.O_RDONLY, 100)).toBeUndefined();
    ok(await r.ops.writev(rootAt(), { fd: new Fd(id, libc.O_RDWR), offset: 0, data: bytes('hello') }));
    expect(await open(libc.O_RDONLY, 5)).toBe('hello');
    expect(await open(libc.O_RDWR, 100)).toBe('hello');
    expect([await open(libc.O_RDONLY), await open(libc.O_RDONLY, 4), await open(libc.O_WRONLY, 100)]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });
});

describe('checksums', () => {
  it('are of the bytes that are there', async () => {
    const r = await start();
    ok(
      await r.ops.put(rootAt(), {
        loc: locAt(rootGfid, 'f'),
        mode: 0o644,
        flags: 0,
        gfid: gfid(1),
        data: bytes('Wikipedia'),
      }),
    );
    const sum = ok(await r.ops.rchecksum(rootAt(), { fd: new Fd(gfid(1)), offset: 0, size: 4096 }));
    expect([sum.weak, sum.size]).toEqual([0x11e60398, 9]);
    expect(sum.strong).toHaveLength(32);
  });
});
