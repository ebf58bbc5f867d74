/** What clients are told of a file with a mark that was taken off in part: its brick went away in between. */
import { type Args, Fd, locAt, locOf, rootGfid } from '@mortar/core';
import { expect, it } from 'vitest';
import { create, volume } from './grown-rig.ts';

it.each([
  ['the linkto is off, the mode that was kept is not', { 'trusted.glusterfs.dht.moving-mode': '644' }, 0o644],
  ['it is the mode of the file itself', {}, 0o3644],
])('tells the mode of the file where %s', async (_what, marks, mode) => {
  const { small, client, close } = await volume();
  const { gfid, fd } = await create(small, 'f', Buffer.from('text'));
  fd.release();
  const own = small.d.ownCall(small.call);
  for (const brick of small.bricks) {
    if (!(await brick.lookup(small.call, { loc: locOf(gfid) })).ok) continue;
    const xattrs = Object.fromEntries(Object.entries(marks).map(([name, value]) => [name, Buffer.from(value)]));
    expect(await brick.setxattr(own, { loc: locOf(gfid), xattrs, flags: 0 })).toMatchObject({ ok: true });
    expect(await brick.setattr(own, { loc: locOf(gfid), attr: { mode: 0o3644 } })).toMatchObject({ ok: true });
  }
  const { ops, call } = await client('fresh');
  const loc = locAt(rootGfid, 'f', gfid);
  expect(await ops.lookup(call, { loc: locAt(rootGfid, 'f') })).toMatchObject({ iatt: { mode } });
  expect(await ops.stat(call, { loc })).toMatchObject({ iatt: { mode } });
  const opened = new Fd(gfid, 2);
  const iatt = ((await ops.open(call, { loc, flags: 2, fd: opened })) as { iatt?: { mode: number } }).iatt;
  expect([undefined, mode]).toContain(iatt?.mode);
  const data = Buffer.from('more');
  expect(await ops.writev(call, { fd: opened, offset: 0, data })).toMatchObject({ pre: { mode }, post: { mode } });
  opened.release();
  const listing = new Fd(rootGfid);
  const page = await ops.readdirp(call, { fd: listing, size: 4096, offset: 0 } satisfies Args<'readdirp'>);
  listing.release();
  const entry = page.ok ? page.entries.find(({ name }) => name === 'f') : undefined;
  expect(entry?.iatt).toMatchObject({ mode });
  await close();
});
