/** Who moves a file can be stopped at any moment, for any time: what others did meanwhile counts. */
import { Fd, locAt, locOf, rootGfid } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { content, create, volume } from './grown-rig.ts';
import { migrateFile } from './migrate.ts';

describe('a mover that is stopped right before the copy becomes the file', () => {
  it.each([
    ['a file', 0o640],
    ['a file of the mode of a linkto', 0o1000],
    ['a file of the mode of one that is moved', 0o3644],
  ])('does not bring back what %s was before others wrote to it', async (_what, mode) => {
    const { small, client, close } = await volume();
    const { gfid, fd } = await create(small, 'f', Buffer.from('before'));
    fd.release();
    await small.ops.setattr(small.call, { loc: locOf(gfid), attr: { mode } });
    const [writer, mover] = [await client('writer'), await client('mover')];
    const looks = await Promise.all(
      [0, 1].map((i) => small.bricks[i]!.lookup(small.call, { loc: locAt(rootGfid, 'f') })),
    );
    const from = looks.findIndex((reply) => reply.ok);
    const open = new Fd(gfid, 2);
    expect((await writer.ops.open(writer.call, { loc: locOf(gfid), flags: 2, fd: open })).ok).toBe(true);
    const to = mover.d.children[2]! as { -readonly [K in 'compound']: (typeof mover.ops)[K] };
    // Longer than bricks wait for a mover.
    const stopped = () => mover.services.clock.sleep(15_000);
    let wrote: unknown;
    const stop = async () => {
      if (wrote) return;
      wrote = {};
      wrote = await writer.ops.writev(writer.call, { fd: open, offset: 0, data: Buffer.from('AFTER!') });
      await stopped();
    };
    const { compound } = to;
    to.compound = async (...args) => {
      await stop();
      return compound(...args);
    };
    const moved = await migrateFile(mover.d, mover.call, { parent: rootGfid, name: 'f', gfid, from, to: 2 });
    expect(wrote).toMatchObject({ ok: true });
    expect(moved.outcome).not.toBe('moved');
    const fresh = await client('fresh');
    for (const rig of [writer, fresh]) expect((await content(rig, 'f')).toString()).toBe('AFTER!');
    to.compound = compound;
    expect(await migrateFile(mover.d, mover.call, { parent: rootGfid, name: 'f', gfid, from, to: 2 })).toMatchObject({
      outcome: 'moved',
    });
    for (const rig of [writer, await client('last')]) expect((await content(rig, 'f')).toString()).toBe('AFTER!');
    const found = await writer.ops.lookup(writer.call, { loc: locAt(rootGfid, 'f') });
    expect(found).toMatchObject({ ok: true, iatt: { mode } });
    open.release();
    await close();
  });
});
