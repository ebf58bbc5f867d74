/** A subvolume does what it is asked for, and goes away before it can say so: what leads to a name is not taken back. */
import { Errno, type FopName, locAt } from '@mortar/core';
import { describe, expect, it, vi } from 'vitest';
import { create, list, mkdir, read, regular, rename, rmdir, split, spread, unlink } from './path-rig.ts';
import { type DistributeRig, type Door, distributeRig } from './rig.ts';

/** It answers no more from then on, or, if it only lost this answer, goes on. */
function loses(door: Door, what: FopName, isAway: boolean): void {
  door.lost = (fop) => {
    if (fop !== what) return false;
    if (isAway) door.close();
    return true;
  };
}

/** Whoever knows nothing yet sees the same by a listing and by its names. */
async function seen(rig: DistributeRig, path: string): Promise<string[]> {
  const fresh = await distributeRig({ over: rig });
  const names = await list(fresh, path);
  for (const name of names) expect(await fresh.walk(`${path}/${name}`)).toMatchObject({ ok: true });
  return names;
}

async function isRemovable(rig: DistributeRig, path: string): Promise<void> {
  const fresh = await distributeRig({ over: rig });
  for (const name of await list(fresh, path)) expect((await unlink(fresh, `${path}/${name}`)).ok).toBe(true);
  expect((await rmdir(fresh, path)).ok).toBe(true);
}

describe.each([true, false])('a subvolume whose answer is lost (and it goes away: %s)', (isAway) => {
  it.each(['create', 'mknod'] as const)('has a new file that is found by its name (%s)', async (fop) => {
    const rig = await distributeRig();
    await rig.walk('/');
    await mkdir(rig, '/d');
    // Names that hash to this one are placed elsewhere.
    const full = await distributeRig({ over: rig, options: { 'decommissioned-bricks': 'tr-client-0' } });
    const { parent } = await split(full, '/d/f');
    let name = '';
    for (let i = 0; name === ''; i++) if ((await full.d.hashedOf(full.call, parent, `f${i}`)) === 0) name = `f${i}`;
    for (const door of full.doors) loses(door, fop, isAway);
    // Where its linkto goes.
    full.doors[0]!.lost = () => false;
    const node = { loc: locAt(parent, name), mode: regular | 0o644, rdevMajor: 0, rdevMinor: 0, gfid: rig.gfid() };
    const made = fop === 'create' ? (await create(full, `/d/${name}`)).reply : await full.ops.mknod(full.call, node);
    expect(made).toMatchObject({ errno: Errno.ENOTCONN });
    expect(await spread(rig, `/d/${name}`)).toContain('data');
    expect(await seen(rig, '/d')).toEqual([name]);
    await isRemovable(rig, '/d');
  });

  it('has a file that keeps its old name, and no other that is listed and not found', async () => {
    const rig = await distributeRig({ storage: 'posix' });
    await rig.walk('/');
    await mkdir(rig, '/d');
    await create(rig, '/d/old', 'kept');
    const source = (await spread(rig, '/d/old')).indexOf('data');
    const { parent } = await split(rig, '/d/old');
    let name = '';
    for (let i = 0; name === ''; i++) if ((await rig.d.hashedOf(rig.call, parent, `n${i}`)) !== source) name = `n${i}`;
    const door = rig.doors[source]!;
    loses(door, 'link', isAway);
    expect(await rename(rig, '/d/old', `/d/${name}`)).toMatchObject({ errno: Errno.ENOTCONN });
    door.lost = () => false;
    // Killed, and started again.
    if (isAway) rig.endSession(rig.call.clientId, source);
    if (isAway) door.open();
    await vi.waitFor(async () => expect((await spread(rig, `/d/${name}`))[source]).toBe('-'));
    expect(await seen(rig, '/d')).toEqual(['old']);
    expect(await read(rig, '/d/old')).toBe('kept');
    expect(await rename(rig, '/d/old', `/d/${name}`)).toMatchObject({ ok: true });
    expect(await seen(rig, '/d')).toEqual([name]);
    await isRemovable(rig, '/d');
    await rig.close();
  });
});
