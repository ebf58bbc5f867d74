import { Fd } from '@mortar/core';
import type { RigBrick } from '@mortar/testing/replica-rig.ts';
import { expect, it } from 'vitest';
import { create, marks, rig, rigs, until } from './test-rig.ts';

it('heals what a client left that died, also in a file that another one never stops writing to', async () => {
  const { bricks } = await rig();
  const client = await rigs[0]!.client();
  const { fd, gfid } = await create(client, 'image', 'x'.repeat(600));
  await client.xlator.drain();
  // Of several windows. In the middle of a write, which came to one of three.
  await client.ops.ftruncate(client.call, { fd, size: 3_000_000 });
  await client.xlator.drain();
  await bricks[1]!.ops.writev(client.call, { fd: new Fd(gfid, 2), offset: 2_900_000, data: Buffer.from('half') });
  const dirty = { 'trusted.afr.dirty': Buffer.from('000000010000000000000000', 'hex') };
  const opens = (count: number) => ({ dirty: `0000000${count}0000000000000000` });
  for (const brick of bricks)
    await brick.ops.xattrop(client.call, {
      loc: { gfid, parent: null, name: null },
      operation: 'add32',
      values: dirty,
    });
  let isOver = false;
  const write = async (_: unknown, writer: number) => {
    for (let i = 0; !isOver; i++) {
      const args = { fd, offset: 500 + 8 * writer, data: Buffer.from(`${i}`.padStart(8)) };
      expect(await client.ops.writev(client.call, args)).toMatchObject({ ok: true });
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
  };
  const writing = Promise.all(Array.from({ length: 4 }, write));
  await until(async () => (await marks(bricks[0]!, client.call, gfid)).dirty === opens(2).dirty);
  await rigs[0]!.healDaemon({ 'data-self-heal-window-size': '1' });
  const at = async ({ ops }: RigBrick) => {
    const reply = await ops.readv(client.call, { fd: new Fd(gfid, 0), size: 4, offset: 2_900_000 });
    return reply.ok && Buffer.from(reply.data).toString();
  };
  try {
    await until(async () => new Set(await Promise.all(bricks.map(at))).size === 1);
  } finally {
    isOver = true;
    await writing;
  }
  await client.xlator.drain();
  for (const brick of bricks) expect(await marks(brick, client.call, gfid)).toEqual({});
}, 20_000);
