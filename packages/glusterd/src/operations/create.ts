import { mountOf } from '../brick-inspector.ts';
import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import { creationOptions, volumeOpVersions } from '../options/index.ts';
import type { ReplyData } from '../protocol/replies.ts';
import type { RequestOf } from '../protocol/requests.ts';
import type { Operation } from '../transaction/operation.ts';
import { newUuid } from '../uuid.ts';
import { missingForShape } from '../volgen/index.ts';
import { type BrickInfo, setSize, type VolumeInfo, volumeInfoSchema } from '../volume.ts';
import {
  checkAvailable,
  checkDirectory,
  checkOrder,
  checkPathLength,
  makeBrick,
  realPath,
  splitBrick,
} from './brick-checks.ts';
import { brickName, commitVolume, localBricks } from './volumes.ts';

type CreateRequest = RequestOf<'volume.create'>;
const hostNameMax = 255;

export function createVolume(request: CreateRequest): Operation<VolumeInfo, ReplyData['volume.create']> {
  return {
    name: 'volume create',
    subject: request.volume,
    stage: (context) => stage(context, request),
    commit: (context, volume) => create(context, volume),
  };
}

async function stage(context: Context, request: CreateRequest): Promise<VolumeInfo> {
  const { volume: name } = request;
  if (context.store.state.volumes.has(name)) throw new OperationError(`Volume ${name} already exists`, { errno: 0 });
  const missing = missingForShape({
    type: request.type,
    arbiterCount: request.arbiter,
    thinArbiterCount: request.thinArbiter,
  });
  if (missing !== undefined) throw new OperationError(missing);
  if (request.transport !== 'tcp')
    throw new OperationError(`transport ${request.transport} is not possible: this build has no RDMA, only tcp`);
  const bricks = await bricksOf(context, request);
  for (const brick of bricks) checkPathLength(name, brick);
  const size = setSize({ type: request.type, replicaCount: request.replica, disperseCount: request.disperse });
  if (!request.force && request.type !== 'distribute')
    checkOrder(bricks, size, request.type === 'replicate' ? 'replicate' : 'disperse');
  // GlusterFS finds this out late and leaves half a volume; the words are the same, but nothing is left.
  if (bricks.length % size !== 0) throw new OperationError('Failed to create volume files');
  const volume = volumeOf(context, request, bricks);
  for (const brick of localBricks(context, volume)) {
    checkAvailable(context, brick);
    checkDirectory(context, brick, request);
  }
  checkDisjoint(volume.bricks);
  context.volfiles.check(volume);
  return volume;
}

async function bricksOf(context: Context, request: CreateRequest): Promise<BrickInfo[]> {
  const bricks: BrickInfo[] = [];
  for (const [index, text] of request.bricks.entries()) {
    const { host, path } = splitBrick(text);
    const hostUuid = host.length > hostNameMax ? null : await context.hostBook.nodeOf(host, context.store.state);
    if (hostUuid === null) throw new OperationError(`Host ${host} is not in 'Peer in Cluster' state`);
    bricks.push({ host, hostUuid, path, brickId: `${request.volume}-client-${index}` });
  }
  return bricks;
}

/** Two bricks of the same request by different names of the same host, or one inside another. */
function checkDisjoint(bricks: readonly BrickInfo[]): void {
  for (const [i, brick] of bricks.entries())
    for (const other of bricks.slice(0, i)) {
      const [a, b] = [`${brick.realPath ?? brick.path}/`, `${other.realPath ?? other.path}/`];
      if (brick.hostUuid === other.hostUuid && (a.startsWith(b) || b.startsWith(a)))
        throw new OperationError(
          `Brick: ${brickName(brick)} not available. Brick may be containing or be contained by an existing brick.`,
        );
    }
}

function volumeOf(context: Context, request: CreateRequest, bricks: readonly BrickInfo[]): VolumeInfo {
  const { random } = context;
  const shape = { type: request.type, options: creationOptions({ type: request.type }) };
  const parsed = volumeInfoSchema.safeParse({
    ...shape,
    ...volumeOpVersions(shape),
    name: request.volume,
    id: newUuid(random),
    status: 'created',
    bricks: bricks.map((brick) => ({ ...brick, realPath: realPath(context, brick.path) })),
    replicaCount: request.replica,
    arbiterCount: request.arbiter,
    thinArbiterCount: request.thinArbiter,
    disperseCount: request.disperse,
    redundancyCount: request.redundancy,
    transport: request.transport,
    username: newUuid(random),
    password: newUuid(random),
  });
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  throw new OperationError(`${path.join('.')} ${message}`);
}

async function create(context: Context, volume: VolumeInfo): Promise<ReplyData['volume.create']> {
  await context.hooks.run('create', 'pre', [`--volname=${volume.name}`]);
  const undo: (() => void)[] = [];
  try {
    for (const brick of localBricks(context, volume)) undo.push(makeBrick(context, brick, volume.id));
    await commitVolume(context, await withFacts(context, volume));
  } catch (error) {
    for (const step of undo.reverse()) step();
    throw error;
  }
  await context.hooks.run('create', 'post', [`--volname=${volume.name}`]);
  return { volume: volume.name, id: volume.id };
}

/** Bricks of this node know their file system: those that share one share its space. */
async function withFacts(context: Context, volume: VolumeInfo): Promise<VolumeInfo> {
  const { uuid } = context.store.state.node;
  const mounts = (await context.files.read('/proc/mounts')) ?? '';
  const bricks = volume.bricks.map((brick) => {
    if (brick.hostUuid !== uuid) return brick;
    const real = brick.realPath ?? brick.path;
    const point = mountOf(real, mounts)?.point ?? '/';
    const mountDir = point === '/' ? real : real.slice(point.length) || '/';
    return { ...brick, fsid: context.inspector.facts(brick.path).fsid, mountDir };
  });
  return { ...volume, bricks };
}
