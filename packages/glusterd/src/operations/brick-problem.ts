import type { Context } from '../context.ts';
import type { BrickInfo, VolumeInfo } from '../volume.ts';
import { brickName } from './volumes.ts';

export interface BrickProblem {
  readonly text: string;
  /** The directory is another volume's: what was to be done must not be, not even by force. */
  readonly foreign: boolean;
}

/** Why a brick's directory is not that of this volume, or null. */
export function brickProblem(context: Context, volume: VolumeInfo, brick: BrickInfo): BrickProblem | null {
  const found = (text: string, foreign = false) => ({ text, foreign });
  if (!context.inspector.isDirectory(context.inspector.realPath(brick.path)))
    return found(
      `Failed to find brick directory ${brick.path} for volume ${volume.name}. Reason : No such file or directory`,
    );
  const id = context.inspector.volumeId(brick.path);
  if (id === null)
    return found(
      `Failed to get extended attribute trusted.glusterfs.volume-id for brick dir ${brick.path}. Reason : No data available`,
    );
  if (id === volume.id) return null;
  return found(
    `Volume id mismatch for brick ${brickName(brick)}. Expected volume id ${volume.id}, volume id ${id} found`,
    true,
  );
}

/** The one of several that matters most: what force does not help against. */
export function worstProblem(problems: readonly (BrickProblem | null)[]): BrickProblem | null {
  return problems.find((problem) => problem?.foreign) ?? problems.find((problem) => problem !== null) ?? null;
}
