/** volume info, list; peer status, pool list: what is known without asking anybody. */
import type { Context } from '../context.ts';
import { noVolumeErrno, OperationError } from '../errors.ts';
import type { PeerData, ReplyData, VolumeData } from '../protocol/replies.ts';
import type { RequestOf } from '../protocol/requests.ts';
import { setSize, type VolumeInfo } from '../volume.ts';
import { brickName, noSuchVolume } from './volumes.ts';

const typeNames = { distribute: 'Distribute', replicate: 'Replicate', disperse: 'Disperse' } as const;
const statusNames = { created: 'Created', started: 'Started', stopped: 'Stopped' } as const;

export function volumeData(context: Context, volume: VolumeInfo): VolumeData {
  const size = setSize(volume);
  const isArbiter = (index: number) => volume.arbiterCount > 0 && index % size === size - 1;
  const thinArbiter = volume.thinArbiterBricks[0];
  return {
    name: volume.name,
    id: volume.id,
    type: typeNames[volume.type],
    status: statusNames[volume.status],
    bricks: volume.bricks.map((brick, index) => ({
      name: brickName(brick),
      hostUuid: brick.hostUuid,
      arbiter: isArbiter(index),
    })),
    setSize: size,
    replica: volume.replicaCount,
    arbiter: volume.arbiterCount,
    disperse: volume.disperseCount,
    redundancy: volume.redundancyCount,
    ...(thinArbiter && { thinArbiterBrick: brickName(thinArbiter) }),
    transport: volume.transport,
    snapshotCount: 0,
    options: shownOptions(context, volume),
  };
}

/** The pool's options that concern volumes are listed with each. */
function shownOptions(context: Context, volume: VolumeInfo): [string, string][] {
  const ofPool = Object.entries(context.store.state.globals.options).filter(
    ([key]) => !Object.hasOwn(volume.options, key),
  );
  return [...Object.entries(volume.options), ...ofPool];
}

export function volumeInfo(context: Context, name: string | undefined): ReplyData['volume.info'] {
  const { volumes } = context.store.state;
  if (name === undefined) return { volumes: [...volumes.values()].map((volume) => volumeData(context, volume)) };
  const volume = volumes.get(name);
  if (!volume) throw noSuchVolume(name, { errno: noVolumeErrno });
  return { volumes: [volumeData(context, volume)] };
}

const peerStates: Record<number, string> = {
  0: 'Establishing Connection',
  1: 'Probe Sent to Peer',
  2: 'Probe Received from Peer',
  3: 'Peer in Cluster',
  4: 'Accepted peer request',
  5: 'Sent and Received peer request',
  6: 'Peer Rejected',
  7: 'Peer detach in progress',
  8: 'Probe Received from peer',
  9: 'Connected to Peer',
  10: 'Peer is connected and Accepted',
};

/** The other members. Those of an adopted pool are not talked to, so none is connected. */
export function peerData(context: Context): PeerData[] {
  const { node, peers } = context.store.state;
  const others = [...peers.values()].filter((peer) => peer.uuid !== node.uuid);
  return others.map((peer) => ({
    uuid: peer.uuid,
    hostname: peer.hostnames[0]!,
    hostnames: peer.hostnames,
    connected: context.pool?.connections.isConnected(peer.uuid) ?? false,
    state: peer.state,
    stateText: peerStates[peer.state] ?? 'Invalid State',
  }));
}

/** What became of the peers of this node lately, or of one of them. */
export async function peerLog(
  context: Context,
  { host }: RequestOf<'system.fsm.log'>,
): Promise<ReplyData['system.fsm.log']> {
  const transitions = context.pool?.log.transitions() ?? [];
  if (host === undefined) return { transitions: [...transitions] };
  const peer = [...context.store.state.peers.values()].find(
    ({ uuid, hostnames }) => uuid === host || hostnames.includes(host),
  );
  if (!peer || peer.uuid === context.store.state.node.uuid) throw new OperationError(`${host} is not a peer`);
  return { transitions: transitions.filter(({ uuid }) => uuid === peer.uuid) };
}
