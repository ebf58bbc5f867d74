import { Errno, FileType, type Gfid, locAt, locOf, rootGfid } from '@mortar/core';
import { describe, expect, it, onTestFinished } from 'vitest';
import { content, create, volume } from './grown-rig.ts';
import { encodeRange } from './layout.ts';
import { Rebalance, type RebalanceKind } from './rebalance.ts';
import { type DistributeRig, distributeRig } from './rig.ts';
import { markSettled } from './settled.ts';
import { giveVolumeCommit } from './volume-commit.ts';

const layout = 'trusted.glusterfs.dht';
const commit = 0x12345678;
const option = { 'commit-hash': String(commit) };
const directory = FileType.directory << 12;
const regular = FileType.regular << 12;

/** Word 0 of the layout of each copy. */
async function commits(rig: DistributeRig, path: string): Promise<(string | undefined)[]> {
  return Promise.all(rig.bricks.map(async (_, i) => (await rig.xattr(i, path, layout))?.slice(0, 8)));
}

async function makeDirectory(rig: DistributeRig, name: string): Promise<Gfid> {
  const gfid = rig.gfid();
  const made = await rig.ops.mkdir(rig.call, { loc: locAt(rootGfid, name), mode: directory | 0o755, gfid });
  if (!made.ok) throw new Error(`mkdir ${name}: errno ${made.errno}`);
  return gfid;
}

/** Two bricks with files became three; a client of all three that was there before anything moves. */
async function grown() {
  const all = await volume();
  onTestFinished(all.close);
  for (let i = 0; i < 40; i++) (await create(all.small, `f${i}`, Buffer.from(`content ${i}`))).fd.release();
  await makeDirectory(all.small, 'd');
  return { ...all, early: await all.client('early') };
}

const run = (rig: DistributeRig, kind: RebalanceKind = 'force') => new Rebalance(rig.d, kind).run();

describe('a rebalance', () => {
  it('gives the volume a commit hash, and each directory once its names are where they hash to', async () => {
    const { client, early } = await grown();
    const mover = await client('mover', option);
    expect(await run(mover)).toMatchObject({ state: 'completed', failures: 0 });
    expect(await early.xattr(2, '/', `${layout}.commithash`)).toBe(Buffer.from(`${commit}\0`).toString('hex'));
    for (const path of ['/', '/d']) expect(await commits(early, path)).toEqual(Array(3).fill(commit.toString(16)));
  });

  it('that fixes layouts moves no file, and gives none', async () => {
    const { client, early } = await grown();
    await run(await client('mover', option), 'fix-layout');
    expect(await early.xattr(0, '/', `${layout}.commithash`)).toBeUndefined();
    expect(await commits(early, '/')).toEqual(Array(3).fill('00000002'));
  });

  it('gives none where a subvolume does not take the one of the volume', async () => {
    const { client, early } = await grown();
    const mover = await client('mover', option);
    mover.doors[1]!.refuse = (fop, args) =>
      fop === 'setxattr' && `${layout}.commithash` in (args as { xattrs: object }).xattrs ? Errno.EIO : undefined;
    expect(await run(mover)).toMatchObject({ state: 'completed', failures: 0 });
    expect(await commits(early, '/')).toEqual(Array(3).fill('00000002'));
  });

  it('of several processes leaves it to the one that ends last', async () => {
    const { client, early } = await grown();
    const first = await client('first', { ...option, 'rebalance-share': '0:0/1,2:0/1' });
    await run(first);
    expect(await commits(early, '/')).toEqual(Array(3).fill('00000002'));
    const last = await client('last', { ...option, 'rebalance-share': '1:0/1' });
    await run(last);
    expect(await commits(early, '/')).toEqual(Array(3).fill(commit.toString(16)));
  });

  it('lets a client that was there all the time ask one brick for what is not there', async () => {
    const { client, early } = await grown();
    await run(await client('mover', option));
    // It believes nothing until it has looked: its own layouts and commit hash are of before.
    for (let i = 0; i < 40; i++) expect((await content(early, `f${i}`)).toString()).toBe(`content ${i}`);
    const d = await early.at('/d');
    await early.ops.lookup(early.call, { loc: locOf(d) });
    await early.ops.lookup(early.call, { loc: locOf(rootGfid) });
    for (const parent of [rootGfid, d]) {
      const before = early.requests();
      const found = await early.ops.lookup(early.call, { loc: locAt(parent, 'nothing') });
      expect(found).toMatchObject({ ok: false, errno: Errno.ENOENT });
      expect(early.requests() - before).toBe(1);
    }
  });

  it('whose commit hash a client has not heard of tells it by a directory that has it', async () => {
    const { client, early } = await grown();
    await run(await client('mover', option));
    expect(early.d.volumeCommit).toBe(0);
    await early.walk('/d');
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(early.d.volumeCommit).toBe(commit);
  });
});

describe('a directory', () => {
  async function laidOut() {
    const rig = await distributeRig({ children: 3 });
    onTestFinished(() => rig.close());
    await rig.walk('/');
    const d = await makeDirectory(rig, 'd');
    expect(await giveVolumeCommit(rig.d, rig.call, commit)).toBe(true);
    const isMarked = async () => (await commits(rig, '/d')).every((one) => one === commit.toString(16));
    const hashed = async (name: string) => (await rig.d.hashedOf(rig.call, d, name)) as number;
    const byHand = async (brick: number, name: string) => {
      const made = { loc: locAt(d, name), mode: regular | 0o644, rdevMajor: 0, rdevMinor: 0, gfid: rig.gfid() };
      expect(await rig.bricks[brick]!.mknod(rig.call, made)).toMatchObject({ ok: true });
    };
    return { rig, d, isMarked, hashed, byHand };
  }

  it('is settled when nothing is in it', async () => {
    const { rig, d, isMarked } = await laidOut();
    expect(await isMarked()).toBe(false);
    expect(await markSettled(rig.d, rig.call, d)).toBe('settled');
    expect(await isMarked()).toBe(true);
  });

  it('is settled with files that are elsewhere and have a linkto', async () => {
    const { rig, d, isMarked, hashed } = await laidOut();
    const [from, to] = ['a', 'b'];
    let other = to;
    for (let i = 0; (await hashed(other)) === (await hashed(from)); i++) other = `b${i}`;
    const made = { loc: locAt(d, from), mode: regular | 0o644, rdevMajor: 0, rdevMinor: 0, gfid: rig.gfid() };
    expect(await rig.ops.mknod(rig.call, made)).toMatchObject({ ok: true });
    const renamed = await rig.ops.rename(rig.call, { from: locAt(d, from), to: locAt(d, other), flags: 0 });
    expect(renamed).toMatchObject({ ok: true });
    expect(await markSettled(rig.d, rig.call, d)).toBe('settled');
    expect(await isMarked()).toBe(true);
  });

  it('is not settled with a name that is nowhere but where it does not hash to', async () => {
    const { rig, d, isMarked, hashed, byHand } = await laidOut();
    const wrong = ((await hashed('x')) + 1) % 3;
    await byHand(wrong, 'x');
    expect(await markSettled(rig.d, rig.call, d)).toBe('unsettled');
    expect(await isMarked()).toBe(false);
    // Whoever looks for it finds it, and leaves a linkto.
    expect(await rig.walk('/d/x')).toMatchObject({ ok: true });
    expect(await markSettled(rig.d, rig.call, d)).toBe('settled');
  });

  it('is settled with linktos that lead nowhere', async () => {
    const { rig, d, hashed } = await laidOut();
    const wrong = ((await hashed('x')) + 1) % 3;
    const initial = { [`${layout}.linkto`]: Buffer.from(`${rig.d.childName((wrong + 1) % 3)}\0`, 'latin1') };
    const made = { loc: locAt(d, 'x'), mode: regular | 0o1000, rdevMajor: 0, rdevMinor: 0, gfid: rig.gfid(), initial };
    expect(await rig.bricks[wrong]!.mknod(rig.call, made)).toMatchObject({ ok: true });
    expect(await markSettled(rig.d, rig.call, d)).toBe('settled');
  });

  it('is not settled while a directory in it is missing where its name hashes to', async () => {
    const { rig, d, hashed } = await laidOut();
    const gfid = rig.gfid();
    const made = await rig.ops.mkdir(rig.call, { loc: locAt(d, 'below'), mode: directory | 0o755, gfid });
    expect(made).toMatchObject({ ok: true });
    expect(
      await rig.bricks[await hashed('below')]!.rmdir(rig.call, { loc: locAt(d, 'below'), recursive: false }),
    ).toMatchObject({
      ok: true,
    });
    expect(await markSettled(rig.d, rig.call, d)).toBe('unsettled');
  });

  it('is not settled when not all of it can be listed', async () => {
    const { rig, d, isMarked } = await laidOut();
    for (const fop of ['opendir', 'readdirp', 'setxattr'] as const) {
      rig.doors[1]!.refuse = (one) => (one === fop ? Errno.EIO : undefined);
      expect(await markSettled(rig.d, rig.call, d), fop).toBe('unsettled');
      rig.doors[1]!.refuse = () => undefined;
      expect(await isMarked(), fop).toBe(false);
    }
    // Some copies had it: nobody believes that.
    await rig.ops.lookup(rig.call, { loc: locOf(d) });
    expect(rig.d.stateOf(d)).toMatchObject({ layout: { commit: 1 } });
    expect(await markSettled(rig.d, rig.call, d)).toBe('settled');
    expect(await isMarked()).toBe(true);
  });

  it('is not settled when it is laid out anew while one looks', async () => {
    const { rig, d, isMarked } = await laidOut();
    let isDone = false;
    rig.doors[0]!.before = (fop) => {
      if (fop !== 'inodelk' || isDone) return undefined;
      isDone = true;
      const range = { commit: 2, type: 0, start: 0, stop: 10 };
      return rig.bricks[0]!.setxattr(rig.call, {
        loc: locOf(d),
        xattrs: { [layout]: encodeRange(range) },
        flags: 0,
      }).then(() => undefined);
    };
    expect(await markSettled(rig.d, rig.call, d)).toBe('unsettled');
    expect(isDone).toBe(true);
    expect(await isMarked()).toBe(false);
  });

  it('that was laid out by hand is left so', async () => {
    const { rig, d } = await laidOut();
    const whole = { commit: 3, type: 1, start: 0, stop: 0xffffffff };
    for (const [i, brick] of rig.bricks.entries()) {
      const range = encodeRange(i === 0 ? whole : { ...whole, stop: 0 });
      await brick.setxattr(rig.call, { loc: locOf(d), xattrs: { [layout]: range }, flags: 0 });
    }
    expect(await markSettled(rig.d, rig.call, d)).toBe('unsettled');
    expect((await rig.xattr(0, '/d', layout))?.slice(0, 8)).toBe('00000003');
  });

  it('that is gone is no failure', async () => {
    const { rig, d } = await laidOut();
    expect(await rig.ops.rmdir(rig.call, { loc: locAt(rootGfid, 'd'), recursive: false })).toMatchObject({ ok: true });
    expect(await markSettled(rig.d, rig.call, d)).toBe('gone');
  });
});
