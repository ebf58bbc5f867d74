/** Graphs of those who use a volume: mounts, and a proxy that mounts for others. */
import { parseBool, type Volfile } from '@mortar/core';
import type { VolumeInfo } from '../volume.ts';
import { applyOptions, EffectiveOptions, GraphBuilder, plainRule, roleRule } from './builder.ts';
import { addClient, addDistribute, addSets, type ClientOptions, readdirAheadShare, transportOf } from './clusters.ts';
import type { VolgenContext } from './context.ts';
import { addDebug } from './debug.ts';
import { finish } from './finish.ts';
import { volumeOptions } from './table.ts';

export interface ClientVolfileContext extends VolgenContext {
  /** For clients on peers: with user name and password. */
  readonly trusted: boolean;
  /**
   * `server` is the proxy daemon's own graph, `client` that of its users, who have little more than a connection to
   * it.
   */
  readonly gfproxy?: 'server' | 'client';
}

/** The graph of a mount. Throws VolgenError when the volume needs a translator that does not exist. */
export function clientVolfile(volume: VolumeInfo, context: ClientVolfileContext): Volfile {
  const { trusted, gfproxy } = context;
  const options = clientOptions(volume, gfproxy === undefined);
  const builder = new GraphBuilder();
  const client: ClientOptions = { volume, options, trusted };
  if (gfproxy === 'client')
    addClient(builder, client, `${volume.name}-gfproxy-client`, undefined, `gfproxyd-${volume.name}`);
  else addDistribute(builder, volume, options, addSets(builder, client));
  addFeatures(builder, volume, options, gfproxy === 'client');
  addPerformance(builder, volume, options, gfproxy);
  if (options.isOn('features.uss') && volume.parentVolume === undefined) addSnapshotView(builder, client);
  addDebug(builder, volume.name, options, 'client');
  builder.add('debug/io-stats', gfproxy === 'server' ? `gfproxyd-${volume.name}` : volume.name);
  applyOptions(builder, options, roleRule('client'));
  if (gfproxy === 'server') addProxyServer(builder, volume);
  applyOptions(builder, options, plainRule);
  return finish(builder, volume, context);
}

/** Options that follow from others. */
function clientOptions(volume: VolumeInfo, sharesReaddirCache: boolean): EffectiveOptions {
  const set = new EffectiveOptions(volume.options);
  const forced: Record<string, string> = sharesReaddirCache ? readdirAheadShare(volume, set) : {};
  // With root squashed, a read on an open that was only pretended would run as the wrong user.
  if (set.isOn('server.root-squash')) forced['performance.read-after-open'] = 'yes';
  // Bricks which look the groups up themselves need not be sent them.
  forced['client.send-gids'] = set.isOn('server.manage-gids') ? 'false' : (set.explicit('client.send-gids') ?? 'true');
  return new EffectiveOptions(volume.options, forced);
}

function addFeatures(builder: GraphBuilder, volume: VolumeInfo, options: EffectiveOptions, quiesce: boolean): void {
  const { name } = volume;
  if (options.isOn('features.cloudsync')) builder.add('features/cloudsync', `${name}-cloudsync`);
  if (options.isOn('features.shard')) builder.add('features/shard', `${name}-shard`);
  if (options.isOn('features.ctime')) builder.add('features/utime', `${name}-utime`);
  if (volume.parentVolume !== undefined) builder.add('features/read-only', `${name}-read-only`, [['read-only', 'on']]);
  if (options.isOn('network.compression')) builder.add('features/cdc', `${name}-cdc`, [['mode', 'client']]);
  if (quiesce) builder.add('features/quiesce', `${name}-quiesce`);
}

function addPerformance(
  builder: GraphBuilder,
  volume: VolumeInfo,
  options: EffectiveOptions,
  gfproxy: 'server' | 'client' | undefined,
): void {
  for (const entry of volumeOptions) {
    if (entry.option !== '!perf' || parseBool(options.of(entry) ?? '') !== true) continue;
    const isWriteBehind = entry.key === 'performance.write-behind';
    if (gfproxy === 'client' ? !isWriteBehind : gfproxy === 'server' && isWriteBehind) continue;
    // In parallel it is below the distribution.
    if (entry.key === 'performance.readdir-ahead' && options.isOn('performance.parallel-readdir')) continue;
    builder.add(entry.xlator, `${volume.name}-${entry.xlator.split('/')[1]}`);
  }
}

/** Snapshots below `.snaps`: the volume is the first child, the snapshot daemon the second. */
function addSnapshotView(builder: GraphBuilder, client: ClientOptions): void {
  const { name } = client.volume;
  const below = builder.drafts.at(-1)!;
  const snapd = addClient(builder, client, `${name}-snapd-client`, undefined, `snapd-${name}`);
  builder.over([below, snapd], 'features/snapview-client', `${name}-snapview-client`);
}

function addProxyServer(builder: GraphBuilder, volume: VolumeInfo): void {
  const path = `gfproxyd-${volume.name}`;
  builder.add('protocol/server', `${volume.name}-server`, [
    ['transport-type', transportOf(volume)],
    ...loginPairs(volume, path),
    ['auth-path', path],
  ]);
}

/** Who logs in at a server with user name and password. */
export function loginPairs(volume: VolumeInfo, path: string): (readonly [string, string])[] {
  const { username, password } = volume;
  if (username === undefined) return [];
  const allow = [`auth.login.${path}.allow`, username] as const;
  return password === undefined ? [allow] : [allow, [`auth.login.${username}.password`, password]];
}
