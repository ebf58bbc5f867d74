/**
 * The text files under the working directory, for people and tools: written from the state after each commit, and
 * again in whole at start, so that a crash between commit and view heals itself. A volfile that somebody edits is left
 * until it would be made differently.
 */
import { nodeStateFolders } from '../folders.ts';
import { type Directories, volumeDirectory } from '../paths.ts';
import type { Files } from '../ports.ts';
import type { VolumeInfo } from '../volume.ts';
import type { Change, State } from './documents.ts';
import { maxOpVersion } from './documents.ts';
import { type Lines, printLines } from './lines.ts';
import { volumeFiles } from './volume-files.ts';

/** Volfiles of a volume by file name, as volgen makes them on this node. */
export type VolfilesOf = (volume: VolumeInfo, node: string) => ReadonlyMap<string, string>;

/** What other programs write below `vols/VOLUME`, never removed by the view. */
const foreign = new Set(['run', 'marker.tstamp', 'quota.conf', 'quota.cksum', 'rebalance']);
/** Written when they are missing only: another part of management, or another build, keeps its state there. */
const initial = new Set(['node_state.info', 'snapd.info']);

export class StoreView {
  readonly #files: Files;
  readonly #directories: Directories;
  readonly #volfiles: VolfilesOf;
  /** What was written into the volfiles since this daemon runs, by path. */
  readonly #made = new Map<string, string>();

  constructor(files: Files, directories: Directories, volfiles: VolfilesOf) {
    this.#files = files;
    this.#directories = directories;
    this.#volfiles = volfiles;
  }

  /** Everything, as after a start; also removes volumes that are no more. */
  async writeAll(state: State): Promise<void> {
    const { work } = this.#directories;
    for (const folder of nodeStateFolders) await this.#files.makeDirectory(`${work}/${folder}`);
    await this.#write('glusterd.upgrade', `maximum-operating-version=${maxOpVersion}\n`);
    await this.#write('snaps/missed_snaps_list', (await this.#files.read(`${work}/snaps/missed_snaps_list`)) ?? '');
    await this.writeChange(state, { node: state.node, globals: state.globals, peers: state.peers });
    for (const name of await this.#files.list(`${work}/vols`))
      if (!state.volumes.has(name)) await this.#files.remove(`${work}/vols/${name}`);
    for (const volume of state.volumes.values()) await this.#writeVolume(volume, state.node.uuid);
  }

  /** The files that a commit touched. */
  async writeChange(state: State, change: Change): Promise<void> {
    const { work } = this.#directories;
    if (change.node)
      await this.#write('glusterd.info', `UUID=${state.node.uuid}\noperating-version=${state.node.opVersion}\n`);
    if (change.globals) {
      const options: Lines = Object.entries(state.globals.options);
      await this.#write('options', printLines([...options, ['global-option-version', `${state.globals.version}`]]));
    }
    for (const [name, peer] of change.peers ?? []) {
      // This node is a member like the others, but no peer of itself.
      if (peer === null || name === state.node.uuid) await this.#files.remove(`${work}/peers/${name}`);
      else {
        const names = peer.hostnames.map((host, i): [string, string] => [`hostname${i + 1}`, host]);
        await this.#write(`peers/${name}`, printLines([['uuid', peer.uuid], ['state', `${peer.state}`], ...names]));
      }
    }
    for (const [name, volume] of change.volumes ?? []) {
      if (volume === null) await this.#removeVolume(name);
      else await this.#writeVolume(volume, state.node.uuid);
    }
  }

  async #removeVolume(name: string): Promise<void> {
    const folder = `${this.#directories.work}/vols/${name}`;
    await this.#files.remove(folder);
    for (const path of this.#made.keys()) if (path.startsWith(`${folder}/`)) this.#made.delete(path);
  }

  /** A volfile that somebody edited since it was made; null if nobody did. `name` is below the working directory. */
  async edited(name: string): Promise<string | null> {
    const path = `${this.#directories.work}/${name}`;
    const made = this.#made.get(path);
    if (made === undefined) return null;
    const found = await this.#files.read(path);
    return found === made ? null : found;
  }

  async #writeVolume(volume: VolumeInfo, node: string): Promise<void> {
    const folder = volumeDirectory(this.#directories, volume.name);
    const volfiles = this.#volfiles(volume, node);
    const wanted = new Map([...volumeFiles(volume), ...volfiles]);
    for (const [name, text] of wanted) {
      const path = `${folder}/${name}`;
      const found = await this.#files.read(path);
      const stays = found !== null && (initial.has(name) || this.#made.get(path) === text);
      if (found !== text && !stays) await this.#files.write(path, text, 0o600);
      if (volfiles.has(name)) this.#made.set(path, text);
    }
    // The volfiles of a volume that this build cannot run are left as they were found.
    const isOld = (name: string) =>
      name !== 'bricks' && !foreign.has(name) && !(volfiles.size === 0 && name.endsWith('.vol'));
    for (const name of await this.#files.list(folder))
      if (!wanted.has(name) && isOld(name)) await this.#files.remove(`${folder}/${name}`);
    for (const name of await this.#files.list(`${folder}/bricks`))
      if (!wanted.has(`bricks/${name}`)) await this.#files.remove(`${folder}/bricks/${name}`);
    await this.#files.makeDirectory(`${folder}/run`);
  }

  async #write(name: string, text: string): Promise<void> {
    const path = `${this.#directories.work}/${name}`;
    if ((await this.#files.read(path)) !== text) await this.#files.write(path, text, 0o600);
  }
}
