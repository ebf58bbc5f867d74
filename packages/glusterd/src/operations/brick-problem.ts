import type { Context } from '../context.ts';
import type { BrickInfo, VolumeInfo } from '../volume.ts';
import { brickName } from './volumes.ts';

/** Why a brick's directory is not that of this volume, or null. */
export function brickProblem(context: Context, volume: VolumeInfo, brick: BrickInfo): string | null {
  if (!context.inspector.isDirectory(context.inspector.realPath(brick.path)))
    return `Failed to find brick directory ${brick.path} for volume ${volume.name}. Reason : No such file or directory`;
  const id = context.inspector.volumeId(brick.path);
  if (id === null)
    return `Failed to get extended attribute trusted.glusterfs.volume-id for brick dir ${brick.path}. Reason : No data available`;
  if (id !== volume.id)
    return `Volume id mismatch for brick ${brickName(brick)}. Expected volume id ${volume.id}, volume id ${id} found`;
  return null;
}
