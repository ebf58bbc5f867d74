/** A disk that takes no data for a moment: what the kernel could not write it forgets, once it has said so. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Fd, type Gfid, gfidFromBytes, locAt, rootGfid, type Success } from '@mortar/core';
import { afterEach, expect, it } from 'vitest';
import { checksums } from './io.ts';
import { posixRig, rootAt } from './rig.ts';

const gfid: Gfid = gfidFromBytes(new Uint8Array(16).fill(1));
const mebibyte = 1024 * 1024;
const run = (program: string, ...args: string[]) => execFileSync(program, args, { stdio: 'pipe' });

const base = mkdtempSync(join(tmpdir(), 'mortar-thin-'));
const [pool, disk] = [join(base, 'pool'), join(base, 'disk')];

/** A thinly provided disk in a pool that has not the room that it promises. Whether there can be one here. */
function thinDisk(): boolean {
  if (process.getuid?.() !== 0) return false;
  for (const directory of [pool, disk]) mkdirSync(directory);
  try {
    run('mount', '-t', 'tmpfs', '-o', 'size=24M', 'none', pool);
    run('truncate', '-s', '200M', join(pool, 'image'));
    run('mkfs.ext4', '-q', '-F', '-E', 'nodiscard,lazy_itable_init=0', '-J', 'size=4', join(pool, 'image'));
    run('mount', '-o', 'loop,nodiscard', join(pool, 'image'), disk);
    return true;
  } catch {
    return false;
  }
}

const isThere = thinDisk();

afterEach(() => {
  for (const directory of [disk, pool])
    try {
      run('umount', '-l', directory);
    } catch {
      // It was not mounted.
    }
  rmSync(base, { recursive: true, force: true });
});

it.skipIf(!isThere)(
  'is seen to be lost by who compares the file afterwards, and written again',
  async () => {
    // All of its journal is in the pool, so that only data may want room.
    const many = `cd ${disk}; for i in 1 2 3 4 5 6 7 8; do mkdir d; (cd d; seq 1 3000 | xargs touch); sync -f .; rm -r d; sync -f .; done`;
    run('sh', '-c', many);
    const rig = await posixRig({ directory: disk });
    const { ops } = rig;
    const fd = new Fd(gfid, 2);
    const call = rootAt();
    await ops.create(call, { loc: locAt(rootGfid, 'f'), flags: 0o102, mode: 0o644, gfid, fd });
    const data = Buffer.alloc(mebibyte, 'x');
    for (let i = 0; i < 30; i++)
      expect(await ops.writev(call, { fd, offset: i * mebibyte, data })).toMatchObject({ written: mebibyte });
    expect((await ops.fsync(call, { fd, dataOnly: false })).ok).toBe(false);
    run('mount', '-o', 'remount,size=400M', pool);
    // As heal does, with what another replica has: it writes what differs, and takes the marks off.
    const right = Buffer.from(checksums(data).strong).toString('hex');
    const sumAt = async (offset: number) => {
      const sum = (await ops.rchecksum(call, { fd, offset, size: mebibyte })) as Success<'rchecksum'>;
      return Buffer.from(sum.strong).toString('hex');
    };
    for (let i = 0; i < 30; i++)
      if ((await sumAt(i * mebibyte)) !== right) await ops.writev(call, { fd, offset: i * mebibyte, data });
    expect(await ops.fsync(call, { fd, dataOnly: false })).toMatchObject({ ok: true });
    fd.release();
    await rig.close();
    run('umount', disk);
    run('mount', '-o', 'loop,nodiscard', join(pool, 'image'), disk);
    const onDisk = readFileSync(join(disk, 'f'));
    expect(onDisk.length).toBe(30 * mebibyte);
    expect(onDisk.findIndex((byte) => byte !== 'x'.charCodeAt(0))).toBe(-1);
  },
  60_000,
);
