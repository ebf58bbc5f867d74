import { Errno, rootGfid } from '@mortar/core';
import { describe, expect, it, vi } from 'vitest';
import { create, link, list, misplaced, mkdir, read, rename, spread, unlink } from './path-rig.ts';
import { distributeRig } from './rig.ts';

describe('rename', () => {
  it.each([
    ['is gone by then', true],
    ['is there still', false],
  ])(
    'takes away what it replaced when the subvolume of that is back, also where the new file %s',
    async (_when, gone) => {
      const rig = await distributeRig();
      await rig.walk('/');
      const [, to] = await misplaced(rig);
      const old = (await spread(rig, to)).indexOf('data');
      let from = '';
      for (let i = 0; from === '' || (await spread(rig, from))[old] === 'data'; i++) {
        from = `/new${i}`;
        await create(rig, from, 'new');
      }
      rig.doors[old]!.refuse = (fop) => (fop === 'unlink' ? Errno.ENOTCONN : undefined);
      expect((await rename(rig, from, to)).ok).toBe(true);
      expect((await spread(rig, to))[old]).toBe('data');
      rig.doors[old]!.close();
      if (gone) expect((await unlink(rig, to)).ok).toBe(true);
      rig.doors[old]!.refuse = () => undefined;
      rig.doors[old]!.open();
      await vi.waitFor(async () => expect((await spread(rig, to))[old]).not.toBe('data'));
      if (gone) expect(await rig.walk(to)).toMatchObject({ errno: Errno.ENOENT });
      else expect(await read(rig, to)).toBe('new');
    },
  );

  it('is taken back when the subvolume of the file is back', async () => {
    const rig = await distributeRig();
    await rig.walk('/');
    const [, to] = await misplaced(rig);
    const where = await spread(rig, to);
    const old = await read(rig, to);
    const source = where.indexOf('-');
    let from = '';
    for (let i = 0; from === '' || (await spread(rig, from))[source] !== 'data'; i++) {
      from = `/new${i}`;
      await create(rig, from, 'new');
    }
    const refuse = (errno: Errno | undefined) => {
      for (const door of rig.doors)
        door.refuse = (fop) =>
          fop === 'unlink' || (fop === 'rename' && door !== rig.doors[source]) ? errno : undefined;
    };
    refuse(Errno.ENOTCONN);
    expect(await rename(rig, from, to)).toMatchObject({ errno: Errno.ENOTCONN });
    expect((await spread(rig, to))[source]).toBe('data');
    refuse(undefined);
    rig.doors[source]!.close();
    rig.doors[source]!.open();
    await vi.waitFor(async () => expect((await spread(rig, to))[source]).toBe('-'));
    expect([await read(rig, to), await read(rig, from)]).toEqual([old, 'new']);
  });

  it('takes away what it replaced where the old name cannot be taken away', async () => {
    const rig = await distributeRig();
    await rig.walk('/');
    const [, to] = await misplaced(rig);
    const where = await spread(rig, to);
    // Neither where the data is that is replaced, nor where the new name hashes to.
    const source = where.indexOf('-');
    let from = '';
    for (let i = 0; from === '' || (await spread(rig, from))[source] !== 'data'; i++) {
      from = `/new${i}`;
      await create(rig, from, 'new');
    }
    rig.doors[source]!.refuse = (fop) => (fop === 'unlink' ? Errno.ENOTCONN : undefined);
    expect(await rename(rig, from, to)).toMatchObject({ errno: Errno.ENOTCONN });
    expect((await spread(rig, to))[where.indexOf('data')]).toBe('-');
    expect(await read(rig, to)).toBe('new');
  });

  it('keeps data, one name and at most one linkto, whatever is replaced', async () => {
    const rig = await distributeRig();
    await rig.walk('/');
    for (let i = 0; i < 40; i++) {
      await create(rig, `/a${i}`, `source ${i}`);
      if (i % 2) await create(rig, `/b${i}`, `target ${i}`);
      if (i % 4 === 3) {
        await create(rig, `/c${i}`, 'other');
        expect((await rename(rig, `/c${i}`, `/b${i}`)).ok).toBe(true);
      }
      expect((await rename(rig, `/a${i}`, `/b${i}`)).ok).toBe(true);
      expect(await read(rig, `/b${i}`)).toBe(`source ${i}`);
      expect(await spread(rig, `/a${i}`)).toEqual(['-', '-', '-']);
      const kinds = (await spread(rig, `/b${i}`)).map((one) => one.split(':')[0]).sort();
      expect(kinds.filter((one) => one === 'data')).toHaveLength(1);
      expect(kinds.filter((one) => one === 'linkto').length).toBeLessThanOrEqual(1);
    }
    const fresh = await distributeRig({ over: rig });
    expect(await list(fresh, '/')).toEqual(Array.from({ length: 40 }, (_, i) => `b${i}`).sort());
    for (let i = 0; i < 40; i++) expect(await read(fresh, `/b${i}`)).toBe(`source ${i}`);
  });

  it('refuses to replace with RENAME_NOREPLACE, and leaves two names of one file', async () => {
    const rig = await distributeRig();
    await create(rig, '/a', 'a');
    await create(rig, '/b', 'b');
    expect(await rename(rig, '/a', '/b', 1)).toMatchObject({ errno: Errno.EEXIST });
    await link(rig, '/a', '/c');
    expect((await rename(rig, '/a', '/c')).ok).toBe(true);
    expect(await list(rig, '/')).toEqual(['a', 'b', 'c']);
  });

  it('of a directory is taken back when a subvolume refuses', async () => {
    const rig = await distributeRig();
    await mkdir(rig, '/d');
    await create(rig, '/d/f');
    const hashed = await rig.d.hashedOf(rig.call, rootGfid, 'e');
    const victim = [0, 1, 2].find((i) => i !== hashed)!;
    rig.doors[victim]!.refuse = (fop) => (fop === 'rename' ? Errno.EROFS : undefined);
    expect(await rename(rig, '/d', '/e')).toMatchObject({ errno: Errno.EROFS });
    expect(await spread(rig, '/d')).toEqual(['dir', 'dir', 'dir']);
    expect(await spread(rig, '/e')).toEqual(['-', '-', '-']);
  });
});
