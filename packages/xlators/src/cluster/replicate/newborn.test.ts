/** What heal makes on a replica that lacks it, from its making until it is filled. */
import { type Gfid, locAt, locOf, rootGfid, type Xattrs } from '@mortar/core';
import type { ReplicaRig, RigClient } from '@mortar/testing/replica-rig.ts';
import { expect, it } from 'vitest';
import { encodeVector, newbornCount, type Vector } from './changelog.ts';
import { heal } from './heal/healer.ts';
import { SetHealer } from './heal/set-healer.ts';
import { contents, create, marks, rig, write } from './test-rig.ts';

const keyOf = (child: number) => `trusted.afr.vol-client-${child}`;

async function say(set: ReplicaRig, { call }: RigClient, child: number, gfid: Gfid, said: Record<string, Vector>) {
  const values: Xattrs = Object.fromEntries(Object.entries(said).map(([key, v]) => [key, encodeVector(v)]));
  const { ops } = set.bricks[child]!;
  expect(await ops.xattrop(call, { loc: locOf(gfid), operation: 'add32', values })).toMatchObject({ ok: true });
}

/** A set, a client, and what heals. */
async function world() {
  const set = await rig();
  const client = await set.client({ 'post-op-delay-secs': '0' });
  const { xlator, services } = await set.client({ 'iam-self-heal-daemon': 'yes', 'post-op-delay-secs': '0' });
  const healOnce = async (gfid: Gfid) => {
    const context = new SetHealer(xlator.replica, services.clock, () => xlator.healSettings).context('index', () => {});
    const result = await heal(context, gfid);
    await xlator.drain();
    return result;
  };
  return { set, client, healOnce };
}

/** A file of 'new' that child 2 missed, and was given by a lookup while child 0, which child 1 accuses, is away. */
async function given() {
  const { set, client, healOnce } = await world();
  const other = await set.client();
  set.cut(2);
  const { fd, gfid } = await create(client, 'f', 'new');
  await client.xlator.drain();
  await say(set, client, 1, gfid, { [keyOf(0)]: [5, 0, 0] });
  set.cut(0);
  set.join(2);
  const seen = await client.ops.lookup(client.call, { loc: locAt(rootGfid, 'f') });
  expect(seen).toMatchObject({ ok: true, iatt: { gfid, size: 3 } });
  return { set, client, other, healOnce, gfid, fd };
}

it('says that it is not filled, and what those that have it say of others', async () => {
  const { set, client, gfid } = await given();
  expect(await marks(set.bricks[2]!, client.call, gfid)).toEqual({
    'vol-client-0': '000100000000000000000000',
    'vol-client-2': '000100000001000000000000',
  });
});

it('is as the others when it is filled', async () => {
  const { set, client, healOnce, gfid } = await given();
  expect(await healOnce(gfid)).toMatchObject({ state: 'waiting' });
  expect(await marks(set.bricks[2]!, client.call, gfid)).toEqual({ 'vol-client-0': '000100010000000000000000' });
  set.join(0);
  expect(await healOnce(gfid)).toMatchObject({ state: 'healed' });
  for (const brick of set.bricks) expect(await marks(brick, client.call, gfid)).toEqual({});
  expect(await contents(set.bricks[2]!.ops, client.call, gfid)).toBe('new');
});

it('is as the others when all are there, and it goes over in one go', async () => {
  const { set, client, healOnce, gfid } = await given();
  set.join(0);
  expect(await healOnce(gfid)).toMatchObject({ state: 'healed' });
  for (const brick of set.bricks) expect(await marks(brick, client.call, gfid)).toEqual({});
  for (const brick of set.bricks) expect(await contents(brick.ops, client.call, gfid)).toBe('new');
});

it('is not read, nor one that it passed by, while the one that filled it is away', async () => {
  const { set, client, other, healOnce, gfid, fd } = await given();
  // Made by the one that is right and by the new one.
  expect(await write(client, fd, 'NEW')).toMatchObject({ ok: true });
  await client.xlator.drain();
  set.cut(1);
  set.join(0);
  expect(await other.ops.stat(other.call, { loc: locOf(gfid) })).toMatchObject({ ok: true });
  expect(await contents(other.ops, other.call, gfid)).not.toBeTypeOf('string');
  expect(await healOnce(gfid)).toMatchObject({ state: 'waiting', reason: expect.stringContaining('is away') });
  set.join(1);
  expect(await healOnce(gfid)).toMatchObject({ state: 'healed' });
  for (const brick of set.bricks) expect(await contents(brick.ops, client.call, gfid)).toBe('NEW');
});

it('has no vote on what is right: who is away is not blamed for what it agrees on with one other', async () => {
  const { set, client, healOnce } = await world();
  const { gfid } = await create(client, 'f', 'old');
  await client.xlator.drain();
  await say(set, client, 0, gfid, { [keyOf(0)]: [newbornCount, newbornCount, 0], 'trusted.afr.dirty': [1, 0, 0] });
  set.cut(1);
  await healOnce(gfid);
  expect(await marks(set.bricks[0]!, client.call, gfid)).toEqual({ dirty: '000000010000000000000000' });
  expect(await marks(set.bricks[2]!, client.call, gfid)).toEqual({});
  set.join(1);
  expect(await healOnce(gfid)).toMatchObject({ state: 'healed' });
  for (const brick of set.bricks) expect(await marks(brick, client.call, gfid)).toEqual({});
});
