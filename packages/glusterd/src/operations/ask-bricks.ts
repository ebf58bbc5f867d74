/** Questions to the bricks of a volume. Those that do not run are passed over; those that do not answer are logged. */
import { z } from 'zod';
import type { Context } from '../context.ts';
import type { BrickInfo, VolumeInfo } from '../volume.ts';
import { brickName, localBricks } from './volumes.ts';

export interface BrickAnswer<T> {
  /** `HOST:/path` */
  name: string;
  answer: T;
}

export async function askBricks<S extends z.ZodType>(
  context: Context,
  volume: VolumeInfo,
  method: string,
  params: unknown,
  schema: S,
  bricks: readonly BrickInfo[] = localBricks(context, volume),
): Promise<BrickAnswer<z.infer<S>>[]> {
  const ask = async (brick: BrickInfo): Promise<BrickAnswer<z.infer<S>>[]> => {
    const { online } = await context.supervisor.brickState(volume, brick);
    if (!online) return [];
    try {
      const answer = schema.parse(await context.supervisor.askBrick(volume, brick, method, params));
      return [{ name: brickName(brick), answer }];
    } catch (error) {
      context.log.write('WARNING', 'management', `${method} of ${brickName(brick)}: ${(error as Error).message}`);
      return [];
    }
  };
  return (await Promise.all(bricks.map(ask))).flat();
}

/** Resolves when every running brick works by the volume's present options. */
export async function refreshBricks(context: Context, volume: VolumeInfo): Promise<void> {
  if (volume.status !== 'started') return;
  await askBricks(context, volume, 'graph.refresh', {}, anyAnswer);
}

const anyAnswer = z.unknown();
