/** `peer probe` and `peer detach`. */
import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import type { ReplyData } from '../protocol/replies.ts';
import type { RequestOf } from '../protocol/requests.ts';
import type { PeerDocument } from '../store/documents.ts';
import { newUuid } from '../uuid.ts';
import type { HelloReply } from './messages.ts';
import type { PoolService } from './service.ts';

/** GlusterFS's number of a member's state. */
const inCluster = 3;
const notConnectedErrno = 107;
const probeErrno = { localhost: 1, known: 2, otherPool: 3, sameUuid: 5, opVersion: 10 } as const;

type ProbeReply = ReplyData['peer.probe'];

export async function probePeer(context: Context, pool: PoolService, host: string): Promise<ProbeReply> {
  const { store, log } = context;
  const { node } = store.state;
  if (pool.others().some((peer) => peer.hostnames.includes(host)))
    return { message: `Host ${host} port 24007 already in peer list`, errno: probeErrno.known };
  let hello: HelloReply;
  try {
    hello = await pool.hello(host);
  } catch (error) {
    log.write('WARNING', 'management', `peer probe of ${host}: ${(error as Error).message}`);
    throw new OperationError('Probe returned with Transport endpoint is not connected', { errno: notConnectedErrno });
  }
  if (hello.uuid === node.uuid)
    throw new OperationError(`Peer uuid (host ${host}) is same as local uuid`, { errno: probeErrno.sameUuid });
  const known = pool.others().find((peer) => peer.uuid === hello.uuid);
  if (!known) return take(context, pool, host, await withoutPast(context, pool, host, hello));
  if (!hello.isMember && !hello.hasVolumes) await pool.takeBack(known.uuid, host);
  const addresses = await pool.addresses.resolve(host);
  await pool.transact(`peer probe ${host}`, async (propose) => {
    // As it is now that this has the lock.
    const latest = store.state.peers.get(known.uuid);
    if (!latest) throw new OperationError(`${host} was detached meanwhile`);
    await propose({ peers: new Map([[known.uuid, { ...latest, ...places(latest, host, addresses) }]]) });
  });
  return { errno: 0 };
}

/** One that was a member and has not heard yet that it is none is told so: else it is taken for another pool's. */
async function withoutPast(context: Context, pool: PoolService, host: string, hello: HelloReply): Promise<HelloReply> {
  if (!hello.isMember || !pool.hasRemoved(hello.uuid)) return hello;
  try {
    await pool.dismiss(host);
    return await pool.hello(host);
  } catch (error) {
    const what = `peer probe of ${host}, which was detached and does not know it`;
    context.log.write('WARNING', 'management', `${what}: ${(error as Error).message}`);
    return hello;
  }
}

async function take(context: Context, pool: PoolService, host: string, hello: HelloReply): Promise<ProbeReply> {
  const { store, random } = context;
  if (hello.isMember || hello.hasVolumes)
    throw new OperationError(`${host} is either already part of another cluster or having volumes configured`, {
      errno: probeErrno.otherPool,
    });
  if (hello.maxOpVersion < store.state.node.opVersion)
    throw new OperationError(`Peer ${host} does not support required op-version`, { errno: probeErrno.opVersion });
  const addresses = await pool.addresses.resolve(host);
  const { uuid } = store.state.node;
  if (pool.id === null) {
    const self = { uuid, state: inCluster, hostnames: [hello.you.name], addresses: [hello.you.address] };
    await pool.found(newUuid(random), self);
  }
  const peer: PeerDocument = { uuid: hello.uuid, state: inCluster, hostnames: [host], addresses: [...addresses] };
  await pool.transact(`peer probe ${host}`, (propose) => propose({ peers: new Map([[peer.uuid, peer]]) }));
  await pool.invite(hello.uuid, host);
  return { errno: 0 };
}

function places(peer: PeerDocument, host: string, addresses: readonly string[]) {
  return {
    hostnames: [...new Set([...peer.hostnames, host])],
    addresses: [...new Set([...(peer.addresses ?? []), ...addresses])],
  };
}

export async function detachPeer(
  context: Context,
  pool: PoolService,
  { host, force }: RequestOf<'peer.detach'>,
): Promise<Record<string, never>> {
  const { store, log } = context;
  const uuid = await context.hostBook.nodeOf(host, store.state);
  const peer = pool.others().find((other) => other.uuid === uuid);
  if (!peer) throw new OperationError(`${host} is not part of cluster`);
  refuseWithBricks(context, peer, host);
  if (!force && !pool.others().every((other) => pool.isConnected(other.uuid)))
    throw new OperationError("One of the peers is probably down. Check with 'peer status'");
  // Without the last other member this is no pool any more.
  const { id } = pool;
  await pool.transact(`peer detach ${host}`, async (propose) => {
    // It may have got some by the operation that was waited for.
    refuseWithBricks(context, peer, host);
    await propose({ peers: new Map([[peer.uuid, null]]) });
  });
  try {
    // Who is away finds out when it is back.
    await pool.dismiss(peer.addresses?.[0] ?? peer.hostnames[0]!, id);
  } catch (error) {
    log.write('WARNING', 'management', `${host} does not know yet that it was detached: ${(error as Error).message}`);
  }
  return {};
}

function refuseWithBricks({ store }: Context, { uuid }: PeerDocument, host: string): void {
  const hasBricks = [...store.state.volumes.values()].some((volume) =>
    volume.bricks.some((brick) => brick.hostUuid === uuid),
  );
  if (hasBricks)
    throw new OperationError(
      `Peer ${host} hosts one or more bricks. If the peer is in not recoverable state then use either replace-brick or ` +
        'remove-brick command with force to remove all bricks from the peer and attempt the peer detach again.',
      { exit: 255 },
    );
}
