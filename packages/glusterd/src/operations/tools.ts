/** log rotate, sync; peer commands, as far as they need no peer. */
import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import { detachPeer, probePeer } from '../pool/membership.ts';
import { gather, onSite } from '../pool/sites.ts';
import type { ReplyData } from '../protocol/replies.ts';
import type { RequestOf } from '../protocol/requests.ts';
import { requireConnected } from './brick-sites.ts';
import { brickNamed } from './named-brick.ts';
import { rotateHere } from './rotate.ts';
import { localBricks, startedVolume } from './volumes.ts';

export async function rotateLogs(
  context: Context,
  request: RequestOf<'volume.log.rotate'>,
): Promise<Record<string, never>> {
  const volume = startedVolume(context, request.volume);
  const { brick: wanted } = request;
  const named = wanted === undefined ? undefined : await brickNamed(context, volume, wanted);
  if (wanted !== undefined && !named) throw new OperationError(`Incorrect brick ${wanted} for volume ${volume.name}`);
  const bricks = named ? [named] : volume.bricks;
  if (named) requireConnected(context, bricks);
  const own = localBricks(context, volume).filter((brick) => bricks.includes(brick));
  const elsewhere = gather(context, bricks, (node, theirs) =>
    onSite(context, node, 'rotateLogs', { volume: volume.name, bricks: theirs.map((brick) => brick.brickId) }),
  );
  await Promise.all([rotateHere(context, volume, own), elsewhere]);
  return {};
}

export async function syncVolumes(
  context: Context,
  { host }: RequestOf<'volume.sync'>,
): Promise<Record<string, never>> {
  if (await context.hostBook.isLocal(host)) throw new OperationError('sync from localhost not allowed');
  throw new OperationError(`${host}, is not a friend`);
}

export async function probe(context: Context, { host }: RequestOf<'peer.probe'>): Promise<ReplyData['peer.probe']> {
  if (await context.hostBook.isLocal(host)) return { message: 'Probe on localhost not needed', errno: 1 };
  if (context.pool) return probePeer(context, context.pool, host);
  throw new OperationError(`${host}: pools of several nodes are not yet available in this build`, { errno: 95 });
}

export async function detach(context: Context, request: RequestOf<'peer.detach'>): Promise<Record<string, never>> {
  const { host } = request;
  if (await context.hostBook.isLocal(host)) throw new OperationError(`${host} is localhost`);
  if (context.pool) return detachPeer(context, context.pool, request);
  const known = [...context.store.state.peers.values()].some((peer) => peer.hostnames.includes(host));
  if (!known) throw new OperationError(`${host} is not part of cluster`);
  throw new OperationError(`${host}: pools of several nodes are not yet available in this build`);
}
