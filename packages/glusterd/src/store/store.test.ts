import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Rig } from '../testing/rig.ts';
import { StoreError } from './database.ts';

let rig: Rig;
beforeEach(() => {
  rig = new Rig();
});
afterEach(() => rig.remove());

function put(files: Record<string, unknown>, prefix = ''): void {
  for (const [path, text] of Object.entries(files)) {
    if (!path.startsWith(prefix) || path.endsWith('/')) continue;
    const target = join(rig.directories.work, path.slice(prefix.length));
    mkdirSync(dirname(target), { recursive: true });
    // Binary files are described, not kept.
    writeFileSync(target, typeof text === 'string' ? text : 'binary');
  }
}

function fixture(name: string) {
  return JSON.parse(readFileSync(new URL(`../../../../test/fixtures/store/${name}`, import.meta.url), 'utf8'));
}

describe('a new node', () => {
  it('gets a uuid and the files that tools look for', async () => {
    const { context } = await rig.start();
    const { uuid } = context.store.state.node;
    expect(await rig.file('glusterd.info')).toBe(`UUID=${uuid}\noperating-version=100000\n`);
    expect(await rig.file('options')).toBe('global-option-version=0\n');
    expect(await rig.file('glusterd.upgrade')).toBe('maximum-operating-version=100000\n');
  });

  it('is the same node after a restart', async () => {
    const { uuid } = (await rig.start()).context.store.state.node;
    expect((await rig.start()).context.store.state.node.uuid).toBe(uuid);
  });
});

describe('adoption', () => {
  it('takes over the volumes of a GlusterFS node as they are', async () => {
    put(fixture('glusterd-store.json').stores.replica3);
    const { context } = await rig.start();
    const volume = context.store.state.volumes.get('vol1')!;
    expect(context.store.state.node.uuid).toBe('6a058689-c7fa-4626-8617-cf4e6a7caeb2');
    expect(volume).toMatchObject({ type: 'replicate', replicaCount: 3, status: 'started' });
    expect(volume.bricks.map((brick) => brick.brickId)).toEqual(['vol1-client-0', 'vol1-client-1', 'vol1-client-2']);
    expect(Object.keys(volume.options)[0]).toBe('cluster.granular-entry-heal');
  });

  it('takes over the peers and options of a pool', async () => {
    put(fixture('glusterd-store-peers.json').files, 'node1/');
    const stray = {
      'peers/81d268f1-8ee2-4b62-b7ef-d75cbe5732e1.tmp': 'uui',
      'peers/not_a_peer_file': 'random stuff\n',
    };
    put(stray);
    const { context } = await rig.start();
    expect([...context.store.state.peers.keys()]).toEqual([
      '3b0d57c9-b084-4248-9740-067efd647a31',
      '81d268f1-8ee2-4b62-b7ef-d75cbe5732e1',
    ]);
    expect(context.store.state.globals).toEqual({ version: 1, options: { 'cluster.server-quorum-ratio': '51' } });
    const { peers } = await rig.done({ verb: 'peer.status' });
    expect(peers[0]).toMatchObject({ hostname: 'node3', stateText: 'Peer in Cluster', connected: false });
  });

  it('leaves alone what other parts of management keep', async () => {
    put(fixture('glusterd-store.json').stores['quota-bitrot-uss']);
    await rig.start();
    expect(await rig.file('vols/vol1/snapd.info')).toBe('snapd-port=53753\n');
    expect(await rig.file('vols/vol1/quota.conf')).not.toBeNull();
    // This build has no quota, so it does not know better than what was there.
    expect(await rig.file('vols/vol1/vol1.tcp-fuse.vol')).toBe('(volfile)');
  });

  it('happens once: the database is the truth then', async () => {
    put(fixture('glusterd-store.json').stores.replica3);
    await rig.start();
    writeFileSync(join(rig.directories.work, 'vols/vol1/info'), 'type=0\n');
    const { context } = await rig.start();
    expect(context.store.state.volumes.get('vol1')!.type).toBe('replicate');
    expect(await rig.file('vols/vol1/info')).toMatch(/^type=2\n/);
  });

  it('shows a volume that this build cannot run, and does not start it', async () => {
    put(fixture('glusterd-store.json').stores['disperse-4+2']);
    await rig.start();
    const { volumes } = await rig.done({ verb: 'volume.info' });
    expect(volumes[0]).toMatchObject({ name: 'vol1', type: 'Disperse' });
    expect(await rig.refusal({ verb: 'volume.start', volume: 'vol1', force: true })).toMatch(/cluster\/disperse/);
  });

  it('refuses a store that it cannot read, naming the file', async () => {
    const files = { ...fixture('glusterd-store.json').stores.replica3 };
    delete files['vols/vol1/bricks/node1:-bricks-b1'];
    put(files);
    await expect(rig.start()).rejects.toThrow(/vols\/vol1\/bricks\/node1:-bricks-b1 is missing/);
    expect(rig.batches.entries.size).toBe(0);
  });
});

describe('a crash', () => {
  it('between commit and files is made good at the next start', async () => {
    await rig.start();
    await rig.create('v', [rig.brick('b')]);
    const before = await rig.file('vols/v/info');
    rig.disk.writesLeft = 1;
    await rig.done({ verb: 'volume.set', volume: 'v', pairs: [{ key: 'network.ping-timeout', value: '10' }] });
    expect(rig.lines.some((line) => line.startsWith('ERROR committed, but the text files lag behind'))).toBe(true);
    rig.disk.writesLeft = Number.POSITIVE_INFINITY;
    const { context } = await rig.start();
    expect(context.store.state.volumes.get('v')!.options['network.ping-timeout']).toBe('10');
    const after = await rig.file('vols/v/info');
    expect(after).not.toBe(before);
    expect(after).toContain('network.ping-timeout=10\n');
    expect(await rig.file('vols/v/v.tcp-fuse.vol')).toContain('option ping-timeout 10\n');
  });

  it('of a commit leaves everything as it was', async () => {
    await rig.start();
    rig.batches.commitsLeft = 0;
    await expect(rig.run(rig.createRequest('v', [rig.brick('b')]))).rejects.toThrow(/no space left/);
    expect(rig.daemon.context.store.state.volumes.size).toBe(0);
    expect(rig.daemon.context.inspector.isDirectory(join(rig.root, 'b'))).toBe(false);
    expect(rig.daemon.context.locks.holders()).toEqual([]);
  });

  it('during a creation leaves no folder of the volume behind', async () => {
    await rig.start();
    mkdirSync(join(rig.directories.work, 'vols/half'), { recursive: true });
    await rig.start();
    expect(await rig.daemon.context.files.isDirectory(join(rig.directories.work, 'vols/half'))).toBe(false);
  });
});

it('refuses a document that is not valid, naming it', async () => {
  await rig.start();
  rig.batches.entries.set('volume/v', '{"name":"v"}');
  await expect(rig.start()).rejects.toThrow(StoreError);
  await expect(rig.start()).rejects.toThrow(/document 'volume\/v' of the database is not valid/);
});

it('refuses a database of a later build', async () => {
  await rig.start();
  rig.batches.entries.set('format', '99');
  await expect(rig.start()).rejects.toThrow(/version 99/);
});
