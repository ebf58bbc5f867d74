import { Errno, Fd, type Gfid, gfidFromBytes, locAt, locOf, rootGfid } from '@mortar/core';
import * as libc from '@mortar/libc';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { rigServices } from '../../lib/translator-rig.ts';
import { busyPool } from './busy-pool.ts';
import { type PosixRig, posixRig, rootAt } from './rig.ts';

const gfid: Gfid = gfidFromBytes(new Uint8Array(16).fill(7));
let rig: PosixRig;
let fd: Fd;

/** A file of which the page cache has nothing. */
beforeEach(async () => {
  rig = await posixRig({}, rigServices(), { ...libc, preadv2: () => -Errno.EAGAIN });
  fd = new Fd(gfid, 2);
  const made = { loc: locAt(rootGfid, 'f'), flags: 0o302, mode: 0o100644, gfid, fd };
  expect(await rig.ops.create(rootAt(), made)).toMatchObject({ ok: true });
  expect(await rig.ops.writev(rootAt(), { fd, offset: 0, data: Buffer.from('data') })).toMatchObject({ ok: true });
});
afterEach(() => rig.close());

it('tells with what was read of a file how it was after that: one that was emptied is not shown as it was', async () => {
  const goOn = busyPool();
  const reading = rig.ops.readv(rootAt(), { fd, size: 100, offset: 0 });
  expect((await rig.ops.setattr(rootAt(), { loc: locOf(gfid), attr: { mode: 0o1000 } })).ok).toBe(true);
  expect((await rig.ops.truncate(rootAt(), { loc: locOf(gfid), size: 0 })).ok).toBe(true);
  goOn();
  const reply = await reading;
  expect(reply).toMatchObject({ ok: true, iatt: { gfid, mode: 0o1000, size: 0 } });
  expect(reply.ok && reply.data.length).toBe(0);
});

it('tells so of a file that is closed while it is read, too', async () => {
  const goOn = busyPool();
  const reading = rig.ops.readv(rootAt(), { fd, size: 100, offset: 0 });
  expect((await rig.ops.setattr(rootAt(), { loc: locOf(gfid), attr: { mode: 0o600 } })).ok).toBe(true);
  fd.release();
  goOn();
  const reply = await reading;
  expect(reply).toMatchObject({ ok: true, iatt: { gfid, mode: 0o600, size: 4 } });
  expect(reply.ok && Buffer.from(reply.data).toString()).toBe('data');
});
