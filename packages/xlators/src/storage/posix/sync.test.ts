import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { Errno, Fd, FileType, type Gfid, gfidFromBytes, locAt, rootGfid } from '@mortar/core';
import { afterEach, expect, it } from 'vitest';
import { type PosixRig, posixRig, rootAt } from './rig.ts';

const gfid = (n: number): Gfid => gfidFromBytes(new Uint8Array(16).fill(n));
let rig: PosixRig | undefined;
const real = fs.fsync;

afterEach(async () => {
  fs.fsync = real;
  syncBuiltinESMExports();
  await rig?.close();
});

/** The descriptors that node is asked to sync, as paths. */
function watchSyncs(): string[] {
  const synced: string[] = [];
  const watched = (fd: number, done: (error: NodeJS.ErrnoException | null) => void) => {
    synced.push(fs.readlinkSync(`/proc/self/fd/${fd}`));
    real(fd, done);
  };
  fs.fsync = Object.assign(watched, { __promisify__: real.__promisify__ });
  syncBuiltinESMExports();
  return synced;
}

it('a directory that nobody opened is synced all the same', async () => {
  const synced = watchSyncs();
  rig = await posixRig({});
  const { ops } = rig;
  await ops.mkdir(rootAt(), { loc: locAt(rootGfid, 'd'), mode: 0o755, gfid: gfid(1) });
  expect(await ops.fsyncdir(rootAt(), { fd: new Fd(gfid(1)), dataOnly: false })).toMatchObject({ ok: true });
  expect(synced.filter((path) => path.endsWith('/d'))).toHaveLength(1);
  expect(await ops.fsyncdir(rootAt(), { fd: new Fd(gfid(9)), dataOnly: false })).toMatchObject({ errno: Errno.ESTALE });
});

it('what cannot be opened is synced with its whole file system', async () => {
  rig = await posixRig({});
  const { ops } = rig;
  await ops.symlink(rootAt(), { loc: locAt(rootGfid, 'l'), target: 'nowhere', gfid: gfid(2) });
  const pipe = { loc: locAt(rootGfid, 'p'), mode: 0o010600, rdevMajor: 0, rdevMinor: 0, gfid: gfid(3) };
  await ops.mknod(rootAt(), pipe);
  const sync = (id: Gfid) => ops.fsync(rootAt(), { fd: new Fd(id), dataOnly: false });
  const [link, again, fifo] = await Promise.all([sync(gfid(2)), sync(gfid(2)), sync(gfid(3))]);
  expect(link).toMatchObject({ ok: true, post: { type: FileType.symlink } });
  expect([again.ok, fifo.ok]).toEqual([true, true]);
  expect(await sync(gfid(9))).toMatchObject({ errno: Errno.ESTALE });
});

it('files of a rebalance that are synced at about the same time are synced together', async () => {
  const synced = watchSyncs();
  rig = await posixRig({});
  const { ops } = rig;
  const gfids = [1, 2, 3, 4, 5, 6, 7, 8].map(gfid);
  const data = Buffer.from('text');
  for (const [i, id] of gfids.entries()) {
    const node = { loc: locAt(rootGfid, `f${i}`), mode: 0o100644, rdevMajor: 0, rdevMinor: 0, gfid: id };
    await ops.mknod(rootAt(), node);
    expect(await ops.writev(rootAt(), { fd: new Fd(id, 2), offset: 0, data })).toMatchObject({ ok: true });
  }
  const syncs = (call = rootAt()) =>
    Promise.all(gfids.map((id) => ops.fsync(call, { fd: new Fd(id, 2), dataOnly: false })));
  for (const reply of await syncs(rootAt({ internal: 'rebalance' })))
    expect(reply).toMatchObject({ ok: true, post: { size: 4 } });
  expect(synced).toEqual([]);
  for (const reply of await syncs()) expect(reply).toMatchObject({ ok: true });
  expect(synced).toHaveLength(8);
  const nobody = { fd: new Fd(gfid(9), 2), dataOnly: false };
  expect(await ops.fsync(rootAt({ internal: 'rebalance' }), nobody)).toMatchObject({ errno: Errno.ESTALE });
});
