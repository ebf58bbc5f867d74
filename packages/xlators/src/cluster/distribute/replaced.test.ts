/** What a rename replaced, and did not take away because its client died, goes with the next rebalance; nothing else does. */
import { type FopName, type Gfid, locAt, locOf, rootGfid } from '@mortar/core';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { content, create, list, volume } from './grown-rig.ts';
import { Rebalance } from './rebalance.ts';
import type { DistributeRig } from './rig.ts';

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

async function nameOn(rig: DistributeRig, child: number, prefix: string): Promise<string> {
  for (let i = 0; ; i++) {
    const name = `${prefix}${i}`;
    if ((await rig.d.hashedOf(rig.call, rootGfid, name)) === child) return name;
  }
}

const at = (name: string) => locAt(rootGfid, name);
const rebalance = (rig: DistributeRig) => new Rebalance(rig.d, 'force').run();

/** A client dies in a rename at such a request: the new file is on child 0, what it replaces on 1, and the name hashes to `hashed`. */
async function died(fop: FopName, nth: number, hashed = 2) {
  const { client, close } = await volume();
  ends.push(close);
  const admin = await client('admin');
  expect(await new Rebalance(admin.d, 'fix-layout').run()).toMatchObject({ state: 'completed', failures: 0 });
  const [first, second, to] = [
    await nameOn(admin, 1, 'old'),
    await nameOn(admin, 0, 'new'),
    await nameOn(admin, hashed, 'name'),
  ];
  const old = await create(admin, first, Buffer.from('replaced'));
  const fresh = await create(admin, second, Buffer.from('new'));
  for (const { fd } of [old, fresh]) fd.release();
  expect(await admin.ops.rename(admin.call, { from: at(first), to: at(to), flags: 0 })).toMatchObject({ ok: true });
  const writer = await client('writer');
  expect((await writer.walk(`/${to}`)).ok).toBe(true);
  let seen = 0;
  const isDead = (name: FopName) => {
    if (name === fop) seen++;
    return seen >= nth;
  };
  for (const door of writer.doors) door.dead = isDead;
  void writer.ops.rename(writer.call, { from: at(second), to: at(to), flags: 0 });
  await vi.waitFor(() => expect(seen).toBeGreaterThanOrEqual(nth));
  for (const door of writer.doors) door.dead = () => true;
  admin.endSession('writer');
  const having = async (gfid: Gfid) => {
    const replies = await Promise.all(admin.bricks.map((brick) => brick.lookup(admin.call, { loc: locOf(gfid) })));
    return replies.flatMap((reply, i) => (reply.ok && reply.iatt.mode !== 0o1000 ? [i] : []));
  };
  return { admin, client, old: old.gfid, to, second, having };
}

async function expectOldToStay({ client, old, to, second, having }: Awaited<ReturnType<typeof died>>): Promise<void> {
  const mover = await client('mover');
  expect(await rebalance(mover)).toMatchObject({ state: 'completed', failures: 0 });
  expect(await having(old)).toHaveLength(1);
  const fresh = await client('fresh');
  expect((await content(fresh, to)).toString()).toBe('replaced');
  expect((await content(fresh, second)).toString()).toBe('new');
}

describe('a client that dies in a rename over a file on another child', () => {
  it.each([
    ['as it takes the old name away', 1, 2],
    ['as it takes away what is replaced', 3, 2],
    ['as it takes away what is replaced, without a linkto', 1, 0],
  ])('%s: the next rebalance takes away what is replaced', async (_when, nth, hashed) => {
    const { client, old, to, having } = await died('unlink', nth, hashed);
    expect(await having(old)).toEqual([1]);
    const mover = await client('mover');
    expect((await content(mover, to)).toString()).toBe('new');
    expect(await rebalance(mover)).toMatchObject({ state: 'completed', failures: 0 });
    expect(await having(old)).toEqual([]);
    const fresh = await client('fresh');
    expect((await content(fresh, to)).toString()).toBe('new');
    // It said so once.
    const found = await Promise.all(
      fresh.bricks.map((_, i) => fresh.xattr(i, `/${to}`, 'trusted.glusterfs.dht.replaced')),
    );
    expect(found.filter((one) => one !== undefined)).toEqual([]);
    expect((await fresh.ops.unlink(fresh.call, { loc: at(to) })).ok).toBe(true);
    expect(await fresh.walk(`/${to}`)).toMatchObject({ ok: false });
    expect(await list(fresh)).not.toContain(to);
  });

  it.each([2, 0])('before the new name is shown: the old file stays (the name hashes to child %i)', async (hashed) => {
    const scene = await died('rename', 1, hashed);
    await expectOldToStay(scene);
  });

  it('and whose rename somebody takes back: the old file stays', async () => {
    const scene = await died('unlink', 1);
    const { admin, to } = scene;
    expect((await admin.bricks[0]!.unlink(admin.call, { loc: at(to) })).ok).toBe(true);
    await expectOldToStay(scene);
  });
});
