import { readFileSync } from 'node:fs';
import { placementOf, printVolfile, type Volfile, type VolumeNode } from '@mortar/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type VolumeInfo, volumeInfoSchema, withOption } from '../volume.ts';
import { withoutMissing } from './finish.ts';
import { volumeFromStore } from './golden.ts';
import {
  allTranslators,
  brickVolfile,
  clientVolfile,
  existingTranslators,
  healDaemonVolfile,
  missingForShape,
  missingTranslators,
  rebalanceVolfile,
  VolgenError,
  volfileId,
  volfileName,
  volfileOfId,
  volumeOptions,
} from './index.ts';

const file = new URL('../../../../test/fixtures/vectors/glusterd-store.json', import.meta.url);
const stores = JSON.parse(readFileSync(file, 'utf8')).stores as Record<string, Record<string, string>>;
const sample = (name: string) => volumeFromStore(name, stores[name]);
const withOptions = (volume: VolumeInfo, options: Record<string, string>): VolumeInfo => ({
  ...volume,
  options: { ...volume.options, ...options },
});

const all = { translators: allTranslators };
const nodeOf = (volfile: Volfile, name: string): VolumeNode | undefined =>
  volfile.volumes.find((node) => node.name === name);
const typesOf = (volfile: Volfile) => volfile.volumes.map((node) => node.type);

describe('options reach the volfile', () => {
  it('of clients: TLS, read-after-open with root-squash, no gids with manage-gids', () => {
    const volume = withOptions(sample('replica3'), {
      'client.ssl': 'on',
      'ssl.ca-list': '/etc/ca.pem',
      'ssl.certificate-depth': '3',
      'server.root-squash': 'on',
      'server.manage-gids': 'on',
    });
    const volfile = clientVolfile(volume, { trusted: true, ...all });
    expect(nodeOf(volfile, 'vol1-client-1')!.options.get('transport.socket.ssl-enabled')).toBe('on');
    expect(nodeOf(volfile, 'vol1-client-1')!.options.get('transport.socket.ssl-ca-list')).toBe('/etc/ca.pem');
    expect(nodeOf(volfile, 'vol1-client-1')!.options.get('transport.socket.ssl-cert-depth')).toBe('3');
    expect(nodeOf(volfile, 'vol1-client-1')!.options.get('send-gids')).toBe('false');
    expect(nodeOf(volfile, 'vol1-open-behind')!.options.get('read-after-open')).toBe('yes');
  });
  it('of bricks: the guard of block devices, over the index', () => {
    const types = (value: string) =>
      typesOf(
        brickVolfile(withOptions(sample('replica3'), { 'features.block': value }), sample('replica3').bricks[0]!, all),
      );
    expect(types('off')).not.toContain('features/block');
    const on = types('on');
    expect(on[on.indexOf('features/block') - 1]).toBe('features/index');
  });

  it('of bricks: who may connect, log level, reserve', () => {
    const volume = withOptions(sample('replica3'), {
      'auth.reject': '10.1.*',
      'auth.ssl-allow': 'alice,bob',
      'diagnostics.brick-log-level': 'DEBUG',
      'diagnostics.client-log-level': 'TRACE',
      'storage.reserve': '5',
      'user.note': 'free text',
    });
    const volfile = brickVolfile(volume, volume.bricks[0]!, all);
    const server = nodeOf(volfile, 'vol1-server')!;
    expect(server.options.get('auth.addr./bricks/b1.reject')).toBe('10.1.*');
    expect(server.options.get('auth.login./bricks/b1.ssl-allow')).toBe('alice,bob');
    expect(nodeOf(volfile, '/bricks/b1')!.options.get('log-level')).toBe('DEBUG');
    expect(nodeOf(volfile, 'vol1-posix')!.options.get('reserve')).toBe('5');
    expect(printVolfile(volfile)).not.toContain('free text');
  });
  it('with blanks, quoted so that every parser reads them', () => {
    const volume = withOptions(sample('replica3'), { 'cluster.extra-hash-regex': '^(.+)\\.tmp$' });
    expect(printVolfile(clientVolfile(volume, { trusted: false, ...all }))).toContain(
      'option extra-hash-regex "^(.+)\\\\.tmp$"',
    );
  });
  it('of the heal daemon, which heals whatever clients are told', () => {
    const volume = withOptions(sample('replica3'), {
      'cluster.data-self-heal': 'off',
      'cluster.heal-timeout': '60',
      'cluster.self-heal-daemon': 'off',
    });
    const { options } = nodeOf(healDaemonVolfile([volume]), 'vol1-replicate-0')!;
    expect(options.get('data-self-heal')).toBe('on');
    expect(options.get('heal-timeout')).toBe('60');
    expect(options.get('self-heal-daemon')).toBe('off');
  });
});

describe('shapes', () => {
  it('nufa and switch take the place of distribute', () => {
    const volume = withOptions(sample('distribute3'), { 'cluster.nufa': 'on' });
    expect(nodeOf(clientVolfile(volume, { trusted: true, ...all }), 'vol1-dht')!.type).toBe('cluster/nufa');
  });
  it('sets with leaving bricks are named to distribute', () => {
    const volume = sample('dist-replica-2x3');
    const bricks = volume.bricks.map((brick, i) => ({ ...brick, decommissioned: i >= 3 }));
    const volfile = rebalanceVolfile({ ...volume, bricks }, {});
    expect(nodeOf(volfile, 'vol1-dht')!.options.get('decommissioned-bricks')).toBe('vol1-replicate-1');
  });
  it.each(['single-brick', 'distribute3', 'replica3', 'dist-replica-2x3', 'performance-off'])(
    'all who distribute the files of %s tell the same digest of where they are, also with other options',
    (name) => {
      const volume = sample(name);
      const bricks = volume.bricks.map((brick, i) => ({ ...brick, decommissioned: i === 0 }));
      for (const one of [volume, { ...volume, bricks }]) {
        const parallel = withOptions(one, { 'performance.parallel-readdir': 'on', 'network.ping-timeout': '7' });
        const graphs = [
          clientVolfile(one, { trusted: true }),
          clientVolfile(one, { trusted: false }),
          rebalanceVolfile(one),
          rebalanceVolfile(parallel),
          clientVolfile(parallel, { trusted: true, localUuid: one.bricks[0]!.hostUuid }),
        ];
        const digests = new Set(graphs.map(placementOf));
        expect(digests.size).toBe(1);
        expect([...digests]).toEqual([expect.stringMatching(/^[0-9a-f]{32}$/)]);
      }
      expect(placementOf(rebalanceVolfile({ ...volume, bricks }))).not.toBe(placementOf(rebalanceVolfile(volume)));
      if (volume.type === 'replicate') expect(placementOf(healDaemonVolfile([volume], {}))).toBeUndefined();
    },
  );
  it('a brick that leaves is named as it stands in the graph, when readdir-ahead over it is left out', () => {
    const volume = withOptions(sample('distribute3'), {
      'performance.parallel-readdir': 'on',
      'performance.readdir-ahead': 'on',
    });
    const bricks = volume.bricks.map((brick, i) => ({ ...brick, decommissioned: i === 1 }));
    for (const volfile of [
      rebalanceVolfile({ ...volume, bricks }),
      clientVolfile({ ...volume, bricks }, { trusted: true }),
    ])
      expect(nodeOf(volfile, 'vol1-dht')!.options.get('decommissioned-bricks')).toBe('vol1-client-1');
  });
  it('a parallel readdir-ahead is below distribute and shares its cache', () => {
    const volume = withOptions(sample('dist-replica-2x3'), {
      'performance.parallel-readdir': 'on',
      'performance.readdir-ahead': 'on',
    });
    const volfile = clientVolfile(volume, { trusted: true, ...all });
    expect(nodeOf(volfile, 'vol1-dht')!.subvolumes).toEqual(['vol1-readdir-ahead-0', 'vol1-readdir-ahead-1']);
    expect(nodeOf(volfile, 'vol1-readdir-ahead-0')!.options.get('rda-cache-limit')).toBe('5242880B');
    expect(nodeOf(volfile, 'vol1-readdir-ahead')).toBeUndefined();
  });
  it('a debugging translator is in a graph once even if two options name places in it', () => {
    const volume = withOptions(sample('replica3'), { 'debug.trace': 'posix', 'debug.error-gen': 'locks' });
    const types = typesOf(brickVolfile(volume, volume.bricks[0]!, all));
    expect(types.filter((type) => type.startsWith('debug/') && type !== 'debug/io-stats')).toEqual([
      'debug/trace',
      'debug/error-gen',
    ]);
  });
  it('a snapshot is read-only', () => {
    const volume = { ...sample('replica3'), parentVolume: 'origin' };
    expect(nodeOf(clientVolfile(volume, { trusted: true, ...all }), 'vol1-read-only')!.options.get('read-only')).toBe(
      'on',
    );
  });
  it('several volumes are healed by one daemon', () => {
    const other = {
      ...sample('replica2'),
      name: 'other',
      bricks: sample('replica2').bricks.map((brick, i) => ({ ...brick, brickId: `other-client-${i}` })),
    };
    const volfile = healDaemonVolfile([sample('replica3'), sample('distribute3'), other]);
    expect(volfile.volumes.at(-1)).toMatchObject({
      name: 'glustershd',
      subvolumes: ['vol1-replicate-0', 'other-replicate-0'],
    });
    expect(() => healDaemonVolfile([sample('distribute3')])).toThrow(VolgenError);
  });
  it('bricks of other nodes share no space with this one', () => {
    const volume = sample('replica3');
    const localUuid = '00000000-0000-4000-8000-000000000000';
    const remote = brickVolfile(volume, volume.bricks[0]!, { localUuid });
    expect(nodeOf(remote, 'vol1-posix')!.options.get('shared-brick-count')).toBe('0');
  });
});

describe('translators that this build does not have', () => {
  it('are known by what they would do, and are not those that exist', () => {
    for (const type of Object.keys(missingTranslators)) expect(existingTranslators.has(type)).toBe(false);
  });
  it('are all that options can load', () => {
    const loaded = volumeOptions.filter((entry) => entry.option === '!perf').map((entry) => entry.xlator);
    for (const type of loaded) expect(allTranslators.has(type)).toBe(true);
  });
  it('are refused where the volume would be wrong without them', () => {
    const sharded = withOptions(sample('replica3'), { 'features.shard': 'on' });
    const make = () =>
      clientVolfile(sharded, {
        trusted: true,
        translators: new Set([...allTranslators].filter((type) => type !== 'features/shard')),
      });
    expect(make).toThrow(
      'volume vol1: features.shard is on, but this build has no features/shard translator, which splits large files into shards',
    );
  });
  it('are left out where the volume is only slower', () => {
    const volume = withOptions(sample('replica3'), { 'performance.open-behind': 'on' });
    const translators = new Set([...allTranslators].filter((type) => type !== 'performance/open-behind'));
    expect(typesOf(clientVolfile(volume, { trusted: true, translators }))).not.toContain('performance/open-behind');
  });
  it('make some shapes of volumes impossible', () => {
    const none = new Set<string>();
    expect(missingForShape({ type: 'disperse', arbiterCount: 0, thinArbiterCount: 0 }, none)).toMatch(
      /^a dispersed volume is not possible: .* cluster\/disperse/,
    );
    expect(
      missingForShape({ type: 'replicate', arbiterCount: 1, thinArbiterCount: 0 }, allTranslators),
    ).toBeUndefined();
  });
  it('are not looked for under names that all objects have', () => {
    const volume = withOptions(sample('replica3'), { constructor: 'on', toString: 'on' });
    expect(() => clientVolfile(volume, { trusted: true })).not.toThrow();
  });
  it('leave a graph in which every subvolume is defined before it is used', () => {
    const volume = sample('replica3');
    const full = clientVolfile(volume, { trusted: true, ...all });
    const optional = [...allTranslators].filter((type) => !type.startsWith('protocol/'));
    fc.assert(
      fc.property(fc.subarray(optional), (kept) => {
        const translators = new Set([...kept, 'protocol/client']);
        const seen = new Set<string>();
        for (const node of withoutMissing(full, 'vol1', translators).volumes) {
          expect(translators.has(node.type)).toBe(true);
          for (const subvolume of node.subvolumes) expect(seen.has(subvolume)).toBe(true);
          seen.add(node.name);
        }
        expect(seen.size).toBeGreaterThan(0);
      }),
    );
  });
});

describe('names of volfiles', () => {
  const volume = sample('replica3');
  const brick = volume.bricks[1]!;
  it('as files', () => {
    expect(volfileName({ kind: 'client', volume: 'v', trusted: true })).toBe('vols/v/trusted-v.tcp-fuse.vol');
    expect(volfileName({ kind: 'brick', volume: 'v', brick })).toBe('vols/v/v.node2.bricks-b2.vol');
    expect(volfileName({ kind: 'shd', volume: 'v' })).toBe('vols/v/v-shd.vol');
    expect(volfileName({ kind: 'bitd' })).toBe('bitd/bitd-server.vol');
  });
  it('as ids, which lead back to what they name', () => {
    const kinds = ['shd', 'rebalance', 'gfproxyd', 'gfproxy-client', 'snapd'] as const;
    for (const kind of kinds)
      expect(volfileOfId(volfileId({ kind, volume: 'vol1' }), [volume], true)?.name).toEqual({ kind, volume: 'vol1' });
    expect(volfileOfId('vol1.node2.bricks-b2', [volume], true)).toMatchObject({ name: { kind: 'brick' }, brick });
    expect(volfileOfId('vol1.client.node2.bricks-b2', [volume], true)?.name.kind).toBe('brick-client');
    expect(volfileOfId('gluster/quotad', [volume], true)?.name).toEqual({ kind: 'quotad' });
    for (const id of ['vol1', '/vol1', 'vol1.tcp'])
      expect(volfileOfId(id, [volume], true)?.name).toEqual({ kind: 'client', volume: 'vol1', trusted: true });
    expect(volfileOfId('client/vol1', [volume], true)?.name).toMatchObject({ trusted: false });
  });
  it('that name nothing find nothing', () => {
    for (const id of ['', '/', 'nosuch', 'shd/nosuch', 'x/vol1', 'gluster/x', 'vol1.node2.bricks-b9'])
      expect(volfileOfId(id, [volume], true)).toBeUndefined();
  });
});

describe('volumes', () => {
  it('with bricks that make no whole sets are refused', () => {
    const volume = sample('replica3');
    expect(volumeInfoSchema.safeParse({ ...volume, bricks: volume.bricks.slice(1) }).success).toBe(false);
    expect(volumeInfoSchema.safeParse({ ...volume, name: '../x' }).success).toBe(false);
    expect(volumeInfoSchema.safeParse({ ...volume, options: { 'user.x': 'a\nb' } }).success).toBe(false);
  });
  it('keep a changed option in its place and put a new one first', () => {
    expect(Object.entries(withOption({ a: '1', b: '2' }, 'b', '3'))).toEqual([
      ['a', '1'],
      ['b', '3'],
    ]);
    expect(Object.keys(withOption({ a: '1' }, 'c', '3'))).toEqual(['c', 'a']);
  });
});
