import { execFileSync } from 'node:child_process';
import { mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { Errno, locAt, rootGfid } from '@mortar/core';
import { ReplicaRig } from '@mortar/testing/replica-rig.ts';
import { describe, expect, it } from 'vitest';
import { rigs } from './test-rig.ts';

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
