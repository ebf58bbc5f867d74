/** A directory that is to be replaced by another one, where a subvolume refuses that. */
import { Errno, type Gfid, locAt, locOf, rootGfid } from '@mortar/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { create, list, mkdir, read, regular, rename, split, spread } from './path-rig.ts';
import { type DistributeRig, distributeRig } from './rig.ts';

let rig: DistributeRig;
/** Where the name of the directory that is to be replaced hashes to, and another one. */
let hashed: number;
let other: number;
let old: Gfid;

async function begin(storage: 'memory' | 'posix'): Promise<void> {
  rig = await distributeRig({ storage });
  await rig.walk('/');
  await mkdir(rig, '/new');
  await create(rig, '/new/of-it', 'new');
  await mkdir(rig, '/old', 0o2751);
  old = await rig.at('/old');
  const attr = { uid: 7, gid: 8 };
  expect(await rig.ops.setattr(rig.call, { loc: locOf(old), attr })).toMatchObject({ ok: true });
  const xattrs = { 'user.color': Buffer.from('red') };
  expect(await rig.ops.setxattr(rig.call, { loc: locOf(old), xattrs, flags: 0 })).toMatchObject({ ok: true });
  hashed = (await rig.d.hashedOf(rig.call, rootGfid, 'old')) as number;
  other = (hashed + 1) % 3;
}

/** As who knows nothing yet finds it. */
async function isAsItWas(): Promise<DistributeRig> {
  const fresh = await distributeRig({ over: rig });
  expect(await list(fresh, '/')).toEqual(['new', 'old']);
  expect(await read(fresh, '/new/of-it')).toBe('new');
  expect(await fresh.walk('/old')).toMatchObject({ ok: true, iatt: { gfid: old, mode: 0o2751, uid: 7, gid: 8 } });
  expect(await spread(fresh, '/old')).toEqual(['dir', 'dir', 'dir']);
  for (const i of [0, 1, 2]) expect(await rig.xattr(i, '/old', 'user.color')).toBe('726564');
  return fresh;
}

describe.each(['memory', 'posix'] as const)(
  'a directory that another one does not replace after all (%s)',
  (storage) => {
    beforeEach(() => begin(storage));
    afterEach(() => rig.close());

    it('is there still, with what came into it meanwhile', async () => {
      const writer = await distributeRig({ over: rig });
      await writer.walk('/old');
      let name = '';
      for (let i = 0; name === ''; i++)
        if ((await writer.d.hashedOf(writer.call, old, `f${i}`)) === other) name = `f${i}`;
      // He has the directory open, as it were.
      const node = { loc: locAt(old, name), mode: regular | 0o644, rdevMajor: 0, rdevMinor: 0, gfid: rig.gfid() };
      let made: ReturnType<typeof rig.ops.mknod> | undefined;
      rig.doors[other]!.before = (fop) => {
        if (fop === 'rename') made ??= writer.ops.mknod(writer.call, node);
        return made?.then(() => undefined);
      };
      const ticking = setInterval(() => void rig.services.clock.advance(100), 1);
      const reply = await rename(rig, '/new', '/old');
      clearInterval(ticking);
      expect(reply).toMatchObject({ errno: Errno.ENOTEMPTY });
      expect(await made).toMatchObject({ ok: true });
      const fresh = await isAsItWas();
      expect(await fresh.walk(`/old/${name}`)).toMatchObject({ ok: true, iatt: { gfid: node.gfid } });
    });

    it.each([Errno.EIO, Errno.ENOSPC])('is there still, where a subvolume fails (%i)', async (errno) => {
      rig.doors[other]!.refuse = (fop) => (fop === 'rename' ? errno : undefined);
      expect(await rename(rig, '/new', '/old')).toMatchObject({ errno });
      rig.doors[other]!.refuse = () => undefined;
      const fresh = await isAsItWas();
      await create(fresh, '/old/later', 'later');
      expect(await read(rig, '/old/later')).toBe('later');
      expect((await split(fresh, '/old/later')).parent).toBe(old);
      expect(await list(fresh, '/old')).toEqual(['later']);
    });
  },
);
