/** A rename over a file that a rebalance takes away in the middle of it, to where the renamed one will be hidden by it. */
import { type FopName, type Gfid, locAt, locOf, rootGfid } from '@mortar/core';
import { expect, it } from 'vitest';
import { fixLayout } from './fix-layout.ts';
import { content, create, list, volume } from './grown-rig.ts';
import { migrateFile } from './migrate.ts';
import type { DistributeRig } from './rig.ts';

/** A name that hashes to a child with two, and to another one, or not, with three. */
async function nameFor(two: DistributeRig, three: DistributeRig, child: number, later: number): Promise<string> {
  for (let i = 0; ; i++) {
    const hashed = [two, three].map((rig) => rig.d.hashedOf(rig.call, rootGfid, `n${i}`));
    if ((await hashed[0]) === child && (await hashed[1]) === later) return `n${i}`;
  }
}

async function havingData(rig: DistributeRig, gfid: Gfid): Promise<number[]> {
  const replies = await Promise.all(rig.bricks.map((brick) => brick.lookup(rig.call, { loc: locOf(gfid) })));
  return replies.flatMap((reply, i) => (reply.ok && reply.iatt.mode !== 0o1000 ? [i] : []));
}

it.each<FopName>(['entrylk', 'lookup', 'mknod', 'rename'])(
  'replaces it wherever it is (moved at the %s)',
  async (at) => {
    const { small, all, client, close } = await volume();
    const mover = await client('mover');
    const writer = await client('writer');
    // The mover lays the directory out when the writer has begun to rename; until then both go by the old layout.
    const laid = await client('laid');
    const before = await laid.d.locateDirectory(laid.call, rootGfid);
    expect(before).toMatchObject({ kind: 'directory' });
    const plan = async () => fixLayout(mover.d, mover.call, rootGfid);
    // What the layout will be is only known from making it: on bricks of their own.
    const other = await volume();
    const twin = await other.client('twin');
    expect(await fixLayout(twin.d, twin.call, rootGfid)).toBe(true);
    const to = await nameFor(small, twin, 0, 2);
    const from = await nameFor(small, twin, 1, 1);
    const target = await create(small, `${from}-target`, Buffer.from('replaced'));
    await other.close();
    target.fd.release();
    const found = await havingData(all, target.gfid);
    const source = found[0]!;
    const file = await create(small, from, Buffer.from('new'));
    file.fd.release();
    expect(await havingData(all, file.gfid)).toEqual([1]);
    if (source !== 1) {
      const move = { parent: rootGfid, name: `${from}-target`, gfid: target.gfid, from: source, to: 1 };
      expect(await migrateFile(small.d, small.call, move)).toMatchObject({ outcome: 'moved' });
    }
    const named = { from: locAt(rootGfid, `${from}-target`), to: locAt(rootGfid, to), flags: 0 };
    expect(await small.ops.rename(small.call, named)).toMatchObject({ ok: true });
    expect(await havingData(all, target.gfid)).toEqual([1]);

    let moved: Promise<unknown> | undefined;
    let isLocked = false;
    const interrupt = (fop: FopName) => {
      isLocked ||= fop === 'entrylk';
      if (fop !== at || !isLocked || moved) return undefined;
      moved = plan().then(() =>
        migrateFile(mover.d, mover.call, { parent: rootGfid, name: to, gfid: target.gfid, from: 1, to: 2 }),
      );
      return moved.then(() => undefined);
    };
    for (const door of writer.doors) door.before = interrupt;
    const renamed = await writer.ops.rename(writer.call, {
      from: locAt(rootGfid, from, file.gfid),
      to: locAt(rootGfid, to),
      flags: 0,
    });
    expect(await moved).toMatchObject({ outcome: 'moved' });
    expect(renamed).toMatchObject({ ok: true });
    const fresh = await client('fresh');
    expect((await content(fresh, to)).toString()).toBe('new');
    expect(await list(fresh)).toEqual([to]);
    expect(await havingData(all, target.gfid)).toEqual([]);
    await close();
  },
);
