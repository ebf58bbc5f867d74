import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import { creationOptions, volumeOpVersions } from '../options/index.ts';
import { UndecidedError } from '../pool/errors.ts';
import type { ReplyData } from '../protocol/replies.ts';
import type { RequestOf } from '../protocol/requests.ts';
import type { Operation } from '../transaction/operation.ts';
import { newUuid } from '../uuid.ts';
import { missingForShape } from '../volgen/index.ts';
import { type BrickInfo, setSize, type VolumeInfo, volumeInfoSchema } from '../volume.ts';
import { checkAvailable, checkDirectory, checkOrder, checkPathLength } from './brick-checks.ts';
import { checkElsewhere, makeEverywhere } from './brick-sites.ts';
import { checkDisjoint, resolveBricks } from './new-bricks.ts';
import { runHooks } from './run-hooks.ts';
import { commitVolume, localBricks } from './volumes.ts';

type CreateRequest = RequestOf<'volume.create'>;

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
  const bricks = await resolveBricks(context, request.bricks, (index) => `${name}-client-${index}`);
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
  const checked = { ...volume, bricks: await checkElsewhere(context, volume.bricks, request) };
  checkDisjoint(checked.bricks);
  context.volfiles.check(checked);
  return checked;
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
    bricks,
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
  await runHooks(context, 'create', 'pre', [`--volname=${volume.name}`]);
  const { made, undo } = await makeEverywhere(context, volume, volume.bricks);
  try {
    await commitVolume(context, made);
  } catch (error) {
    // A change that may yet be made needs its directories.
    if (!(error instanceof UndecidedError)) await undo();
    throw error;
  }
  await runHooks(context, 'create', 'post', [`--volname=${volume.name}`]);
  return { volume: volume.name, id: volume.id };
}
