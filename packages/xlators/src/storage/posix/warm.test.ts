import { writeFileSync } from 'node:fs';
import { Fd, type Gfid, gfidFromBytes, locAt, locOf, rootGfid, type Subvolume } from '@mortar/core';
import { afterEach, describe, expect, it } from 'vitest';
import { type ColdSys, coldSys } from './cold.ts';
import { type PosixRig, posixRig, quickBrick, removeBrick, rootAt } from './rig.ts';

const gfid = (n: number): Gfid => gfidFromBytes(new Uint8Array(16).fill(n));
const [a, b, c, f, g, h, s, other] = [1, 2, 3, 4, 5, 6, 7, 8].map(gfid) as [
  Gfid,
  Gfid,
  Gfid,
  Gfid,
  Gfid,
  Gfid,
  Gfid,
  Gfid,
];

let directory = '';
let rig: PosixRig | null = null;

afterEach(async () => {
  await rig?.close();
  rig = null;
  removeBrick(directory);
});

/** /a/b/c/f and another name of it, /a/b/c/s -> x, /a/b/empty, /g with data: a brick that was opened just now. */
async function coldBrick(): Promise<ColdSys> {
  directory = quickBrick();
  const before = await posixRig({ directory });
  const { ops } = before;
  const node = { mode: 0o100644, rdevMajor: 0, rdevMinor: 0 };
  for (const reply of [
    await ops.mkdir(rootAt(), { loc: locAt(rootGfid, 'a'), mode: 0o755, gfid: a }),
    await ops.mkdir(rootAt(), { loc: locAt(a, 'b'), mode: 0o755, gfid: b }),
    await ops.mkdir(rootAt(), { loc: locAt(b, 'c'), mode: 0o755, gfid: c }),
    await ops.mkdir(rootAt(), { loc: locAt(b, 'empty'), mode: 0o755, gfid: other }),
    await ops.mknod(rootAt(), { loc: locAt(c, 'f'), gfid: f, ...node }),
    await ops.link(rootAt(), { from: locOf(f), to: locAt(c, 'second') }),
    await ops.symlink(rootAt(), { loc: locAt(c, 's'), target: 'x', gfid: s }),
    await ops.mknod(rootAt(), { loc: locAt(rootGfid, 'g'), gfid: g, ...node }),
  ])
    expect(reply.ok).toBe(true);
  await before.close();
  writeFileSync(`${directory}/g`, 'x'.repeat(10_000));
  const cold = coldSys();
  rig = await posixRig({ directory }, undefined, cold.sys);
  cold.chill();
  return cold;
}

const x = { offload: true };
const calls: Record<string, (ops: Subvolume, xdata: { offload?: boolean }) => Promise<{ ok: boolean }>> = {
  'lookup of a name': (ops, xdata) => ops.lookup(rootAt(), { loc: locAt(c, 'f'), want: ['trusted.*'], xdata }),
  'lookup of a directory': (ops, xdata) => ops.lookup(rootAt(), { loc: locAt(b, 'c'), xdata }),
  'lookup by gfid': (ops, xdata) => ops.lookup(rootAt(), { loc: locOf(f), xdata }),
  'lookup of ..': (ops, xdata) => ops.lookup(rootAt(), { loc: locAt(c, '..'), xdata }),
  'stat of a directory': (ops, xdata) => ops.stat(rootAt(), { loc: locOf(c), xdata }),
  setattr: (ops, xdata) => ops.setattr(rootAt(), { loc: locOf(f), attr: { mode: 0o600 }, xdata }),
  readlink: (ops, xdata) => ops.readlink(rootAt(), { loc: locOf(s), xdata }),
  mknod: (ops, xdata) =>
    ops.mknod(rootAt(), { loc: locAt(c, 'n'), gfid: h, mode: 0o100644, rdevMajor: 0, rdevMinor: 0, xdata }),
  mkdir: (ops, xdata) => ops.mkdir(rootAt(), { loc: locAt(c, 'n'), gfid: h, mode: 0o755, xdata }),
  symlink: (ops, xdata) => ops.symlink(rootAt(), { loc: locAt(c, 'n'), gfid: h, target: 'y', xdata }),
  create: (ops, xdata) =>
    ops.create(rootAt(), { loc: locAt(c, 'n'), gfid: h, flags: 2, mode: 0o644, fd: new Fd(h, 2), xdata }),
  'unlink of one of two names': (ops, xdata) => ops.unlink(rootAt(), { loc: locAt(c, 'f'), xdata }),
  'unlink of the last name': (ops, xdata) => ops.unlink(rootAt(), { loc: locAt(c, 's'), xdata }),
  rmdir: (ops, xdata) => ops.rmdir(rootAt(), { loc: locAt(b, 'empty'), recursive: false, xdata }),
  link: (ops, xdata) => ops.link(rootAt(), { from: locOf(f), to: locAt(b, 'third'), xdata }),
  'rename over another': (ops, xdata) =>
    ops.rename(rootAt(), { from: locAt(rootGfid, 'g'), to: locAt(c, 's'), flags: 0, xdata }),
  'rename of a directory': (ops, xdata) =>
    ops.rename(rootAt(), { from: locAt(b, 'c'), to: locAt(b, 'empty'), flags: 0, xdata }),
  opendir: (ops, xdata) => ops.opendir(rootAt(), { loc: locOf(c), fd: new Fd(c), xdata }),
  open: (ops, xdata) => ops.open(rootAt(), { loc: locOf(f), flags: 2, fd: new Fd(f, 2), xdata }),
  readdirp: (ops, xdata) => ops.readdirp(rootAt(), { fd: new Fd(c), size: 4096, offset: 0, want: ['user.*'], xdata }),
  'readv by gfid': (ops, xdata) => ops.readv(rootAt(), { fd: new Fd(g), offset: 0, size: 100, xdata }),
  'writev by gfid': (ops, xdata) =>
    ops.writev(rootAt(), { fd: new Fd(g, 2), offset: 9000, data: Buffer.from('y'), xdata }),
  setxattr: (ops, xdata) =>
    ops.setxattr(rootAt(), { loc: locOf(f), xattrs: { 'user.x': Buffer.from('1') }, flags: 0, xdata }),
  xattrop: (ops, xdata) =>
    ops.xattrop(rootAt(), {
      loc: locOf(f),
      operation: 'add32',
      values: { 'trusted.afr.x': new Uint8Array(12) },
      xdata,
    }),
};

/** In memory in any brick that is in use. */
const always = /name .*\.glusterfs\/(landfill|unlink)$/;

describe('on a cold disk', () => {
  it.each(Object.entries(calls))('%s never waits for it on the event loop when told so', async (_name, run) => {
    const cold = await coldBrick();
    expect(await run(rig!.ops, x)).toMatchObject({ ok: true });
    expect(cold.waits.filter((what) => !always.test(what))).toEqual([]);
  });

  it.each(Object.entries(calls))('%s would wait otherwise', async (_name, run) => {
    const cold = await coldBrick();
    expect(await run(rig!.ops, {})).toMatchObject({ ok: true });
    expect(cold.waits).not.toEqual([]);
  });

  it('unlink of an open file never waits either', async () => {
    const cold = await coldBrick();
    await rig!.ops.open(rootAt(), { loc: locOf(g), flags: 0, fd: new Fd(g) });
    cold.chill();
    expect(await rig!.ops.unlink(rootAt(), { loc: locAt(rootGfid, 'g'), xdata: x })).toMatchObject({ ok: true });
    expect(cold.waits.filter((what) => !always.test(what))).toEqual([]);
  });
});
