/** Graphs of the processes that work on volumes by themselves: heal daemon, rebalance, crawlers, scrubbers. */
import type { Volfile } from '@mortar/core';
import type { BrickInfo, VolumeInfo } from '../volume.ts';
import { applyOptions, type Draft, EffectiveOptions, GraphBuilder, healRule, plainRule, roleRule } from './builder.ts';
import { loginPairs } from './client.ts';
import { addClient, addDistribute, addSets, type ClientOptions, transportOf } from './clusters.ts';
import type { VolgenContext } from './context.ts';
import { finish, requireTranslators, VolgenError } from './finish.ts';

/** Whether the heal daemon has work with a volume. */
export function isHealable(volume: VolumeInfo): boolean {
  return volume.type === 'replicate' || volume.type === 'disperse';
}

/** A heal daemon heals what clients leave to it, so these are on whatever clients are told. */
const healing = {
  'cluster.background-self-heal-count': '0',
  'cluster.metadata-self-heal': 'on',
  'cluster.data-self-heal': 'on',
  'cluster.entry-self-heal': 'on',
};

/**
 * The graph of the heal daemon: the sets of all volumes that have any, below one io-stats, which has the volume's
 * name if there is one volume and else `glustershd`.
 */
export function healDaemonVolfile(volumes: readonly VolumeInfo[], context: VolgenContext = {}): Volfile {
  const healed = volumes.filter(isHealable);
  const first = healed[0];
  if (!first) throw new VolgenError(volumes[0]?.name ?? '-', 'the heal daemon has nothing to heal in it');
  const graphs = healed.map((volume) => healGraph(volume));
  const builder = new GraphBuilder();
  for (const graph of graphs) builder.drafts.push(...graph.builder.drafts);
  const top = healed.length === 1 ? first.name : 'glustershd';
  const tops = graphs.flatMap((graph) => graph.sets);
  builder.over(tops, 'debug/io-stats', top);
  applyOptions(builder, new EffectiveOptions(first.options), roleRule('client'));
  for (const volume of healed.slice(1)) requireTranslators(volume, context);
  return finish(builder, first, context);
}

function healGraph(volume: VolumeInfo): { builder: GraphBuilder; sets: readonly Draft[] } {
  const key = volume.type === 'replicate' ? 'cluster.self-heal-daemon' : 'cluster.disperse-self-heal-daemon';
  const set = new EffectiveOptions(volume.options);
  const options = new EffectiveOptions(volume.options, { [key]: set.explicit(key) ?? 'enable', ...healing });
  const builder = new GraphBuilder();
  const sets = addSets(builder, { volume, options, trusted: true });
  applyOptions(builder, options, healRule);
  for (const draft of sets) draft.options.set('iam-self-heal-daemon', 'yes');
  return { builder, sets };
}

/** The graph of the rebalance process: a client without features and caches. */
export function rebalanceVolfile(volume: VolumeInfo, context: VolgenContext = {}): Volfile {
  const options = new EffectiveOptions(volume.options);
  const builder = new GraphBuilder();
  const client: ClientOptions = { volume, options, trusted: true };
  addDistribute(builder, volume, options, addSets(builder, client));
  builder.add('debug/io-stats', volume.name);
  applyOptions(builder, options, roleRule('client'));
  applyOptions(builder, options, plainRule);
  return finish(builder, volume, context);
}

/** The graph by which the quota crawler mounts one brick. */
export function brickClientVolfile(volume: VolumeInfo, brick: BrickInfo, context: VolgenContext = {}): Volfile {
  const builder = new GraphBuilder();
  const options = new EffectiveOptions(volume.options);
  addClient(builder, { volume, options, trusted: true }, brick.brickId, brick.host, brick.path);
  return finish(builder, volume, context);
}

/** The graph of the process that serves snapshots of a volume. */
export function snapshotDaemonVolfile(volume: VolumeInfo, context: VolgenContext = {}): Volfile {
  const builder = new GraphBuilder();
  const path = `snapd-${volume.name}`;
  builder.add('features/snapview-server', `${volume.name}-snapview-server`, [['volname', volume.name]]);
  builder.add('performance/io-threads', `${volume.name}-io-threads`);
  builder.add('debug/io-stats', path);
  applyOptions(builder, new EffectiveOptions(volume.options), roleRule('brick'));
  builder.add('protocol/server', `${volume.name}-server`, [
    ['transport-type', transportOf(volume)],
    ...loginPairs(volume, path),
    ['auth-path', path],
    [`auth.addr.${path}.allow`, '*'],
  ]);
  return finish(builder, volume, context);
}

/** The graph of the process that sums up usage for quota. */
export function quotaDaemonVolfile(volumes: readonly VolumeInfo[], context: VolgenContext = {}): Volfile {
  const first = volumes[0];
  if (!first) throw new VolgenError('-', 'the quota daemon has no volume');
  const builder = new GraphBuilder();
  const tops = volumes.map((volume) => {
    const options = new EffectiveOptions(volume.options);
    const one = new GraphBuilder();
    const top = addDistribute(
      one,
      volume,
      options,
      addSets(one, { volume, options, trusted: true }),
      volume.name,
      false,
    );
    applyOptions(one, options, plainRule);
    builder.drafts.push(...one.drafts);
    return top;
  });
  const ids = volumes.map((volume) => [`${volume.name}.volume-id`, volume.name] as const);
  builder.over(tops, 'features/quotad', 'quotad', ids);
  return finish(builder, first, context);
}

/** The graphs of the bit-rot daemons: `bitd` signs the files of the local bricks, `scrub` verifies them. */
export function bitRotVolfile(
  kind: 'bitd' | 'scrub',
  volumes: readonly VolumeInfo[],
  context: VolgenContext = {},
): Volfile {
  const first = volumes[0];
  if (!first) throw new VolgenError('-', `${kind} has no volume`);
  const builder = new GraphBuilder();
  const tops = volumes.map((volume, index) => {
    const options = new EffectiveOptions(volume.options);
    const local = volume.bricks.filter((brick) => (context.localUuid ?? brick.hostUuid) === brick.hostUuid);
    const clients = local.map((brick) =>
      addClient(builder, { volume, options, trusted: true }, brick.brickId, brick.host, brick.path),
    );
    return builder.over(
      clients,
      'features/bit-rot',
      `${volume.name}-bit-rot-${index}`,
      bitRotPairs(kind, options, local.length),
    );
  });
  builder.over(tops, 'debug/io-stats', kind);
  applyOptions(builder, new EffectiveOptions(first.options), roleRule('client'));
  return finish(builder, first, context);
}

function bitRotPairs(kind: 'bitd' | 'scrub', options: EffectiveOptions, bricks: number): (readonly [string, string])[] {
  if (kind === 'bitd')
    return [
      ['brick-count', `${bricks}`],
      ['expiry-time', options.explicit('features.expiry-time') ?? '120'],
      ['signer-threads', options.explicit('features.signer-threads') ?? '4'],
    ];
  return [
    ['scrubber', 'true'],
    ['scrub-throttle', options.value('features.scrub-throttle') ?? 'lazy'],
    ['scrub-freq', options.value('features.scrub-freq') ?? 'biweekly'],
  ];
}
