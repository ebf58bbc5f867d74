/** A brick of this node blames others at its root: by its process, or in its directory if it does not run. */
import { z } from 'zod';
import type { RootBlame } from '../brick-inspector.ts';
import type { Context } from '../context.ts';
import type { BrickInfo, VolumeInfo } from '../volume.ts';

/** Counters of data, metadata and entries by the name of who is blamed. A brick of an older version tells none. */
export const blamedSchema = z.object({ said: z.record(z.string(), z.array(z.int()).length(3)).default({}) });

export async function blameHere(
  { supervisor, inspector }: Context,
  volume: VolumeInfo,
  brick: BrickInfo,
  blame: RootBlame,
): Promise<z.infer<typeof blamedSchema>> {
  const { online } = await supervisor.brickState(volume, brick);
  if (online) return blamedSchema.parse(await supervisor.askBrick(volume, brick, 'brick.blame', blame));
  return { said: inspector.blameAtRoot(brick.path, blame) };
}
