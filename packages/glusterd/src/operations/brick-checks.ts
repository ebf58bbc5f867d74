/** Whether directories can become bricks. Nothing is changed here. */
import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import type { BrickInfo } from '../volume.ts';
import { brickName } from './volumes.ts';

/** PATH_MAX with its NUL. */
const pathMaxBytes = 4096;
/** The brick's volfile has the path in its name. */
const nameMaxBytes = 255;
const force = "Or use 'force' at the end of the command if you want to override this behavior.";

export interface BrickRules {
  force: boolean;
  ignorePartition: boolean;
}

export function splitBrick(name: string): { host: string; path: string } {
  const colon = name.lastIndexOf(':');
  const path = name.slice(colon + 1);
  if (colon <= 0 || !path.startsWith('/'))
    throw new OperationError(`Wrong brick type: ${name}, use <HOSTNAME>:<export-dir-abs-path>`);
  return { host: name.slice(0, colon), path };
}

/** Bricks of a set belong on different nodes. */
export function checkOrder(bricks: readonly { hostUuid: string }[], setSize: number, kind: string): void {
  for (let at = 0; at < bricks.length; at += setSize) {
    const set = bricks.slice(at, at + setSize);
    if (new Set(set.map((brick) => brick.hostUuid)).size < set.length)
      throw new OperationError(
        `Multiple bricks of a ${kind} volume are present on the same server. This setup is not optimal. Bricks should ` +
          `be on different nodes to have best fault tolerant configuration. Use 'force' at the end of the command if ` +
          'you want to override this behavior. ',
      );
  }
}

/** No brick of any volume may be in another or around it. */
export function checkAvailable(context: Context, brick: BrickInfo): void {
  const own = realPath(context, brick.path);
  for (const volume of context.store.state.volumes.values())
    for (const other of volume.bricks) {
      if (other.hostUuid !== brick.hostUuid) continue;
      const taken = other.realPath ?? other.path;
      if (contains(taken, own) || contains(own, taken))
        throw new OperationError(
          `Brick: ${brickName(brick)} not available. Brick may be containing or be contained by an existing brick.`,
        );
    }
}

function contains(outer: string, inner: string): boolean {
  return outer === inner || inner.startsWith(outer === '/' ? '/' : `${outer}/`);
}

/** The resolved path; of one that does not exist yet, its parent's with the name. */
export function realPath(context: Context, path: string): string {
  if (context.inspector.isDirectory(path)) return context.inspector.realPath(path);
  const slash = path.lastIndexOf('/');
  const parent = context.inspector.realPath(path.slice(0, slash) || '/');
  return `${parent === '/' ? '' : parent}${path.slice(slash)}`;
}

export function checkPathLength(volume: string, brick: BrickInfo): void {
  const bytes = Buffer.byteLength(brick.path);
  if (bytes >= pathMaxBytes) throw new OperationError(`brick path ${brick.path} is too long.`);
  if (Buffer.byteLength(`${volume}.${brick.host}.${brick.path}.vol`) > nameMaxBytes)
    throw new OperationError(`Volume file path for volume ${volume} and brick path ${brick.path} is too long.`);
}

/** The directory of a local brick, as it is or as it would be made. */
export function checkDirectory(context: Context, brick: BrickInfo, rules: BrickRules): void {
  const { inspector, directories } = context;
  const { path } = brick;
  if (contains(directories.work, path))
    throw new OperationError("Brick isn't allowed to be created inside glusterd's working directory.");
  const kind = inspector.kind(path);
  const exists = kind === 'directory';
  const parent = path.slice(0, path.lastIndexOf('/')) || '/';
  if (kind === 'other')
    throw new OperationError(`The provided path ${path} which is already present, is not a directory`);
  if (!exists && !inspector.isDirectory(inspector.realPath(parent)))
    throw new OperationError(
      `Failed to create brick directory for brick ${brickName(brick)}. Reason : No such file or directory `,
    );
  if (rules.force) return;
  if (exists && inspector.isMountPoint(path))
    throw new OperationError(
      `The brick ${brickName(brick)} is a mount point. Please create a sub-directory under the mount point and use ` +
        `that as the brick directory. ${force}`,
    );
  if (!rules.ignorePartition && inspector.isOnRootPartition(exists ? path : parent))
    throw new OperationError(
      `The brick ${brickName(brick)} is being created in the root partition. It is recommended that you don't use ` +
        `the system's root partition for storage backend. ${force}`,
    );
  checkUnmarked(context, path);
}

/** Neither the directory nor one above it is or was part of a volume. */
function checkUnmarked(context: Context, path: string): void {
  if (context.inspector.isMarked(path)) throw new OperationError(`${path} is already part of a volume`);
  for (let above = path; above !== '/' && above !== ''; ) {
    above = above.slice(0, above.lastIndexOf('/')) || '/';
    if (context.inspector.isMarked(above))
      throw new OperationError(`parent directory ${above} is already part of a volume`);
  }
}

/** Makes the directory and marks it; gives back how to undo it. */
export function makeBrick(context: Context, brick: BrickInfo, volumeId: string): () => void {
  const { inspector } = context;
  const { path } = brick;
  const failed = (what: string, why: unknown) =>
    new OperationError(`${what} for brick ${brickName(brick)}. Reason : ${why instanceof Error ? why.message : why} `);
  let made: 'created' | 'existed';
  try {
    made = inspector.makeDirectory(path);
    if (!inspector.isDirectory(path)) throw new Error('Not a directory');
  } catch (error) {
    throw failed('Failed to create brick directory', error);
  }
  const undo = () => {
    if (made === 'created') inspector.removeTree(path);
  };
  try {
    const problem = inspector.xattrProblem(path);
    if (problem !== null)
      throw new OperationError(
        `Glusterfs is not supported on brick: ${brickName(brick)}.\nSetting extended attributes failed, reason: ${problem}.`,
      );
    inspector.setVolumeId(path, volumeId);
    inspector.makeDirectory(`${path}/.glusterfs`, 0o600);
    inspector.makeDirectory(`${path}/.glusterfs/indices`, 0o600);
  } catch (error) {
    undo();
    throw error instanceof OperationError ? error : failed('Failed to create .glusterfs directory', error);
  }
  return undo;
}
