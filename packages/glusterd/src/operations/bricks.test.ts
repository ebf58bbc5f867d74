/** add-brick, remove-brick, replace-brick, reset-brick: bricks of volumes come and go. */
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Errno } from '@mortar/core';
import { getxattr } from '@mortar/libc';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RequestOf } from '../protocol/requests.ts';
import { addRequest, removeRequest } from '../testing/brick-requests.ts';
import { Rig } from '../testing/rig.ts';
import type { VolumeInfo } from '../volume.ts';

let rig: Rig;
beforeEach(async () => {
  rig = new Rig();
  await rig.start();
  rig.processes.answers = { 'brick.blame': {} };
});
afterEach(() => rig.remove());

const volume = (name = 'v') => rig.daemon.context.store.state.volumes.get(name)!;
const bricks = (...names: string[]) => names.map((name) => rig.brick(name));
const paths = () => volume().bricks.map((brick) => brick.path.slice(rig.root.length + 1));
const ids = () => volume().bricks.map((brick) => brick.brickId);
const blames = () => rig.processes.asked.filter((one) => one.method === 'brick.blame').map((one) => one.params);
const start = () => rig.done({ verb: 'volume.start', volume: 'v', force: false });
const hex = (name: string, xattr: string) => {
  const value = getxattr(join(rig.root, name), xattr);
  return typeof value === 'number' ? value : Buffer.from(value).toString('hex');
};
const one = '00000001';

const add = (names: string[], more: Partial<RequestOf<'volume.add-brick'>> = {}) => addRequest(rig, names, more);
const remove = (names: string[], more: Partial<RequestOf<'volume.remove-brick'>> = {}) =>
  removeRequest(rig, names, more);

const replace = (source: string, target: string): RequestOf<'volume.replace-brick'> => ({
  verb: 'volume.replace-brick',
  volume: 'v',
  source: rig.brick(source),
  target: rig.brick(target),
  ignorePartition: false,
});

describe('volume add-brick', () => {
  it('gives a distributed volume one more to distribute over, which runs before mounts hear of it', async () => {
    await rig.create('v', bricks('a'));
    await start();
    let heard = 0;
    const { volfiles } = rig.daemon.context;
    const port = () => volume().bricks[1]?.port ?? 0;
    volfiles.watch(
      { changed: () => (heard = port()), brickStarted: () => undefined },
      'v',
      false,
      volfiles.text('v', false)!,
    );
    await rig.done(add(['b']));
    expect(paths()).toEqual(['a', 'b']);
    expect(ids()).toEqual(['v-client-0', 'v-client-1']);
    expect(heard).toBeGreaterThan(0);
    expect(blames()).toEqual([]);
    expect(await rig.file('vols/v/v.tcp-fuse.vol')).toContain('subvolumes v-client-0 v-client-1');
  });

  it('makes a replicated volume of a distributed one, whose bricks blame the empty ones first', async () => {
    await rig.create('v', bricks('a', 'b'));
    await start();
    await rig.done(add(['a2', 'b2'], { replica: 2 }));
    expect(paths()).toEqual(['a', 'a2', 'b', 'b2']);
    expect(ids()).toEqual(['v-client-0', 'v-client-2', 'v-client-1', 'v-client-3']);
    expect(volume()).toMatchObject({ type: 'replicate', replicaCount: 2 });
    expect(volume().options['performance.client-io-threads']).toBe('off');
    expect(blames()).toEqual([
      { names: ['trusted.afr.v-client-2'], counters: [0, 1, 1], of: ['trusted.afr.v-client-0'] },
      { names: ['trusted.afr.v-client-3'], counters: [0, 1, 1], of: ['trusted.afr.v-client-1'] },
    ]);
    expect(hex('a2', 'trusted.afr.dirty')).toBe(`00000000${'00000000'}${one}`);
    expect(hex('a2', 'trusted.afr.v-client-2')).toBe(`00000000${'00010000'.repeat(2)}`);
    expect(rig.processes.ran.some(({ args }) => args.includes('glustershd'))).toBe(true);
  });

  it('lets only bricks with data blame: an arbiter is added to two of them', async () => {
    await rig.create('v', bricks('a', 'b'), { type: 'replicate', replica: 2 });
    await start();
    await rig.done(add(['c'], { replica: 3, arbiter: 1 }));
    expect(volume()).toMatchObject({ replicaCount: 3, arbiterCount: 1 });
    expect(blames()).toHaveLength(2);
  });

  it('blames in the directory where the brick does not run', async () => {
    await rig.create('v', bricks('a'));
    await rig.done(add(['b'], { replica: 2 }));
    expect(hex('a', 'trusted.afr.v-client-1')).toBe(`00000000${one.repeat(2)}`);
    expect(existsSync(join(rig.root, 'a/.glusterfs/indices/xattrop/00000000-0000-0000-0000-000000000001'))).toBe(true);
  });

  it('never gives the number of a brick again while others are left', async () => {
    await rig.create('v', bricks('a', 'b', 'c'));
    await rig.done(remove(['b']));
    await rig.done(add(['d']));
    expect(ids()).toEqual(['v-client-0', 'v-client-2', 'v-client-3']);
  });

  it('leaves everything as it was when a new brick does not start', async () => {
    await rig.create('v', bricks('a', 'b'), { type: 'replicate', replica: 2 });
    await start();
    rig.processes.broken.add(join(rig.root, 'c'));
    const before = volume();
    expect(await rig.refusal(add(['c'], { replica: 3 }))).toMatch(/did not start: the brick is broken/);
    expect(volume()).toEqual({ ...before, version: before.version + 2 });
    expect(existsSync(join(rig.root, 'c'))).toBe(false);
    expect(blames().map((each) => (each as { counters: number[] }).counters[2])).toEqual([1, 1, -1, -1]);
  });

  it('refuses to make replicas of bricks that nobody can tell', async () => {
    await rig.create('v', bricks('a', 'b'), { type: 'replicate', replica: 2 });
    await start();
    rig.processes.answers = {};
    expect(await rig.refusal(add(['c'], { replica: 3 }))).toMatch(/^No other data brick of the replica set/);
    expect(paths()).toEqual(['a', 'b']);
  });

  const wrong: [string, string[], Partial<RequestOf<'volume.add-brick'>>, RegExp][] = [
    ['an unknown volume', ['x'], { volume: 'nosuch' }, /^Unable to get volinfo for volume name nosuch$/],
    ['half a set', ['x'], {}, /^Incorrect number of bricks supplied 1 with count 2$/],
    ['fewer replicas', ['x', 'y'], { volume: 'w', replica: 2 }, /^Incorrect replica count \(2\) supplied/],
    [
      'too few bricks for the sets',
      ['x', 'y'],
      { replica: 4 },
      /^Incorrect number of bricks \(2\) supplied for replica/,
    ],
    ['a brick that is taken', ['a', 'x'], {}, /containing or be contained/],
    ['the same brick twice', ['x', 'x'], {}, /containing or be contained/],
    ['replicas on one server', ['x', 'y'], { force: false }, /^Multiple bricks of a replicate volume/],
    [
      'an arbiter in the place of a replica',
      ['x', 'y', 'z'],
      { volume: 'w', replica: 3, arbiter: 1 },
      /to arbiter volume/,
    ],
  ];
  it.each(wrong)('refuses %s', async (_what, names, more, message) => {
    await rig.create('v', bricks('a', 'b', 'c', 'd'), { type: 'replicate', replica: 2 });
    await rig.create('w', bricks('e', 'f', 'g'), { type: 'replicate', replica: 3 });
    const before = [volume('v'), volume('w')];
    expect(await rig.refusal(add(names, more))).toMatch(message);
    expect([volume('v'), volume('w')]).toEqual(before);
    expect(existsSync(join(rig.root, 'x'))).toBe(false);
  });
});

describe('volume remove-brick', () => {
  it('takes a brick away by force and ends its process', async () => {
    await rig.create('v', bricks('a', 'b'));
    await start();
    await rig.done(remove(['b']));
    expect(paths()).toEqual(['a']);
    expect(rig.processes.signals).toHaveLength(1);
    expect(existsSync(join(rig.root, 'b'))).toBe(true);
  });

  it('ends a brick when its clients have gone over to the new graph', async () => {
    await rig.create('v', bricks('a', 'b'));
    await start();
    const clients = [['mount', 'shd'], ['mount'], []];
    const seen: number[] = [];
    rig.processes.answers = {
      get 'brick.clients'() {
        seen.push(rig.processes.alive.size);
        return clients.shift() ?? [];
      },
    };
    await rig.done(remove(['b']));
    expect(seen).toEqual([2, 2, 2]);
    expect(rig.processes.alive.size).toBe(1);
  });

  it('takes replicas away, down to a distributed volume without a heal daemon', async () => {
    await rig.createReplica('v');
    await start();
    await rig.done(remove(['v-3'], { replica: 2 }));
    expect(volume()).toMatchObject({ type: 'replicate', replicaCount: 2 });
    await rig.done(remove(['v-1'], { replica: 1 }));
    expect(volume()).toMatchObject({ type: 'distribute', replicaCount: 1 });
    expect(paths()).toEqual(['v-2']);
    expect([...rig.processes.alive.values()].some((words) => words.includes('glustershd'))).toBe(false);
  });

  const wrong: [string, string[], Partial<RequestOf<'volume.remove-brick'>>, RegExp][] = [
    ['an unknown volume', ['a'], { volume: 'nosuch' }, /^Volume nosuch does not exist$/],
    ['an unknown brick', ['x', 'b'], {}, /^Incorrect brick .*\/x for volume v$/],
    ['all bricks', ['a', 'b', 'c', 'd'], {}, /^Deleting all the bricks of the volume is not allowed$/],
    ['half a set', ['a'], {}, /^Remove brick incorrect brick count of 1 for replica 2$/],
    ['halves of two sets', ['a', 'c'], {}, /^Bricks not from same subvol for replica$/],
    ['more replicas', ['a'], { replica: 3 }, /^given replica count \(3\) option is more than/],
    ['a replica of one set only', ['a'], { replica: 1 }, /^need 2\(xN\) bricks for reducing replica count/],
    ['two replicas of one set', ['a', 'b'], { replica: 1 }, /^Remove exactly 1 brick\(s\) from each subvolume\.$/],
    ['to look after what was not begun', ['a', 'b'], { action: 'status' }, /^remove-brick not started for volume v\.$/],
    ['to commit what was not begun', ['a', 'b'], { action: 'commit' }, /is not decommissioned\. Use start or force/],
    ['to migrate for fewer replicas', ['a', 'c'], { action: 'start', replica: 1 }, /^Migration of data is not needed/],
  ];
  it.each(wrong)('refuses %s', async (_what, names, more, message) => {
    await rig.create('v', bricks('a', 'b', 'c', 'd'), { type: 'replicate', replica: 2 });
    await start();
    const before = volume();
    expect(await rig.refusal(remove(names, more))).toMatch(message);
    expect(volume()).toEqual(before);
  });

  it('takes the arbiter first', async () => {
    await rig.create('v', bricks('a', 'b', 'c'), { type: 'replicate', replica: 3, arbiter: 1 });
    expect(await rig.refusal(remove(['a'], { replica: 2 }))).toMatch(/^Remove arbiter brick\(s\) only/);
    expect(await rig.refusal(remove(['a', 'b'], { replica: 1 }))).toMatch(/must contain arbiter/);
    await rig.done(remove(['c'], { replica: 2 }));
    expect(volume()).toMatchObject({ replicaCount: 2, arbiterCount: 0 });
  });
});

describe('volume replace-brick', () => {
  it('puts an empty brick in the place of another, blamed by the others under the old name', async () => {
    await rig.createReplica('v');
    await start();
    // What both of the others say of the last one.
    rig.processes.answers = { 'brick.blame': { said: { 'trusted.afr.v-client-2': [0, 0, 3] } } };
    await rig.done(replace('v-2', 'new'));
    expect(paths()).toEqual(['v-1', 'new', 'v-3']);
    expect(ids()).toEqual(['v-client-0', 'v-client-1', 'v-client-2']);
    const blame = {
      names: ['trusted.afr.v-client-1'],
      counters: [1, 1, 1],
      of: ['trusted.afr.v-client-0', 'trusted.afr.v-client-2'],
    };
    expect(blames()).toEqual([blame, blame]);
    expect(hex('new', 'trusted.afr.v-client-1')).toBe('00010000'.repeat(3));
    expect(hex('new', 'trusted.afr.v-client-2')).toBe('000100000000000000010000');
    expect(hex('new', 'trusted.afr.v-client-0')).toBe(-Errno.ENODATA);
    expect(hex('new', 'trusted.afr.dirty')).toBe(`00000000${'00000000'}${one}`);
    expect(rig.processes.signals).toHaveLength(1);
  });

  it('keeps the old brick when the new one does not start', async () => {
    await rig.createReplica('v');
    await start();
    rig.processes.broken.add(join(rig.root, 'new'));
    await rig.refusal(replace('v-2', 'new'));
    expect(paths()).toEqual(['v-1', 'v-2', 'v-3']);
    expect(existsSync(join(rig.root, 'new'))).toBe(false);
    const { online } = await rig.daemon.context.supervisor.brickState(volume(), volume().bricks[1]!);
    expect(online).toBe(true);
  });

  it('refuses what is not replicated, not started, unknown or taken', async () => {
    await rig.create('v', bricks('a'));
    expect(await rig.refusal(replace('a', 'b'))).toMatch(/^replace-brick is not permitted on distribute only volumes/);
    await rig.done({ verb: 'volume.delete', volume: 'v' });
    await rig.createReplica('v');
    expect(await rig.refusal(replace('v-1', 'b'))).toBe('volume: v is not started');
    await start();
    expect(await rig.refusal(replace('x', 'b'))).toMatch(/^brick: .*\/x does not exist in volume: v$/);
    expect(await rig.refusal(replace('v-1', 'v-1'))).toMatch(/containing or be contained/);
  });
});

describe('a version of a volume', () => {
  /** Each document that there has been, of each version. */
  const documents = () => {
    const seen = new Map<number, Set<string>>();
    const { batch } = rig.batches;
    rig.batches.batch = async (operations) => {
      await batch.call(rig.batches, operations);
      // Where a brick listens is not known before it runs.
      const { version, bricks, ...others } = JSON.parse(rig.batches.entries.get('volume/v')!) as VolumeInfo;
      const texts = seen.get(version) ?? new Set();
      const places = bricks.map(({ port: _, ...brick }) => brick);
      seen.set(version, texts.add(JSON.stringify({ ...others, bricks: places })));
    };
    return seen;
  };
  const failing: [string, () => Promise<string>][] = [
    ['add-brick', () => rig.refusal(add(['new'], { replica: 4 }))],
    ['replace-brick', () => rig.refusal(replace('v-2', 'new'))],
  ];

  it.each(failing)('is never another one after %s has failed and been taken back', async (_what, fail) => {
    await rig.createReplica('v');
    await start();
    const seen = documents();
    rig.processes.broken.add(join(rig.root, 'new'));
    await fail();
    expect(paths()).toEqual(['v-1', 'v-2', 'v-3']);
    await rig.done({ verb: 'volume.set', volume: 'v', pairs: [{ key: 'network.ping-timeout', value: '33' }] });
    expect([...seen.values()].map(({ size }) => size)).toEqual([1, 1, 1]);
  });
});

describe('volume reset-brick', () => {
  const reset = (action: 'start' | 'commit', more: Partial<RequestOf<'volume.reset-brick'>> = {}) =>
    ({
      verb: 'volume.reset-brick',
      volume: 'v',
      source: rig.brick('v-2'),
      ...(action === 'commit' && { target: rig.brick('v-2') }),
      action,
      force: false,
      ignorePartition: false,
      ...more,
    }) as const;

  it('stops a brick, and takes it back with an empty directory', async () => {
    await rig.createReplica('v');
    await start();
    expect(await rig.refusal(reset('commit'))).toMatch(/^Source brick must be stopped\./);
    await rig.done(reset('start'));
    expect(await rig.refusal(reset('commit'))).toMatch(/^Brick not available\./);
    rmSync(join(rig.root, 'v-2'), { recursive: true });
    await rig.done(reset('commit', { force: true }));
    expect(blames()).toHaveLength(2);
    const { online } = await rig.daemon.context.supervisor.brickState(volume(), volume().bricks[1]!);
    expect(online).toBe(true);
  });

  it('is not for another directory', async () => {
    await rig.createReplica('v');
    await start();
    await rig.done(reset('start'));
    expect(await rig.refusal(reset('commit', { target: rig.brick('new') }))).toMatch(
      /please use gluster volume replace/,
    );
  });
});
