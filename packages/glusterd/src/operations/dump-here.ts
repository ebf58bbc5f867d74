/** State dumps of bricks of this node. */
import type { Context } from '../context.ts';
import type { BrickInfo, VolumeInfo } from '../volume.ts';
import { brickName } from './volumes.ts';

export const reasonMaxLength = 4096;

export interface DumpFailure {
  /** Its id in the volume. */
  readonly brick: string;
  readonly reason: string;
}

/** Those that run and have written none. A dump is complete when its brick answers. */
export async function dumpHere(
  context: Context,
  volume: VolumeInfo,
  bricks: readonly BrickInfo[],
): Promise<DumpFailure[]> {
  const { supervisor, log } = context;
  const dump = async (brick: BrickInfo): Promise<DumpFailure[]> => {
    if (!(await supervisor.brickState(volume, brick)).online) return [];
    try {
      await supervisor.askBrick(volume, brick, 'process.statedump', {});
      return [];
    } catch (error) {
      const reason = (error as Error).message.slice(0, reasonMaxLength);
      log.write('WARNING', 'management', `state dump of ${brickName(brick)}: ${reason}`);
      return [{ brick: brick.brickId, reason }];
    }
  };
  return (await Promise.all(bricks.map(dump))).flat();
}
