/** The graph of a brick: from the directory up to the server. */
import type { Volfile } from '@mortar/core';
import { type BrickInfo, setSize, type VolumeInfo } from '../volume.ts';
import { applyOptions, EffectiveOptions, GraphBuilder, type OptionRule, plainRule, roleRule } from './builder.ts';
import { loginPairs } from './client.ts';
import { addressFamily, tlsPairs, transportOf } from './clusters.ts';
import { defaultWorkdir, type VolgenContext } from './context.ts';
import { addDebug } from './debug.ts';
import { finish } from './finish.ts';

type Pairs = (readonly [string, string])[];

interface Brick {
  volume: VolumeInfo;
  brick: BrickInfo;
  options: EffectiveOptions;
  context: VolgenContext;
}

interface Layer {
  type: string;
  /** Absent: always there. */
  when?: (brick: Brick) => boolean;
  options?: (brick: Brick) => Pairs;
}

/** Bottom to top. */
const layers: readonly Layer[] = [
  { type: 'storage/posix', options: posixOptions },
  { type: 'features/arbiter', when: isArbiter },
  {
    type: 'features/trash',
    options: ({ brick }) => [
      ['trash-dir', '.trashcan'],
      ['brick-path', brick.path],
      ['trash-internal-op', 'off'],
    ],
  },
  {
    type: 'features/changelog',
    options: ({ brick, options }) => [
      ['changelog-brick', brick.path],
      ['changelog-dir', `${brick.path}/.glusterfs/changelogs`],
      ['changelog-notification', options.isOn('features.bitrot') ? 'on' : 'off'],
    ],
  },
  {
    type: 'features/bitrot-stub',
    options: ({ brick, options }) => [
      ['export', brick.path],
      ['bitrot', options.value('features.bitrot') ?? 'disable'],
    ],
  },
  { type: 'features/access-control', when: ({ options }) => options.isOn('features.acl') },
  { type: 'features/locks' },
  { type: 'features/worm' },
  { type: 'features/read-only', options: () => [['read-only', 'off']] },
  { type: 'features/leases' },
  { type: 'features/upcall' },
  { type: 'performance/io-threads' },
  { type: 'features/selinux' },
  { type: 'features/marker', options: markerOptions },
  { type: 'features/barrier' },
  { type: 'features/index', options: indexOptions },
  { type: 'features/block', when: ({ options }) => options.isOn('features.block') },
  {
    type: 'features/quota',
    options: ({ volume, options }) => [
      ['volume-uuid', volume.name],
      ['server-quota', options.value('features.quota') ?? 'off'],
    ],
  },
  {
    type: 'features/cdc',
    when: ({ options }) => options.isOn('network.compression'),
    options: () => [['mode', 'server']],
  },
  { type: 'features/namespace', when: ({ options }) => options.isOn('features.tag-namespaces') },
  {
    type: 'features/sdfs',
    when: ({ options }) => options.isOn('features.sdfs'),
    options: () => [['pass-through', 'false']],
  },
];

/** The graph of a brick process. Throws VolgenError when the volume needs a translator that does not exist. */
export function brickVolfile(volume: VolumeInfo, brick: BrickInfo, context: VolgenContext = {}): Volfile {
  const options = new EffectiveOptions(volume.options);
  const builder = new GraphBuilder();
  const subject: Brick = { volume, brick, options, context };
  for (const layer of layers) {
    if (layer.when && !layer.when(subject)) continue;
    const key = layer.type.split('/')[1]!;
    builder.add(layer.type, `${volume.name}-${key}`, layer.options?.(subject));
    addDebug(builder, volume.name, options, key);
  }
  builder.add('debug/io-stats', brick.path, [
    ['unique-id', brick.path],
    ['volume-id', volume.id],
  ]);
  addDebug(builder, volume.name, options, 'io-stats');
  addServer(builder, subject);
  const onlyFor: OptionRule = (entry) =>
    entry.option === '!server-auth'
      ? `auth.addr.${brick.path}.${entry.key.slice('auth.'.length)}`
      : roleRule('brick')(entry);
  applyOptions(builder, options, onlyFor);
  applyOptions(builder, options, plainRule);
  return finish(builder, volume, context);
}

function addServer(builder: GraphBuilder, { volume, brick, options }: Brick): void {
  const pairs: Pairs = [
    ['transport-type', transportOf(volume)],
    ...tlsPairs(options),
    ...addressFamily(volume),
    ...loginPairs(volume, brick.path),
    ['auth-path', brick.path],
  ];
  const tlsUsers = options.explicit('auth.ssl-allow');
  if (tlsUsers !== undefined) pairs.push([`auth.login.${brick.path}.ssl-allow`, tlsUsers]);
  builder.add('protocol/server', `${volume.name}-server`, pairs);
}

function posixOptions({ volume, brick, options, context }: Brick): Pairs {
  const pairs: Pairs = [
    ['directory', brick.path],
    ['volume-id', volume.id],
  ];
  const countsLinks = ['features.quota', 'features.trash', 'storage.build-pgfid'].some((key) => options.isOn(key));
  if (countsLinks) pairs.push(['update-link-count-parent', 'on']);
  pairs.push(['fips-mode-rchecksum', 'on'], ['shared-brick-count', `${sharedBrickCount(volume, brick, context)}`]);
  return pairs;
}

/** How many bricks of this volume share the file system of this one, which is on this node; else 0. */
function sharedBrickCount(volume: VolumeInfo, brick: BrickInfo, { localUuid }: VolgenContext): number {
  if (localUuid !== undefined && brick.hostUuid !== localUuid) return 0;
  if (brick.fsid === undefined) return 1;
  return volume.bricks.filter((other) => other.hostUuid === brick.hostUuid && other.fsid === brick.fsid).length;
}

function isArbiter({ volume, brick }: Brick): boolean {
  const index = volume.bricks.findIndex((other) => other.brickId === brick.brickId);
  const size = setSize(volume);
  return volume.arbiterCount === 1 && index >= 0 && index % size === size - 1;
}

function markerOptions({ volume, context }: Brick): Pairs {
  return [
    ['volume-uuid', volume.id],
    ['timestamp-file', `${context.workdir ?? defaultWorkdir}/vols/${volume.name}/marker.tstamp`],
    ['quota-version', `${volume.quotaVersion}`],
  ];
}

function indexOptions({ volume, brick }: Brick): Pairs {
  const base = ['index-base', `${brick.path}/.glusterfs/indices`] as const;
  if (volume.type === 'disperse') return [base, ['xattrop64-watchlist', 'trusted.ec.dirty']];
  return [
    base,
    ['xattrop-dirty-watchlist', 'trusted.afr.dirty'],
    ['xattrop-pending-watchlist', `trusted.afr.${volume.name}-`],
  ];
}
