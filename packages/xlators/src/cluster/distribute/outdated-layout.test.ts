import { Errno, Fd, FileType, type Gfid, locAt, locOf, rootGfid } from '@mortar/core';
import { afterEach, describe, expect, it } from 'vitest';
import { type DistributeRig, distributeRig } from './rig.ts';

const layoutName = 'trusted.glusterfs.dht';
const rigs: DistributeRig[] = [];

afterEach(async () => {
  for (const rig of rigs.splice(0).reverse()) await rig.close();
});

async function start(options: Parameters<typeof distributeRig>[0] = {}): Promise<DistributeRig> {
  const rig = await distributeRig({ children: 2, ...options });
  rigs.push(rig);
  await rig.walk('/');
  return rig;
}

/** A directory whose layout the client knows, with files in it; then its bricks change places in the layout. */
async function relaidOut(rig: DistributeRig, files: readonly string[] = []): Promise<Gfid> {
  const gfid = rig.gfid();
  expect((await rig.ops.mkdir(rig.call, { loc: locAt(rootGfid, 'd'), mode: 0o755, gfid })).ok).toBe(true);
  for (const name of files) expect((await make(rig, 'mknod', gfid, name)).ok).toBe(true);
  const call = { ...rig.call, internal: 'rebalance' as const };
  const layouts = await Promise.all([1, 0].map((i) => rig.xattr(i, '/d', layoutName)));
  for (const [i, hex] of layouts.entries()) {
    const xattrs = { [layoutName]: Buffer.from(hex!, 'hex') };
    expect((await rig.bricks[i]!.setxattr(call, { loc: locOf(gfid), xattrs, flags: 0 })).ok).toBe(true);
  }
  return gfid;
}

const ways = ['create', 'mknod', 'symlink', 'put', 'mkdir', 'link', 'rename'] as const;

function make(rig: DistributeRig, way: (typeof ways)[number], parent: Gfid, name: string, source?: Gfid) {
  const { ops, call } = rig;
  const gfid = rig.gfid();
  const loc = locAt(parent, name);
  const mode = (FileType.regular << 12) | 0o644;
  const from = { ...locAt(parent, 'old'), gfid: source ?? null };
  switch (way) {
    case 'create':
      return ops.create(call, { loc, gfid, mode, flags: 0o302, fd: new Fd(gfid, 2) });
    case 'mknod':
      return ops.mknod(call, { loc, gfid, mode, rdevMajor: 0, rdevMinor: 0 });
    case 'symlink':
      return ops.symlink(call, { loc, gfid, target: 'somewhere' });
    case 'put':
      return ops.put(call, { loc, gfid, mode, flags: 0o302, data: Buffer.from('x') });
    case 'mkdir':
      return ops.mkdir(call, { loc, gfid, mode: 0o755 });
    case 'link':
      return ops.link(call, { from, to: loc });
    case 'rename':
      return ops.rename(call, { from, to: loc, flags: 0 });
  }
}

describe.each(['memory', 'posix'] as const)('a layout that another client has changed, bricks in %s', (storage) => {
  it.each(ways)('is found out by %s, which puts the name where it belongs now', async (way) => {
    const rig = await start({ storage });
    const d = await relaidOut(rig, ['old']);
    const old = await rig.onBrick(0, '/d/old');
    const source = (old ?? (await rig.onBrick(1, '/d/old')))!.iatt.gfid;
    // Of several names one at least hashes to where `old` has its data, and one elsewhere.
    const names = way === 'rename' ? ['new0'] : ['new0', 'new1', 'new2', 'new3'];
    for (const name of names) expect(await make(rig, way, d, name, source)).toMatchObject({ ok: true });
    const other = await start({ over: rig });
    await other.ops.lookup(other.call, { loc: locOf(d) });
    for (const name of names) {
      const hashed = await other.d.hashedOf(other.call, d, name);
      expect(await rig.onBrick(hashed as number, `/d/${name}`), name).not.toBeNull();
    }
    for (const name of names) expect(await make(other, 'create', d, name)).toEqual({ ok: false, errno: Errno.EEXIST });
  });
});

describe('a layout that was changed by hand, with its commit hash left', () => {
  it('does not hide from a client that knew the old one what is not where it belongs now', async () => {
    const rig = await start({ options: { 'lookup-optimize': 'on' } });
    const names = ['a', 'b', 'c', 'd'];
    const d = await relaidOut(rig, names);
    for (let again = 0; again < 2; again++) {
      await rig.ops.lookup(rig.call, { loc: locOf(d) });
      for (const name of names)
        expect(await rig.ops.lookup(rig.call, { loc: locAt(d, name) }), name).toMatchObject({ ok: true });
    }
  });
});

describe.each(['memory', 'posix'] as const)('a lookup under an old layout, bricks in %s', (storage) => {
  it('finds what a rebalance has moved, also where a commit hash makes one answer final', async () => {
    const rig = await start({ storage, options: { 'lookup-optimize': 'on' } });
    const d = await relaidOut(rig, ['old']);
    const from = (await rig.onBrick(0, '/d/old')) ? 0 : 1;
    const { gfid } = (await rig.onBrick(from, '/d/old'))!.iatt;
    const call = { ...rig.call, internal: 'rebalance' as const };
    const node = { loc: locAt(d, 'old'), gfid, mode: (FileType.regular << 12) | 0o644, rdevMajor: 0, rdevMinor: 0 };
    expect((await rig.bricks[1 - from]!.mknod(call, node)).ok).toBe(true);
    expect((await rig.bricks[from]!.unlink(call, { loc: node.loc })).ok).toBe(true);
    expect(await rig.ops.lookup(rig.call, { loc: locAt(d, 'old') })).toMatchObject({ ok: true, iatt: { gfid } });
    expect(await rig.ops.unlink(rig.call, { loc: { ...locAt(d, 'old'), gfid } })).toMatchObject({ ok: true });
    expect([await rig.onBrick(0, '/d/old'), await rig.onBrick(1, '/d/old')]).toEqual([null, null]);
    expect(await rig.ops.lookup(rig.call, { loc: locAt(d, 'old') })).toEqual({ ok: false, errno: Errno.ENOENT });
  });

  it('removes what a rebalance has moved since the client saw it', async () => {
    const rig = await start({ storage, options: { 'lookup-optimize': 'on' } });
    const d = await relaidOut(rig, ['old']);
    const from = (await rig.onBrick(0, '/d/old')) ? 0 : 1;
    const { gfid } = (await rig.onBrick(from, '/d/old'))!.iatt;
    const call = { ...rig.call, internal: 'rebalance' as const };
    const node = { loc: locAt(d, 'old'), gfid, mode: (FileType.regular << 12) | 0o644, rdevMajor: 0, rdevMinor: 0 };
    await rig.bricks[1 - from]!.mknod(call, node);
    await rig.bricks[from]!.unlink(call, { loc: node.loc });
    expect(await rig.ops.unlink(rig.call, { loc: { ...locAt(d, 'old'), gfid } })).toMatchObject({ ok: true });
    expect([await rig.onBrick(0, '/d/old'), await rig.onBrick(1, '/d/old')]).toEqual([null, null]);
  });
});

describe('a layout that is as the client knows it', () => {
  it('costs no request', async () => {
    const rig = await start();
    const gfid = rig.gfid();
    await rig.ops.mkdir(rig.call, { loc: locAt(rootGfid, 'd'), mode: 0o755, gfid });
    const before = rig.requests();
    await make(rig, 'create', gfid, 'one');
    expect(rig.requests() - before).toBe(1);
  });
});

describe('a brick that never agrees', () => {
  it('is told no layout in the end, so that names can be made', async () => {
    const rig = await start();
    const gfid = rig.gfid();
    await rig.ops.mkdir(rig.call, { loc: locAt(rootGfid, 'd'), mode: 0o755, gfid });
    let refused = 0;
    for (const door of rig.doors)
      door.refuse = (_fop, args) => {
        if ((args as { xdata?: { layout?: string } }).xdata?.layout === undefined) return undefined;
        refused++;
        return Errno.EREMCHG;
      };
    expect(await make(rig, 'create', gfid, 'one')).toMatchObject({ ok: true });
    expect(refused).toBe(3);
  });
});

describe('two distributes, one over the other', () => {
  it('send both their layouts', async () => {
    const inner = await start({ options: { 'xattr-name': 'trusted.inner' } });
    const gfid = inner.gfid();
    const initial = { [layoutName]: Buffer.from([1]) };
    await inner.ops.mkdir(inner.call, { loc: locAt(rootGfid, 'd'), mode: 0o755, gfid, initial });
    const xdata = { layout: `${layoutName}=00` };
    const args = { loc: locAt(gfid, 'one'), gfid: inner.gfid(), target: 't', xdata };
    expect(await inner.ops.symlink(inner.call, args)).toEqual({ ok: false, errno: Errno.EREMCHG });
  });
});

describe('a layout that was read while somebody wrote it', () => {
  it('has a hole, which is looked at again before a name falls into it', async () => {
    const rig = await start();
    const gfid = rig.gfid();
    expect((await rig.ops.mkdir(rig.call, { loc: locAt(rootGfid, 'd'), mode: 0o755, gfid })).ok).toBe(true);
    const state = rig.d.stateOf(gfid)!;
    if (state.kind !== 'directory') throw new Error('not a directory');
    const parts = state.layout.parts.map((part) =>
      part.state === 'range' && part.range.start === 0 ? { ...part, range: { ...part.range, stop: 0 } } : part,
    );
    for (const way of ways.filter((one) => one !== 'link' && one !== 'rename'))
      for (let i = 0; i < 4; i++) {
        rig.d.remember(gfid, { ...state, layout: { ...state.layout, parts } });
        expect(await make(rig, way, gfid, `${way}${i}`), `${way}${i}`).toMatchObject({ ok: true });
      }
  });
});
