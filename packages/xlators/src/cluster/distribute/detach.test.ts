/** A subvolume that leaves must not keep anything: whoever commits the removal then loses it. */
import { Errno, Fd, FileType, type Gfid, locAt, rootGfid } from '@mortar/core';
import { expect, it } from 'vitest';
import { content, create } from './grown-rig.ts';
import { Rebalance } from './rebalance.ts';
import { type DistributeRig, distributeRig } from './rig.ts';

const leavingChild = 1;

async function leavingVolume(count: number) {
  const rig = await distributeRig({ children: 3, storage: 'posix' });
  await rig.walk('/');
  const names = Array.from({ length: count }, (_, i) => `f${i}`);
  for (const name of names) (await create(rig, name, Buffer.from(`text of ${name}`))).fd.release();
  const leaving = await distributeRig({
    children: 3,
    over: rig,
    options: { 'decommissioned-bricks': `tr-client-${leavingChild}` },
  });
  await leaving.walk('/');
  const rigs = [leaving, rig];
  const ticking = setInterval(() => {
    for (const one of rigs) void one.services.clock.advance(1000);
  }, 2);
  const close = async () => {
    clearInterval(ticking);
    for (const one of rigs) await one.close();
  };
  return { rig, leaving, names, close };
}

type Readdirp = DistributeRig['ops']['readdirp'];
const ofChild = (rig: DistributeRig) => rig.d.children[leavingChild]! as { readdirp: Readdirp };

async function namesOn(rig: DistributeRig, brick: number): Promise<string[]> {
  const has = await Promise.all(Array.from({ length: 20 }, (_, i) => rig.onBrick(brick, `/f${i}`)));
  return has.flatMap((found, i) => (found && found.iatt.size > 0 ? [`f${i}`] : []));
}

it('takes along what a listing tells no more than the names of', async () => {
  const { leaving, names, close } = await leavingVolume(20);
  expect((await namesOn(leaving, leavingChild)).length).toBeGreaterThan(2);
  const child = ofChild(leaving);
  const { readdirp } = child;
  // As of replicas whose parts differ for the moment.
  child.readdirp = async (...args) => {
    const reply = await readdirp(...args);
    if (!reply.ok) return reply;
    return { ...reply, entries: reply.entries.map((entry) => ({ ...entry, iatt: null, xattrs: null })) };
  };
  expect(await new Rebalance(leaving.d, 'detach').run()).toMatchObject({ state: 'completed', failures: 0 });
  expect(await namesOn(leaving, leavingChild)).toEqual([]);
  for (const name of names) expect((await content(leaving, name)).toString()).toBe(`text of ${name}`);
  await close();
});

it('fails with the number of files that are left, and succeeds when they can be moved', async () => {
  const { leaving, close } = await leavingVolume(20);
  const before = await namesOn(leaving, leavingChild);
  const [stuck] = before as [string];
  const gfid = await leaving.at(`/${stuck}`);
  const isMark = (args: unknown) => (args as { loc?: { gfid?: Gfid } }).loc?.gfid === gfid;
  leaving.doors[leavingChild]!.refuse = (fop, args) => (fop === 'setattr' && isMark(args) ? Errno.EIO : undefined);
  expect(await new Rebalance(leaving.d, 'detach').run()).toMatchObject({
    state: 'failed',
    failures: 1,
    movedFiles: before.length - 1,
  });
  expect(await namesOn(leaving, leavingChild)).toEqual([stuck]);
  leaving.doors[leavingChild]!.refuse = () => undefined;
  expect(await new Rebalance(leaving.d, 'detach').run()).toMatchObject({ state: 'completed', failures: 0 });
  expect((await content(leaving, stuck)).toString()).toBe(`text of ${stuck}`);
  await close();
});

it('looks again: what is renamed to where it has looked passes it by', async () => {
  const { rig, leaving, close } = await leavingVolume(0);
  const sub = rig.gfid();
  const made = { loc: locAt(rootGfid, 'd'), mode: (FileType.directory << 12) | 0o755, gfid: sub };
  expect((await rig.ops.mkdir(rig.call, made)).ok).toBe(true);
  let name = 'f';
  while ((await rig.d.hashedOf(rig.call, sub, name)) !== leavingChild) name += 'f';
  const gfid = rig.gfid();
  const fd = new Fd(gfid, 2);
  await rig.ops.create(rig.call, { loc: locAt(sub, name), flags: 0o302, mode: 0o644, gfid, fd });
  const flock = { start: 0, length: 0, owner: '01', pid: 1 };
  const lock = (type: 'write' | 'unlock') => rig.ops.lk(rig.call, { fd, command: 'set', flock: { ...flock, type } });
  // In use until the rebalance looks for what is left.
  expect(await lock('write')).toMatchObject({ ok: true });
  const child = ofChild(leaving);
  const { readdirp } = child;
  let hasPassed = false;
  child.readdirp = async (call, args) => {
    const isLook = args.want?.length === 1 && args.fd.gfid === sub;
    if (isLook && !hasPassed) {
      hasPassed = true;
      await lock('unlock');
      const names = { from: locAt(sub, name), to: locAt(rootGfid, 'came') };
      expect(await rig.bricks[leavingChild]!.rename(rig.call, { ...names, flags: 0 })).toMatchObject({ ok: true });
    }
    return readdirp(call, args);
  };
  expect(await new Rebalance(leaving.d, 'detach').run()).toMatchObject({ state: 'completed' });
  expect(hasPassed).toBe(true);
  fd.release();
  const left = await leaving.onBrick(leavingChild, '/came');
  expect(left === null || left.iatt.mode === 0o1000).toBe(true);
  await close();
});

it('finds what came, by the rename of a directory, to where it had been already', async () => {
  const { rig, leaving, close } = await leavingVolume(0);
  const mkdir = async (parent: Gfid, name: string) => {
    const gfid = rig.gfid();
    const made = { loc: locAt(parent, name), mode: (FileType.directory << 12) | 0o755, gfid };
    expect((await rig.ops.mkdir(rig.call, made)).ok).toBe(true);
    return gfid;
  };
  const [a, b] = [await mkdir(rootGfid, 'a'), await mkdir(rootGfid, 'b')];
  const inner = [await mkdir(a, 'inner'), await mkdir(b, 'inner')];
  for (const parent of inner)
    for (let i = 0; i < 9; i++) {
      const made = { loc: locAt(parent, `x${i}`), mode: FileType.regular << 12, gfid: rig.gfid(), flags: 0 };
      const put = await rig.ops.put(rig.call, { ...made, data: Buffer.from('x') });
      expect(put.ok).toBe(true);
    }
  // Neither is where the walk comes to, while it goes on.
  const child = ofChild(leaving);
  const { readdirp } = child;
  let isMoved = false;
  child.readdirp = async (call, args) => {
    if ((args.fd.gfid === a || args.fd.gfid === b) && !isMoved) {
      isMoved = true;
      const other = args.fd.gfid === a ? b : a;
      const from = locAt(other, 'inner');
      expect((await rig.ops.rename(rig.call, { from, to: locAt(rootGfid, 'late'), flags: 0 })).ok).toBe(true);
    }
    return readdirp(call, args);
  };
  expect(await new Rebalance(leaving.d, 'detach').run()).toMatchObject({ state: 'completed', failures: 0 });
  expect(isMoved).toBe(true);
  for (const path of ['/a/inner', '/b/inner', '/late'])
    for (let i = 0; i < 9; i++) {
      const left = await leaving.onBrick(leavingChild, `${path}/x${i}`);
      expect(left?.iatt.size ?? 0, `${path}/x${i}`).toBe(0);
    }
  await close();
});

const mkdirBy = async (rig: DistributeRig, name: string) => {
  const made = { loc: locAt(rootGfid, name), mode: (FileType.directory << 12) | 0o755, gfid: rig.gfid() };
  expect((await rig.ops.mkdir(rig.call, made)).ok).toBe(true);
  return made.gfid;
};

/** Puts files into a directory; which of them have data on the child that leaves. */
async function putsOnLeaving(rig: DistributeRig, parent: Gfid, path: string): Promise<number> {
  let count = 0;
  for (let i = 0; i < 12; i++) {
    const fd = new Fd(rig.gfid(), 2);
    const made = { loc: locAt(parent, `x${i}`), mode: FileType.regular << 12, gfid: fd.gfid, flags: 0o102, fd };
    expect((await rig.ops.create(rig.call, made)).ok).toBe(true);
    expect((await rig.ops.writev(rig.call, { fd, offset: 0, data: Buffer.from('x') })).ok).toBe(true);
    fd.release();
    if (((await rig.onBrick(leavingChild, `${path}/x${i}`))?.iatt.size ?? 0) > 0) count++;
  }
  return count;
}

it('gets no new files of who knows that it leaves, though their names hash to it', async () => {
  const { rig, leaving, close } = await leavingVolume(0);
  const parent = await mkdirBy(rig, 'd');
  await leaving.walk('/d');
  expect(await putsOnLeaving(leaving, parent, '/d')).toBe(0);
  for (let i = 0; i < 12; i++) expect(await rig.walk(`/d/x${i}`)).toMatchObject({ ok: true, iatt: { size: 1 } });
  await close();
});

it('has no names of a directory, either, that somebody made meanwhile who did not know', async () => {
  const { rig, leaving, close } = await leavingVolume(0);
  const child = ofChild(leaving);
  const { readdirp } = child;
  let parent: Gfid | undefined;
  // Behind the walk, and empty when what is left is looked for.
  child.readdirp = async (call, args) => {
    const reply = await readdirp(call, args);
    if (args.want?.includes(leaving.d.names.movingMode)) parent ??= await mkdirBy(rig, 'late');
    return reply;
  };
  expect(await new Rebalance(leaving.d, 'detach').run()).toMatchObject({ state: 'completed', failures: 0 });
  expect(await leaving.xattr(leavingChild, '/late', 'trusted.glusterfs.dht')).toMatch(/0{16}$/);
  expect(await putsOnLeaving(rig, parent!, '/late')).toBe(0);
  await close();
});

it('keeps no file that is renamed past each look at it', async () => {
  const { rig, leaving, close } = await leavingVolume(20);
  const directory = await mkdirBy(rig, 'd');
  const options = { 'decommissioned-bricks': `tr-client-${leavingChild}` };
  const user = await distributeRig({ children: 3, over: rig, options });
  await user.walk('/d');
  const [name] = (await namesOn(leaving, leavingChild)) as [string];
  let at: Gfid = rootGfid;
  let moves = 0;
  // Whatever is read next, the file is in the other one; for the walk, and more looks than there are at what is empty.
  const child = ofChild(leaving);
  const { readdirp } = child;
  child.readdirp = async (call, args) => {
    const { gfid } = args.fd;
    const to = gfid === rootGfid ? directory : rootGfid;
    if (args.offset === 0 && gfid === at && moves < 12) {
      moves++;
      const renamed = await user.ops.rename(user.call, { from: locAt(at, name), to: locAt(to, name), flags: 0 });
      expect(renamed).toMatchObject({ ok: true });
      at = to;
    }
    return readdirp(call, args);
  };
  expect(await new Rebalance(leaving.d, 'detach').run()).toMatchObject({ state: 'completed', failures: 0 });
  expect(moves).toBe(12);
  expect((await rig.onBrick(leavingChild, `/${name}`)) ?? (await rig.onBrick(leavingChild, `/d/${name}`))).toBeNull();
  const where = at === rootGfid ? `/${name}` : `/d/${name}`;
  expect(await user.walk(where)).toMatchObject({ ok: true });
  await user.close();
  await close();
});
