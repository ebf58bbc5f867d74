import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { Errno, locAt, locOf, rootGfid } from '@mortar/core';
import { ReplicaRig } from '@mortar/testing/replica-rig.ts';
import { describe, expect, it } from 'vitest';
import { encodeVector } from './changelog.ts';
import { create, mkdir, rigs, until } from './test-rig.ts';

async function start(count = 2) {
  const rig = await ReplicaRig.make(count, 'posix');
  rigs.push(rig);
  const client = await rig.client();
  const put = (brick: number, name: string, what: 'file' | 'directory') => {
    const path = `${rig.directoryOf(brick)}/${name}`;
    if (what === 'file') writeFileSync(path, 'by hand');
    else mkdirSync(path);
    utimesSync(path, 1e9, 1e9);
  };
  const gfidOf = (brick: number, name: string) => {
    try {
      const args = ['--absolute-names', '-e', 'hex', '-n', 'trusted.gfid', `${rig.directoryOf(brick)}/${name}`];
      return /0x(\w+)/.exec(execFileSync('getfattr', args, { encoding: 'utf8', stdio: 'pipe' }))![1];
    } catch {
      return null;
    }
  };
  const lookup = (name: string) => client.ops.lookup(client.call, { loc: locAt(rootGfid, name) });
  return { rig, client, put, gfidOf, lookup };
}

describe('an object that was put on bricks by hand', () => {
  it('gets one gfid on all of them', async () => {
    const { put, gfidOf, lookup } = await start();
    put(0, 'a', 'file');
    put(1, 'a', 'file');
    const found = await lookup('a');
    expect(found.ok && found.iatt.gfid.replaceAll('-', '')).toBe(gfidOf(0, 'a'));
    expect(gfidOf(1, 'a')).toBe(gfidOf(0, 'a'));
  });

  it('gets none while a replica is down that may have another one', async () => {
    const { client, put, gfidOf, lookup } = await start();
    put(1, 'a', 'file');
    client.gates[0]!.shutDoor();
    expect(await lookup('a')).toEqual({ ok: false, errno: Errno.ENODATA });
    expect(gfidOf(1, 'a')).toBeNull();
  });

  it('gets none where the replicas have different types', async () => {
    const { put, gfidOf, lookup } = await start();
    put(0, 'a', 'directory');
    put(1, 'a', 'file');
    expect(await lookup('a')).toEqual({ ok: false, errno: Errno.EIO });
    expect([gfidOf(0, 'a'), gfidOf(1, 'a')]).toEqual([null, null]);
  });

  it('does not take the gfid of something else, nor hide it', async () => {
    const { rig, client, put, gfidOf, lookup } = await start();
    const gfid = rig.newGfid();
    const node = { loc: locAt(rootGfid, 'b'), mode: 0o100644, rdevMajor: 0, rdevMinor: 0, gfid };
    expect((await rig.bricks[1]!.ops.mknod(client.call, node)).ok).toBe(true);
    put(0, 'b', 'directory');
    expect(await lookup('b')).toEqual({ ok: false, errno: Errno.EIO });
    expect([gfidOf(0, 'b'), gfidOf(1, 'b')]).toEqual([null, gfid.replaceAll('-', '')]);
  });

  it('gets the gfid that the others have, whoever is down', async () => {
    const { rig, client, put, gfidOf, lookup } = await start(3);
    const gfid = rig.newGfid();
    const node = { loc: locAt(rootGfid, 'b'), mode: 0o100644, rdevMajor: 0, rdevMinor: 0, gfid };
    expect((await rig.bricks[1]!.ops.mknod(client.call, node)).ok).toBe(true);
    put(0, 'b', 'file');
    client.gates[2]!.shutDoor();
    expect(await lookup('b')).toMatchObject({ ok: true, iatt: { gfid } });
    expect(gfidOf(0, 'b')).toBe(gfid.replaceAll('-', ''));
  });
});

describe('a name without a gfid in a directory that is to be healed', () => {
  async function lost(contents: string, isDirectory = false) {
    const { rig, client, gfidOf } = await start();
    const parent = await mkdir(client, 'd');
    const { gfid, fd } = await create(client, 'f', 'right', parent);
    fd.release();
    await client.xlator.drain();
    const path = `${rig.directoryOf(1)}/d/f`;
    const hex = gfid.replaceAll('-', '');
    rmSync(`${rig.directoryOf(1)}/.glusterfs/${hex.slice(0, 2)}/${hex.slice(2, 4)}/${gfid}`);
    if (isDirectory) {
      rmSync(path);
      mkdirSync(path);
    } else {
      execFileSync('setfattr', ['-x', 'trusted.gfid', path]);
      writeFileSync(path, contents);
    }
    utimesSync(path, 1e9, 1e9);
    // As if the brick had gone down when the name was there and its attributes were not.
    const values = { 'trusted.afr.vol-client-1': encodeVector([1, 0, 1]) };
    const mark = { loc: locOf(parent), operation: 'add32' as const, values };
    expect((await rig.bricks[0]!.ops.xattrop(client.call, mark)).ok).toBe(true);
    const { daemon } = await rig.healDaemon();
    const pending = async () => (await daemon.info('all')).flatMap((brick) => brick.entries.map((one) => one.gfid));
    return { gfidOf, hex, path, parent, pending };
  }

  it('gets the one that those have who are right, and their contents', async () => {
    const { gfidOf, hex, path, pending } = await lost('wrong');
    await until(async () => (await pending()).length === 0);
    expect([gfidOf(0, 'd/f'), gfidOf(1, 'd/f')]).toEqual([hex, hex]);
    expect(readFileSync(path, 'utf8')).toBe('right');
  });

  it('stays as it is where it is something else', async () => {
    const { gfidOf, parent, pending } = await lost('', true);
    await until(async () => (await pending()).includes(parent));
    expect(gfidOf(1, 'd/f')).toBeNull();
  });
});
