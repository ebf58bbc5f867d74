/**
 * Bricks of this node that no document wants, and volumes that its heal daemon is not to heal: a node that was installed anew has forgotten
 * what it ran, and volumes may have been stopped or deleted meanwhile.
 */
import type { Context } from '../context.ts';
import { brickPidFile } from '../paths.ts';
import { brickVolumeOf } from './brick-command.ts';
import { ProcessWatch } from './process-watch.ts';

/** Ends the bricks, by the pid files that they left, and tells the heal daemon. The pid files of what was ended. */
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
  for (const name of await files.list(`${directories.run}/vols`))
    for (const file of await files.list(`${directories.run}/vols/${name}`)) {
      const pidFile = `${directories.run}/vols/${name}/${file}`;
      if (!file.endsWith('.pid') || isWantedBrick(name, pidFile)) continue;
      const stray = { pidFile, recognises: (words: readonly string[]) => brickVolumeOf(words) === name };
      if (!(await watch.find(stray))) continue;
      await watch.end(stray);
      ended.push(pidFile);
    }
  await context.healDaemon.update();
  return ended;
}
