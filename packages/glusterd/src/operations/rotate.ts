/** The logs of bricks of this node: what is there gets a name of its own, and the brick begins a new file. */
import type { Context } from '../context.ts';
import { brickLogFile } from '../paths.ts';
import type { BrickInfo, VolumeInfo } from '../volume.ts';

export async function rotateHere(context: Context, volume: VolumeInfo, bricks: readonly BrickInfo[]): Promise<void> {
  for (const brick of bricks) {
    const file = brickLogFile(context.directories, brick);
    if ((await context.files.read(file)) !== null)
      await context.files.rename(file, `${file}.${context.clock.wall().sec}`);
    const { online, pid } = await context.supervisor.brickState(volume, brick);
    if (online) context.processes.signal(pid, 'SIGHUP');
  }
}
