/** A child that fails when a directory is made, and another client that looks the directory up at that moment. */
import { Errno, Fd, fail, type Gfid, locAt, type Reply, rootGfid } from '@mortar/core';
import { expect, it } from 'vitest';
import { nextTurn } from './grown-rig.ts';
import { decodeRange, type Range } from './layout.ts';
import { widened } from './mkdir.ts';
import { directory, layoutName, regular } from './path-rig.ts';
import { type DistributeRig, distributeRig } from './rig.ts';

const names = Array.from({ length: 12 }, (_, i) => `f${i}`);

function create(rig: DistributeRig, parent: Gfid, name: string): Promise<Reply<'create'>> {
  const gfid = rig.gfid();
  const loc = locAt(parent, name);
  return rig.ops.create(rig.call, { loc, flags: 0o302, mode: regular | 0o644, gfid, fd: new Fd(gfid, 2) });
}

async function rangesOn(rig: DistributeRig, path: string): Promise<(Range | undefined)[]> {
  const all = await Promise.all(rig.bricks.map((_, i) => rig.xattr(i, path, layoutName)));
  return all.map((hex) => (hex === undefined ? undefined : decodeRange(Buffer.from(hex, 'hex'))));
}

/** The directory is made; the last child fails, after all others have it and `meanwhile` is done. */
async function mkdirFailing(meanwhile: (other: DistributeRig) => Promise<void>) {
  const rig = await distributeRig();
  await rig.walk('/');
  const other = await distributeRig({ over: rig });
  await other.walk('/');
  const hashed = (await rig.d.hashedOf(rig.call, rootGfid, 'd')) as number;
  const failing = (hashed + 1) % 3;
  const child = rig.d.children[failing]! as { -readonly [K in 'mkdir']: (typeof rig.ops)[K] };
  const { mkdir } = child;
  child.mkdir = async () => {
    for (const i of [0, 1, 2]) while (i !== failing && !(await rig.onBrick(i, '/d'))) await nextTurn();
    await meanwhile(other);
    return fail(Errno.ENOSPC);
  };
  const gfid = rig.gfid();
  const made = await rig.ops.mkdir(rig.call, { loc: locAt(rootGfid, 'd'), mode: directory | 0o755, gfid });
  expect(made).toMatchObject({ ok: true });
  child.mkdir = mkdir;
  return { rig, other, gfid, failing };
}

it('takes a layout for what counts that another client has written where a child had failed', async () => {
  const { rig, other, gfid } = await mkdirFailing(async (other) => {
    const found = await other.walk('/d');
    if (!found.ok) throw new Error(`errno ${found.errno}`);
    for (const name of names) expect(await create(other, found.iatt.gfid, name)).toMatchObject({ ok: true });
  });
  const ranges = await rangesOn(rig, '/d');
  for (const name of names) {
    expect(await create(rig, gfid, name), name).toMatchObject({ ok: false, errno: Errno.EEXIST });
    expect(await rig.walk(`/d/${name}`)).toMatchObject({ ok: true });
  }
  await other.walk('/d');
  expect(await rangesOn(rig, '/d')).toEqual(ranges);
  for (const one of [other, rig]) await one.close();
});

it('leaves the names that others have given meanwhile where they are, and places all others', async () => {
  const placed: string[] = [];
  const { rig, other, gfid, failing } = await mkdirFailing(async (other) => {
    // Who cannot ask the failing child heals nothing, and knows the others' ranges.
    const gone = (await Promise.all([0, 1, 2].map((i) => other.onBrick(i, '/d')))).findIndex((reply) => !reply);
    other.doors[gone]!.close();
    const found = await other.walk('/d');
    if (!found.ok) throw new Error(`errno ${found.errno}`);
    for (const name of names) if ((await create(other, found.iatt.gfid, name)).ok) placed.push(name);
    other.doors[gone]!.open();
  });
  expect(placed.length).toBeGreaterThan(3);
  for (const name of placed) expect(await create(rig, gfid, name), name).toMatchObject({ errno: Errno.EEXIST });
  for (const name of names)
    if (!placed.includes(name)) expect(await create(rig, gfid, name), name).toMatchObject({ ok: true });
  expect((await rangesOn(rig, '/d'))[failing]).toBeUndefined();
  for (const one of [other, rig]) await one.close();
});

it('deals all names to those that did not fail', async () => {
  const { rig, other, gfid } = await mkdirFailing(async () => {});
  for (const name of names) expect(await create(rig, gfid, name)).toMatchObject({ ok: true });
  for (const name of names) expect(await other.walk(`/d/${name}`)).toMatchObject({ ok: true });
  for (const one of [other, rig]) await one.close();
});

const range = (start: number, stop: number): Range => ({ commit: 0, type: 0, start, stop });

it.each([
  [[0], [range(0, 0), range(0, 19), range(20, 29)]],
  [[1], [range(0, 19), range(0, 0), range(20, 29)]],
  [[2], [range(0, 9), range(10, 29), range(0, 0)]],
  [
    [0, 1],
    [range(0, 0), range(0, 0), range(0, 29)],
  ],
  [
    [1, 2],
    [range(0, 29), range(0, 0), range(0, 0)],
  ],
])('gives the names of %j to a neighbour', (failed, expected) => {
  const before = [range(0, 9), range(10, 19), range(20, 29)];
  expect(widened(before, (i) => !failed.includes(i))).toEqual(expected);
});
