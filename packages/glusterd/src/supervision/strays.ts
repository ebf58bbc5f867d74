/**
 * Bricks and heal daemons of this node that no document wants: a node that was installed anew has forgotten what it ran, and
 * volumes may have been stopped or deleted meanwhile.
 */
import type { Context } from '../context.ts';
import { brickPidFile } from '../paths.ts';
import { brickVolumeOf, healVolumeOf } from './brick-command.ts';
import { ProcessWatch } from './process-watch.ts';

/** Ends them, by the pid files that they left. Their pid files. */
export async function endStrays(context: Context): Promise<string[]> {
  const { files, processes, clock, directories, store } = context;
  const watch = new ProcessWatch(files, processes, clock);
  const started = (name: string) => {
    const volume = store.state.volumes.get(name);
    return volume?.status === 'started' ? volume : undefined;
  };
  const isWantedBrick = (name: string, pidFile: string) =>
    started(name)?.bricks.some(
      (brick) => brick.hostUuid === store.state.node.uuid && brickPidFile(directories, name, brick) === pidFile,
    ) === true;
  const ended: string[] = [];
  const look = async (kind: 'vols' | 'shd', isWanted: (name: string, pidFile: string) => boolean) => {
    const volumeOf = kind === 'vols' ? brickVolumeOf : healVolumeOf;
    for (const name of await files.list(`${directories.run}/${kind}`))
      for (const file of await files.list(`${directories.run}/${kind}/${name}`)) {
        const pidFile = `${directories.run}/${kind}/${name}/${file}`;
        if (!file.endsWith('.pid') || isWanted(name, pidFile)) continue;
        const stray = { pidFile, recognises: (words: readonly string[]) => volumeOf(words) === name };
        if (!(await watch.find(stray))) continue;
        await watch.end(stray);
        ended.push(pidFile);
      }
  };
  await look('vols', isWantedBrick);
  await look('shd', (name) => started(name) !== undefined);
  return ended;
}
