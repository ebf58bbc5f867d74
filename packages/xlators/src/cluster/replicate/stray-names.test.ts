import { type Gfid, locAt, locOf, rootGfid } from '@mortar/core';
import type { RigBrick, RigClient } from '@mortar/testing/replica-rig.ts';
import { describe, expect, it } from 'vitest';
import { HealIndex } from './heal/index-access.ts';
import { forgetStrayNames } from './heal/stray-names.ts';
import { create, mkdir, rig, rigs, until } from './test-rig.ts';

/** Directories in which a brick has recorded names as missed. */
async function recorded(brick: RigBrick, client: RigClient): Promise<Gfid[]> {
  const data = Buffer.from(JSON.stringify({ kind: 'entry-changes', limit: 100 }));
  const reply = await brick.ops.ipc({ ...client.call, internal: 'self-heal' }, { operation: 'index.list', data });
  return reply.ok ? JSON.parse(Buffer.from(reply.data!).toString()).names : [];
}

const record = async (brick: RigBrick, client: RigClient, parent: Gfid) =>
  expect(
    await brick.ops.xattrop(client.call, {
      loc: locOf(parent),
      operation: 'add32',
      values: {},
      xdata: { pendingNames: ['a', 'b'] },
    }),
  ).toMatchObject({ ok: true });

describe('names recorded as missed where nothing is to be healed any more', () => {
  it('are forgotten by the next crawl, also of a directory that is gone', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client();
    const kept = await mkdir(client, 'kept');
    const gone = await mkdir(client, 'gone');
    await client.xlator.drain();
    await record(bricks[2]!, client, kept);
    await record(bricks[1]!, client, gone);
    await client.ops.rmdir(client.call, { loc: { ...locAt(rootGfid, 'gone'), gfid: gone }, recursive: false });
    await client.xlator.drain();
    expect(await recorded(bricks[2]!, client)).toEqual([kept]);
    await rigs[0]!.healDaemon();
    await until(async () => (await Promise.all(bricks.map((brick) => recorded(brick, client)))).flat().length === 0);
  });

  it('are kept while a replica is away that they may be about', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client();
    const directory = await mkdir(client, 'd');
    await client.xlator.drain();
    rigs[0]!.cut(2);
    const { fd } = await create(client, 'new', '', directory);
    fd.release();
    await client.xlator.drain();
    const { replica } = client.xlator;
    const crawl = () => forgetStrayNames(replica, new HealIndex(replica), () => false);
    await crawl();
    expect(await recorded(bricks[0]!, client)).toEqual([directory]);
    rigs[0]!.join(2);
    await until(async () => replica.set.up.length === 3);
    // It is there, and still to be healed.
    await crawl();
    expect(await recorded(bricks[0]!, client)).toEqual([directory]);
    await rigs[0]!.healDaemon();
    await until(async () => (await Promise.all(bricks.map((brick) => recorded(brick, client)))).flat().length === 0);
  });
});
