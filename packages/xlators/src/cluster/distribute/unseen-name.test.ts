/** A client dies in a rename when the file has its new name and nobody sees that yet: it is taken back, and hides nothing. */
import { type FopName, type Gfid, locAt, locOf, rootGfid } from '@mortar/core';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { content, create, list, volume } from './grown-rig.ts';
import { Rebalance } from './rebalance.ts';
import type { DistributeRig } from './rig.ts';
import { renaming } from './unseen-name.ts';

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

const at = (name: string) => locAt(rootGfid, name);
const whole = { state: 'completed', failures: 0 };
const leaves = { 'decommissioned-bricks': 'tr-client-1' };

/** Child 1 leaves: what hashes to it will hash to another one. */
async function detached(rig: DistributeRig): Promise<void> {
  expect(await new Rebalance(rig.d, 'detach').run()).toMatchObject(whole);
}

async function grown() {
  const { client, close } = await volume();
  ends.push(close);
  const admin = await client('admin');
  expect(await new Rebalance(admin.d, 'force').run()).toMatchObject(whole);
  return { client, admin };
}

const hashed = (rig: DistributeRig, name: string) => rig.d.hashedOf(rig.call, rootGfid, name);

let newName: string | undefined;
/** Another volume of the same names tells what will hash to where: from child 1 to 2. */
async function findNewName(): Promise<string> {
  const { client, admin } = await grown();
  const later = await client('later', leaves);
  const names = Array.from({ length: 200 }, (_, i) => `name${i}`);
  const now = await Promise.all(names.map((name) => hashed(admin, name)));
  await detached(later);
  const then = await Promise.all(names.map((name) => hashed(later, name)));
  return names.find((_, i) => now[i] === 1 && then[i] === 2)!;
}

async function nameOn(rig: DistributeRig, child: number, prefix: string): Promise<string> {
  for (let i = 0; ; i++) if ((await hashed(rig, `${prefix}${i}`)) === child) return `${prefix}${i}`;
}

/**
 * The file is on child `home`, its new name hashes to child 1, and to 2 when that has left. `old`: whether something has that name. The client
 * dies at its nth request of a kind. `misplaced`: the old name hashes to child 1, too.
 */
async function died(fop: FopName, nth: number, { home = 2, old = true, misplaced = false } = {}) {
  newName ??= await findNewName();
  const to = newName;
  const { client, admin } = await grown();
  const first = await nameOn(admin, home, 'made');
  const from = misplaced ? await nameOn(admin, 1, 'old') : first;
  const file = await create(admin, first, Buffer.from('renamed'));
  file.fd.release();
  if (misplaced)
    expect(await admin.ops.rename(admin.call, { from: at(first), to: at(from), flags: 0 })).toMatchObject({ ok: true });
  if (old) (await create(admin, to, Buffer.from('by right'))).fd.release();
  const writer = await client('writer');
  for (const name of old ? [from, to] : [from]) expect((await writer.walk(`/${name}`)).ok).toBe(true);
  let seen = 0;
  for (const door of writer.doors)
    door.dead = (name) => {
      if (name === fop) seen++;
      return seen >= nth;
    };
  void writer.ops.rename(writer.call, { from: at(from), to: at(to), flags: 0 });
  await vi.waitFor(() => expect(seen).toBeGreaterThanOrEqual(nth));
  for (const door of writer.doors) door.dead = () => true;
  admin.endSession('writer');
  const onBricks = async (name: string) => {
    const found = await Promise.all(admin.bricks.map((_, i) => admin.onBrick(i, `/${name}`)));
    return found.flatMap((one, i) => (one && one.iatt.mode !== 0o1000 ? [`${i}:${one.iatt.gfid}`] : []));
  };
  const linksOf = async (gfid: Gfid) => {
    const replies = await Promise.all(admin.bricks.map((brick) => brick.lookup(admin.call, { loc: locOf(gfid) })));
    return replies.flatMap((reply) => (reply.ok && reply.iatt.mode !== 0o1000 ? [reply.iatt.nlink] : []));
  };
  return { client, admin, from, to, gfid: file.gfid, onBricks, linksOf };
}

describe.each([false, true])('an unseen name (the old one is misplaced: %s)', (misplaced) => {
  /** Dead as it shows the new name. */
  const unseen = async (more: { home?: number; old?: boolean } = {}) => {
    const scene = await died('rename', 1, { ...more, misplaced });
    expect(await scene.onBricks(scene.to)).toContain(`${more.home ?? 2}:${scene.gfid}`);
    return scene;
  };

  it.each([2, 0])('hides nothing when its name comes to hash to child 2, the file being on %i', async (home) => {
    const { client, from, to, gfid, linksOf } = await unseen({ home });
    await detached(await client('mover', leaves));
    const fresh = await client('fresh', leaves);
    expect((await content(fresh, to)).toString()).toBe('by right');
    expect((await content(fresh, from)).toString()).toBe('renamed');
    expect(await linksOf(gfid)).toEqual([1]);
    // It is taken back once.
    await detached(await client('next', leaves));
  });

  it.each([2, 0])('does not come to be seen when nothing has its name, the file being on %i', async (home) => {
    const { client, from, to } = await unseen({ home, old: false });
    await detached(await client('mover', leaves));
    const fresh = await client('fresh', leaves);
    expect(await fresh.walk(`/${to}`)).toMatchObject({ ok: false });
    expect(await list(fresh)).not.toContain(to);
    expect((await content(fresh, from)).toString()).toBe('renamed');
  });

  it('stays if somebody has seen it meanwhile', async () => {
    const { client, from, to } = await unseen({ old: false });
    const other = await client('other');
    // Looked for everywhere, it is found, and shown from then on.
    expect((await content(other, to)).toString()).toBe('renamed');
    await detached(await client('mover', leaves));
    const fresh = await client('fresh', leaves);
    for (const name of [from, to]) expect((await content(fresh, name)).toString()).toBe('renamed');
  });

  it('does not stand in the way of another rename to it', async () => {
    const { client, from, to, gfid, linksOf } = await unseen();
    const other = await client('other');
    const name = await nameOn(other, 2, 'second');
    const second = await create(other, name, Buffer.from('another one'));
    second.fd.release();
    expect(await other.ops.rename(other.call, { from: at(name), to: at(to), flags: 0 })).toMatchObject({ ok: true });
    const fresh = await client('fresh');
    expect((await content(fresh, to)).toString()).toBe('another one');
    expect((await content(fresh, from)).toString()).toBe('renamed');
    expect(await linksOf(gfid)).toEqual([1]);
  });

  it('stays as long as a child cannot be asked, and its directory as it is', async () => {
    const { client, to, onBricks, gfid } = await unseen();
    const mover = await client('mover', leaves);
    mover.doors[1]!.refuse = (fop, args) => {
      const { loc } = args as { loc?: { name?: string | null } };
      return fop === 'lookup' && loc?.name === to ? 107 : undefined;
    };
    const before = await mover.xattr(2, '/', 'trusted.glusterfs.dht');
    expect((await new Rebalance(mover.d, 'fix-layout').run()).failures).toBeGreaterThan(0);
    expect(await onBricks(to)).toContain(`2:${gfid}`);
    expect(await mover.xattr(2, '/', 'trusted.glusterfs.dht')).toBe(before);
  });
});

it('an unseen name of a file whose seen one is removed is all that is left of it, and goes', async () => {
  const { client, from, to, gfid, linksOf } = await died('rename', 1);
  const other = await client('other');
  expect(await other.ops.unlink(other.call, { loc: at(from) })).toMatchObject({ ok: true });
  expect(await linksOf(gfid)).toEqual([1]);
  await detached(await client('mover', leaves));
  expect(await linksOf(gfid)).toEqual([]);
  expect((await content(await client('fresh', leaves), to)).toString()).toBe('by right');
});

it.each([
  ['as it takes the old one away', 'unlink', 1],
  ['as it prepares it', 'link', 1],
  ['before it prepares it', 'mknod', 1],
] as const)('a client that dies %s leaves a file under names that somebody gave', async (_when, fop, nth) => {
  const { client, from, to } = await died(fop, nth);
  await detached(await client('mover', leaves));
  const fresh = await client('fresh', leaves);
  expect((await content(fresh, from)).toString()).toBe('renamed');
  expect((await content(fresh, to)).toString()).toBe(fop === 'unlink' ? 'renamed' : 'by right');
});

it('a rename under way is not taken back by a rebalance that comes by', async () => {
  const { client, admin, from, to, gfid } = await died('mknod', 1);
  const writer = await client('alive');
  const mover = await client('mover', leaves);
  let rebalanced: Promise<unknown> | undefined;
  for (const door of writer.doors)
    door.before = (fop) => {
      if (fop !== 'rename' || rebalanced) return undefined;
      rebalanced = detached(mover);
      return new Promise((resolve) => setTimeout(resolve, 200));
    };
  expect(await writer.ops.rename(writer.call, { from: at(from), to: at(to), flags: 0 })).toMatchObject({ ok: true });
  expect(rebalanced).toBeDefined();
  await rebalanced;
  const fresh = await client('fresh', leaves);
  expect(await fresh.walk(`/${to}`)).toMatchObject({ ok: true, iatt: { gfid, nlink: 1 } });
  expect(await fresh.walk(`/${from}`)).toMatchObject({ ok: false });
  expect(admin).toBeDefined();
});

it('nothing tells of a rename that was refused as it was to be shown', async () => {
  newName ??= await findNewName();
  const { client, admin } = await grown();
  const first = await nameOn(admin, 2, 'made');
  const from = await nameOn(admin, 1, 'old');
  const file = await create(admin, first, Buffer.from('renamed'));
  file.fd.release();
  expect(await admin.ops.rename(admin.call, { from: at(first), to: at(from), flags: 0 })).toMatchObject({ ok: true });
  const writer = await client('writer');
  const marks = async () => {
    const found = await admin.bricks[1]!.lookup(admin.call, { loc: at(from), want: ['*'] });
    return found.ok ? Object.keys(found.xattrs).filter((key) => key.endsWith('.renaming')) : [];
  };
  let said: string[] = [];
  const note = async () => {
    said = await marks();
  };
  writer.doors[2]!.before = (fop) => (fop === 'link' ? note() : undefined);
  writer.doors[1]!.refuse = (fop) => (fop === 'rename' ? 5 : undefined);
  const reply = await writer.ops.rename(writer.call, { from: at(from), to: at(newName), flags: 0 });
  expect(reply).toMatchObject({ ok: false, errno: 5 });
  expect([said.length, await marks()]).toEqual([1, []]);
});

it('a name that is seen and hides nothing stays, though a linkto was left that says it would be: the old one has gone', async () => {
  const { client, admin } = await grown();
  const [first, from, to, third] = [
    await nameOn(admin, 2, 'made'),
    await nameOn(admin, 1, 'old'),
    await nameOn(admin, 2, 'to'),
    await nameOn(admin, 2, 'third'),
  ];
  const { gfid, fd } = await create(admin, first, Buffer.from('renamed'));
  fd.release();
  expect(await admin.ops.rename(admin.call, { from: at(first), to: at(from), flags: 0 })).toMatchObject({ ok: true });
  expect(await admin.ops.link(admin.call, { from: locOf(gfid), to: at(third) })).toMatchObject({ ok: true });
  const call = { ...admin.call, internal: 'rebalance' as const };
  const xattrs = renaming(admin.d, { parent: rootGfid, name: from }, { parent: rootGfid, name: to });
  expect(await admin.bricks[1]!.setxattr(call, { loc: locOf(gfid), xattrs, flags: 0 })).toMatchObject({ ok: true });
  const moved = { from: locAt(rootGfid, from, gfid), to: at(to), flags: 0 };
  expect(await admin.bricks[2]!.rename(call, moved)).toMatchObject({ ok: true });
  expect(await new Rebalance((await client('mover')).d, 'force').run()).toMatchObject(whole);
  const fresh = await client('fresh');
  for (const name of [to, third]) expect((await content(fresh, name)).toString()).toBe('renamed');
});
