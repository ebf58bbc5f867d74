/** A machine may lose power right after a file has come to it: what it has alone by then is on its disk. */
import { type Args, Errno, type FopName, locAt, locOf, rootGfid } from '@mortar/core';
import { afterEach, describe, expect, it } from 'vitest';
import { content, create, volume } from './grown-rig.ts';
import { migrateFile } from './migrate.ts';

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

/** A file on one of two bricks, and a mover that takes it to the third; `seen`: what it asks of both. */
async function start(isSmall: boolean, mode: number) {
  const { small, all, client, close } = await volume();
  ends.push(close);
  const { gfid, fd } = await create(small, 'f', Buffer.from('text'));
  fd.release();
  const loc = locOf(gfid);
  expect((await small.ops.setattr(small.call, { loc, attr: { mode } })).ok).toBe(true);
  const mover = await client('mover');
  const from = (await small.onBrick(0, '/f')) ? 0 : 1;
  const seen: string[] = [];
  const note = (child: number, fop: FopName, args: unknown) => {
    const place = child === 2 ? 'new' : 'old';
    const to = (args as Partial<Args<'setattr'>>).attr?.mode;
    seen.push(to === undefined ? `${place} ${fop}` : `${place} ${fop} ${to.toString(8)}`);
  };
  for (const child of [from, 2]) mover.doors[child]!.refuse = (fop, args) => void note(child, fop, args);
  const move = async () => {
    const found = await all.bricks[from]!.lookup(mover.call, { loc, want: ['trusted.glusterfs.dht.*'] });
    if (!found.ok) throw new Error(`errno ${found.errno}`);
    const file = { parent: rootGfid, name: 'f', gfid, from, to: 2 };
    return migrateFile(mover.d, mover.call, file, isSmall ? { iatt: found.iatt, xattrs: found.xattrs } : undefined);
  };
  return { client, mover, gfid, seen, move };
}

describe.each([
  ['a small file', true, 0o640],
  ['any file', false, 0o640],
  ['a file of the mode of a linkto', false, 0o1000],
  ['a file of the mode of one that moves', false, 0o3640],
] as const)('%s that is moved', (_what, isSmall, mode) => {
  it('is on the disk of its new place as the file, before it goes at the old one', async () => {
    const { client, seen, move } = await start(isSmall, mode);
    expect(await move()).toMatchObject({ outcome: 'moved' });
    const isFile = seen.lastIndexOf(`new setattr ${mode.toString(8)}`);
    const goes = seen.lastIndexOf('old setattr 1000');
    expect(isFile).toBeGreaterThan(0);
    expect(goes).toBeGreaterThan(isFile);
    expect(seen.slice(isFile, goes)).toContain('new fsync');
    expect((await content(await client('after'), 'f')).toString()).toBe('text');
  });

  it('keeps its old place while the new one cannot tell that it is on its disk', async () => {
    const { client, mover, gfid, seen, move } = await start(isSmall, mode);
    const note = mover.doors[2]!.refuse;
    let isBroken = true;
    const isMarked = () => seen.some((one) => /^old setattr/.test(one));
    const refuse = (fop: FopName) => (isBroken && fop === 'fsync' && isMarked() ? Errno.EIO : undefined);
    mover.doors[2]!.refuse = (fop, args) => note(fop, args) ?? refuse(fop);
    expect(await move()).toMatchObject({ outcome: 'failed', isUnsettled: true });
    expect(seen.filter((one) => /^old (truncate|unlink|setattr 1000)/.test(one))).toEqual([]);
    const app = await client('app');
    app.doors[2]!.refuse = refuse;
    const loc = locAt(rootGfid, 'f', gfid);
    const to = locAt(rootGfid, 'g');
    await app.walk('/f');
    expect((await app.ops.rename(app.call, { from: loc, to, flags: 0 })).ok).toBe(false);
    isBroken = false;
    expect(await app.ops.rename(app.call, { from: loc, to, flags: 0 })).toMatchObject({ ok: true });
    expect((await content(await client('after'), 'g')).toString()).toBe('text');
  });
});
