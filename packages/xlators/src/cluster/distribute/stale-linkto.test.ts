/** A name of which only a linkto is left that leads nowhere. */
import { Fd, locAt, rootGfid } from '@mortar/core';
import { expect, it } from 'vitest';
import { encodeLinkto } from './linkto.ts';
import { layoutName, read, regular, spread } from './path-rig.ts';
import { distributeRig } from './rig.ts';

it.each([
  ['where it hashes to', (_place: number, hashed: number) => hashed],
  ['at the roomier subvolume that it goes to', (place: number) => place],
])('is free for a file that is made unless it is there: %s', async (_what, where) => {
  const rig = await distributeRig({ options: { 'min-free-disk': '99%' } });
  await rig.walk('/');
  const hashed = (await rig.d.hashedOf(rig.call, rootGfid, 'f')) as number;
  const place = (hashed + 1) % 3;
  rig.d.space.choose = () => place;
  const initial = { [`${layoutName}.linkto`]: encodeLinkto(rig.d.childName(3 - hashed - place)) };
  const node = { loc: locAt(rootGfid, 'f'), mode: regular | 0o1000, rdevMajor: 0, rdevMinor: 0, gfid: rig.gfid() };
  await rig.bricks[where(place, hashed)]!.mknod(rig.call, { ...node, initial });
  const gfid = rig.gfid();
  const fd = new Fd(gfid, 2);
  const args = { loc: node.loc, flags: 0o102, mode: regular | 0o644, gfid, fd };
  expect(await rig.ops.create(rig.call, args)).toMatchObject({ ok: true, iatt: { gfid, mode: 0o644 } });
  expect(await rig.ops.writev(rig.call, { fd, offset: 0, data: Buffer.from('new') })).toMatchObject({ ok: true });
  expect(await read(rig, '/f')).toBe('new');
  expect((await spread(rig, '/f'))[place]).toBe('data');
  fd.release();
  await rig.close();
});
