/** `get-state`: what this node knows, as text for monitoring. */
import { mountOf } from '../brick-inspector.ts';
import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import { listForGetAll } from '../options/index.ts';
import type { RequestOf } from '../protocol/requests.ts';
import { nullUuid } from '../uuid.ts';
import { isHealable } from '../volgen/index.ts';
import { setCount, type VolumeInfo } from '../volume.ts';
import { clusterState } from './options.ts';
import { isProfiled } from './profile.ts';
import { peerData, volumeData } from './show.ts';
import { nodesOf, nothingYet } from './task-nodes.ts';
import { brickName } from './volumes.ts';

type GetState = RequestOf<'get-state'>;

export async function getState(context: Context, request: GetState): Promise<{ path: string; text: string }> {
  const directory = request.directory ?? context.directories.run;
  if (!(await context.files.isDirectory(directory)))
    throw new OperationError(`Output directory ${directory} does not exist.`);
  const file = request.file ?? `glusterd_state_${stamp(context.clock.wall().sec)}`;
  if (file.includes('/')) throw new OperationError(`${file} is not a file name`);
  const path = `${directory.replace(/\/$/, '')}/${file}`;
  const text = await stateText(context, request);
  await context.files.write(path, text, 0o600);
  return { path, text };
}

/** `20261120_205728`, UTC. */
function stamp(seconds: number): string {
  return new Date(seconds * 1000).toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '_');
}

async function stateText(context: Context, request: GetState): Promise<string> {
  const { node, globals, volumes } = context.store.state;
  const peers = peerData(context).flatMap((peer, i) => {
    const key = `Peer${i + 1}`;
    const others = peer.hostnames.slice(1).join(',');
    return [
      `${key}.primary_hostname: ${peer.hostname}`,
      `${key}.uuid: ${peer.uuid}`,
      `${key}.state: ${peer.stateText}`,
      `${key}.connected: ${peer.connected ? 'Connected' : 'Disconnected'}`,
      `${key}.othernames: ${others}`,
    ];
  });
  const blocks: string[] = [];
  let index = 1;
  for (const volume of volumes.values())
    blocks.push((await volumeLines(context, volume, `Volume${index++}`, request.more)).join('\n'));
  return [
    '[Global]',
    `MYUUID: ${node.uuid}`,
    `op-version: ${node.opVersion}`,
    '',
    '[Global options]',
    ...Object.entries(globals.options).map(([key, value]) => `${key}: ${value}`),
    '',
    '[Peers]',
    ...peers,
    '',
    '[Volumes]',
    ...blocks.flatMap((block) => [block, '']),
    '',
  ].join('\n');
}

async function volumeLines(
  context: Context,
  volume: VolumeInfo,
  key: string,
  more: GetState['more'],
): Promise<string[]> {
  const data = volumeData(context, volume);
  const shd = isHealable(volume) ? await context.healDaemon.state(volume.name) : null;
  const bricks = await Promise.all(volume.bricks.map((_, i) => brickLines(context, volume, i, `${key}.Brick${i + 1}`)));
  const options: [string, string][] =
    more === 'volumeoptions'
      ? listForGetAll(volume, clusterState(context)).map((one) => [one.key, one.value])
      : Object.entries(volume.options);
  return [
    `${key}.name: ${volume.name}`,
    `${key}.id: ${volume.id}`,
    `${key}.type: ${setCount(volume) > 1 && data.type !== 'Distribute' ? `Distributed-${data.type}` : data.type}`,
    `${key}.transport_type: ${volume.transport}`,
    `${key}.status: ${data.status}`,
    `${key}.profile_enabled: ${isProfiled(volume) ? 1 : 0}`,
    `${key}.brickcount: ${volume.bricks.length}`,
    ...bricks.flat(),
    `${key}.snap_count: 0`,
    `${key}.stripe_count: 1`,
    `${key}.replica_count: ${volume.replicaCount}`,
    `${key}.subvol_count: ${setCount(volume)}`,
    `${key}.arbiter_count: ${volume.arbiterCount}`,
    `${key}.disperse_count: ${volume.disperseCount}`,
    `${key}.redundancy_count: ${volume.redundancyCount}`,
    `${key}.quorum_status: not_applicable`,
    `${key}.snapd_svc.online_status: Offline`,
    `${key}.snapd_svc.inited: True`,
    ...(await rebalanceLines(context, volume, key)),
    `${key}.shd_svc.online_status: ${shd?.online ? 'Online' : 'Offline'}`,
    `${key}.shd_svc.inited: ${shd ? 'True' : 'False'}`,
    `${key}.gsync_count: 0`,
    ...options.map(([name, value]) => `${key}.options.${name}: ${value}`),
  ];
}

const rebalanceWords = {
  running: ['started', 'layout_fix_started'],
  completed: ['completed', 'layout_fix_complete'],
  stopped: ['stopped', 'layout_fix_stopped'],
  failed: ['failed', 'layout_fix_failed'],
  reset: ['not_started', 'not_started'],
} as const;

/** What this node's process does, or did last. */
async function rebalanceLines(context: Context, volume: VolumeInfo, key: string): Promise<string[]> {
  const { task } = volume;
  const known = task && nodesOf(task, context.store.state.node.uuid)[context.store.state.node.uuid];
  const row = task && known?.state === 'running' ? await context.rebalances.status(volume, task) : known;
  const now = row ?? nothingYet;
  const word = task && row ? rebalanceWords[row.state][task.command === 'fix-layout' ? 1 : 0] : 'not_started';
  return [
    `${key}.rebalance.id: ${task && row ? task.id : nullUuid}`,
    `${key}.rebalance.status: ${word}`,
    `${key}.rebalance.failures: ${now.failures}`,
    `${key}.rebalance.skipped: ${now.skipped}`,
    `${key}.rebalance.lookedup: ${now.scanned}`,
    `${key}.rebalance.files: ${now.movedFiles}`,
    `${key}.rebalance.data: ${now.movedBytes}Bytes`,
    `${key}.time_left: ${now.secondsLeft ?? 0}`,
  ];
}

async function brickLines(context: Context, volume: VolumeInfo, index: number, key: string): Promise<string[]> {
  const brick = volume.bricks[index]!;
  const lines = [`${key}.path: ${brickName(brick)}`, `${key}.hostname: ${brick.host}`];
  if (brick.hostUuid !== context.store.state.node.uuid) return lines;
  const { online, port } = await context.supervisor.brickState(volume, brick);
  lines.push(
    `${key}.port: ${port}`,
    `${key}.rdma_port: 0`,
    `${key}.port_registered: ${context.supervisor.record(brick.path)?.signedIn ? 1 : 0}`,
    `${key}.status: ${online ? 'Started' : 'Stopped'}`,
  );
  if (!context.inspector.isDirectory(brick.path)) return lines;
  const { freeBytes, totalBytes } = context.inspector.facts(brick.path);
  const mount = mountOf(brick.path, (await context.files.read('/proc/mounts')) ?? '');
  if (mount) lines.push(`${key}.spacefree: ${freeBytes}Bytes`, `${key}.spacetotal: ${totalBytes}Bytes`);
  return lines;
}
