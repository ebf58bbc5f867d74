import { Errno, type FopName, locAt, locOf, rootGfid } from '@mortar/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { content, create, volume } from './grown-rig.ts';
import { Rebalance } from './rebalance.ts';
import type { DistributeRig } from './rig.ts';

/** A file of a volume of two bricks, which the rebalance after the third came takes to that one. */
const names = Array.from({ length: 40 }, (_, i) => `f${i}`);
let grown: Awaited<ReturnType<typeof volume>>;
let mover: DistributeRig;

beforeEach(async () => {
  grown = await volume();
  for (const name of names) (await create(grown.small, name, Buffer.from(name))).fd.release();
  mover = await grown.client('mover');
});
afterEach(() => grown.close());

const move = async () =>
  expect(await new Rebalance(mover.d, 'force').run()).toMatchObject({ state: 'completed', failures: 0 });

/** Lets the rebalance run to its end when a client asks one of these bricks for one of these things for the first time. */
function moveWhenAsked(rig: DistributeRig, bricks: readonly number[], fops: readonly FopName[]): void {
  let moved: Promise<void> | undefined;
  for (const brick of bricks)
    rig.doors[brick]!.before = (fop) => {
      if (!moved && fops.includes(fop)) moved = move();
      return moved;
    };
}

/** A name that goes to the new brick, and where it is now. */
async function aMovingName(): Promise<{ name: string; from: number }> {
  const rig = await grown.client('hasher');
  await new Rebalance(rig.d, 'fix-layout').run();
  for (const name of names) {
    if ((await rig.d.hashedOf(rig.call, rootGfid, name)) !== 2) continue;
    return { name, from: (await rig.onBrick(0, `/${name}`)) ? 0 : 1 };
  }
  throw new Error('nothing moves');
}

describe('a file that is moved while it is asked for', () => {
  it.each(['name', 'gfid'] as const)(
    'is found by its %s, though it had not come here and was gone there',
    async (by) => {
      const { name, from } = await aMovingName();
      const client = await grown.client('client');
      const { gfid } = (await grown.small.onBrick(from, `/${name}`))!.iatt;
      moveWhenAsked(client, [from], ['lookup']);
      const loc = by === 'gfid' ? locOf(gfid) : locAt(rootGfid, name);
      expect(await client.ops.lookup(client.call, { loc })).toMatchObject({ ok: true, iatt: { gfid, mode: 0o640 } });
      expect((await content(client, name)).toString()).toBe(name);
    },
  );

  it.each(['other', 'another', 'f-new', 'f-newer'])('is renamed by its name alone (%s)', async (to) => {
    const { name } = await aMovingName();
    const client = await grown.client('client');
    // Whoever holds the lock of the name keeps the mover away.
    moveWhenAsked(client, [0, 1, 2], ['rename', 'entrylk']);
    const args = { from: locAt(rootGfid, name), to: locAt(rootGfid, to), flags: 0 };
    expect(await client.ops.rename(client.call, args)).toMatchObject({ ok: true });
    expect((await content(client, to)).toString()).toBe(name);
    const gone = await client.ops.lookup(client.call, { loc: locAt(rootGfid, name) });
    expect(gone).toMatchObject({ ok: false, errno: Errno.ENOENT });
  });

  it('is removed by its name alone', async () => {
    const { name, from } = await aMovingName();
    const client = await grown.client('client');
    moveWhenAsked(client, [from], ['unlink']);
    expect(await client.ops.unlink(client.call, { loc: locAt(rootGfid, name) })).toMatchObject({ ok: true });
    const gone = await (await grown.client('fresh')).ops.lookup(client.call, { loc: locAt(rootGfid, name) });
    expect(gone).toMatchObject({ ok: false, errno: Errno.ENOENT });
  });
});

it('a name that is nowhere costs no second look', async () => {
  const client = await grown.client('client');
  await move();
  await new Promise((resolve) => setTimeout(resolve, 50));
  const look = (name: string) => client.ops.lookup(client.call, { loc: locAt(rootGfid, name) });
  // The first one finds that the directory was laid out anew.
  expect(await look('nothing')).toMatchObject({ ok: false, errno: Errno.ENOENT });
  const before = client.requests();
  expect(await look('nothing')).toMatchObject({ ok: false, errno: Errno.ENOENT });
  expect(client.requests() - before).toBeLessThanOrEqual(3);
});

it('a name that may be on a brick that cannot be asked is not said to be nowhere', async () => {
  const { name, from } = await aMovingName();
  const client = await grown.client('client');
  client.doors[from]!.close();
  const loc = locAt(rootGfid, name);
  expect(await client.ops.lookup(client.call, { loc })).toMatchObject({ ok: false, errno: Errno.ENOTCONN });
  const other = { from: locAt(rootGfid, name), to: locAt(rootGfid, 'other'), flags: 0 };
  expect(await client.ops.rename(client.call, other)).toMatchObject({ ok: false, errno: Errno.ENOTCONN });
  client.doors[from]!.open();
  expect(await client.ops.rename(client.call, other)).toMatchObject({ ok: true });
});
