/** The lower part of every client graph: one client a brick, one translator a set, one that distributes over the sets. */
import { parseSize } from '@mortar/core';
import { type BrickInfo, setCount, setSize, type VolumeInfo } from '../volume.ts';
import type { Draft, EffectiveOptions, GraphBuilder } from './builder.ts';

type Pairs = (readonly [string, string])[];

/** Translators' options by those of the volume. */
const tlsOptions = {
  'ssl.own-cert': 'transport.socket.ssl-own-cert',
  'ssl.private-key': 'transport.socket.ssl-private-key',
  'ssl.ca-list': 'transport.socket.ssl-ca-list',
  'ssl.crl-path': 'transport.socket.ssl-crl-path',
  'ssl.certificate-depth': 'transport.socket.ssl-cert-depth',
  'ssl.cipher-list': 'transport.socket.ssl-cipher-list',
  'ssl.dh-param': 'transport.socket.ssl-dh-param',
  'ssl.ec-curve': 'transport.socket.ssl-ec-curve',
};

/** TLS files and parameters, for both ends of a connection. */
export function tlsPairs(options: EffectiveOptions): Pairs {
  return Object.entries(tlsOptions).flatMap(([key, name]) => {
    const value = options.explicit(key);
    return value === undefined ? [] : [[name, value] as const];
  });
}

export function addressFamily(volume: VolumeInfo): Pairs {
  const family = volume.options['transport.address-family'];
  return family === undefined ? [] : [['transport.address-family', family]];
}

/** `tcp` also where a volume can do both: a volfile has one transport. */
export function transportOf(volume: VolumeInfo): string {
  return volume.transport === 'rdma' ? 'rdma' : 'tcp';
}

export interface ClientOptions {
  volume: VolumeInfo;
  options: EffectiveOptions;
  /** Whether it logs in with the volume's credentials. */
  trusted: boolean;
}

/** A `protocol/client`; without a host the other end is found by its volume name on this one. */
export function addClient(
  builder: GraphBuilder,
  { volume, options, trusted }: ClientOptions,
  name: string,
  host: string | undefined,
  remote: string,
): Draft {
  const pairs: Pairs = [['ping-timeout', '42']];
  if (host !== undefined) pairs.push(['remote-host', host]);
  pairs.push(['remote-subvolume', remote], ['transport-type', transportOf(volume)], ...addressFamily(volume));
  if (trusted && volume.username !== undefined) pairs.push(['username', volume.username]);
  if (trusted && volume.password !== undefined) pairs.push(['password', volume.password]);
  pairs.push(...tlsPairs(options));
  return builder.over([], 'protocol/client', name, pairs);
}

/** Clients in the order of the bricks, each set followed by its thin arbiter, and the sets over them. */
export function addSets(builder: GraphBuilder, client: ClientOptions): Draft[] {
  const { volume } = client;
  const size = setSize(volume);
  const bricksOf = (set: number) => volume.bricks.slice(set * size, (set + 1) * size);
  const sets = Array.from({ length: setCount(volume) }, (_, set) => {
    const arbiter = volume.thinArbiterCount > 0 ? volume.thinArbiterBricks[set] : undefined;
    const members = arbiter ? [...bricksOf(set), arbiter] : bricksOf(set);
    const clients = members.map((brick) => addClient(builder, client, brick.brickId, brick.host, brick.path));
    return { clients, bricks: bricksOf(set), arbiter };
  });
  return sets.flatMap(({ clients, bricks, arbiter }, index) => {
    if (volume.type === 'replicate') return [addReplicate(builder, volume, index, clients, bricks, arbiter)];
    if (volume.type === 'disperse')
      return [
        builder.over(clients, 'cluster/disperse', `${volume.name}-disperse-${index}`, [
          ['redundancy', `${volume.redundancyCount}`],
        ]),
      ];
    return clients;
  });
}

function addReplicate(
  builder: GraphBuilder,
  volume: VolumeInfo,
  index: number,
  clients: readonly Draft[],
  bricks: readonly BrickInfo[],
  thinArbiter: BrickInfo | undefined,
): Draft {
  const pending = bricks.map((brick) => brick.brickId);
  if (thinArbiter) pending.push(`${thinArbiter.brickId}.${volume.id}`);
  const pairs: Pairs = [
    ['afr-pending-xattr', pending.join(',')],
    ['volume-id', volume.id],
  ];
  if (volume.arbiterCount > 0) pairs.push(['arbiter-count', `${volume.arbiterCount}`]);
  if (thinArbiter) pairs.push(['thin-arbiter', `${thinArbiter.host}:${thinArbiter.path}`]);
  return builder.over(clients, 'cluster/replicate', `${volume.name}-replicate-${index}`, pairs);
}

/** The sets with readdir-ahead over each if that works in parallel, and the translator that distributes over them. */
export function addDistribute(
  builder: GraphBuilder,
  volume: VolumeInfo,
  options: EffectiveOptions,
  sets: readonly Draft[],
  name = `${volume.name}-dht`,
  readdirAhead = true,
): Draft {
  const parallel = readdirAhead && options.isOn('performance.parallel-readdir');
  const children = parallel
    ? sets.map((set, i) =>
        builder.over([set], 'performance/readdir-ahead', `${volume.name}-readdir-ahead-${i}`, [
          ['performance.readdir-ahead', 'on'],
        ]),
      )
    : sets;
  const leaving = children.filter((_, i) => hasDecommissioned(volume, i)).map((child) => child.name);
  const pairs: Pairs = leaving.length > 0 ? [['decommissioned-bricks', leaving.join(',')]] : [];
  return builder.over(children, distributeType(options), name, pairs);
}

function hasDecommissioned(volume: VolumeInfo, set: number): boolean {
  const size = setSize(volume);
  return volume.bricks.slice(set * size, (set + 1) * size).some((brick) => brick.decommissioned === true);
}

function distributeType(options: EffectiveOptions): string {
  if (options.isOn('cluster.switch')) return 'cluster/switch';
  return options.isOn('cluster.nufa') ? 'cluster/nufa' : 'cluster/distribute';
}

/**
 * readdir-ahead below a distribution over several sets: the cache is divided among them. Values to force, in bytes
 * with a B as GlusterFS writes them.
 */
export function readdirAheadShare(volume: VolumeInfo, options: EffectiveOptions): Record<string, string> {
  const sets = setCount(volume);
  if (sets <= 1 || !options.isOn('performance.parallel-readdir') || !options.isOn('performance.readdir-ahead'))
    return {};
  const cache = parseSize(options.value('performance.rda-cache-limit') ?? '') ?? 0;
  const request = parseSize(options.value('performance.rda-request-size') ?? '') ?? 0;
  const share = Math.floor(cache / sets);
  if (share >= request) return { 'performance.rda-cache-limit': `${share}B` };
  const least = Math.max(share, 4096);
  return { 'performance.rda-cache-limit': `${least}B`, 'performance.rda-request-size': `${least}B` };
}
