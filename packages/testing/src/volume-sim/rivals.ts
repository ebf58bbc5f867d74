/**
 * Clients that rename the same few files at the same time, as two `mv` do: to names that nothing has (RENAME_NOREPLACE), so that none
 * of them takes anything away. Whatever becomes of each rename, all files are there in the end.
 */
import { type Args, Errno, Fd, type Gfid, locAt, newGfid } from '@mortar/core';
import type { SeededRandom } from '../sim/random.ts';
import type { VolumeProcess } from './process.ts';
import { listed, type Shared } from './work.ts';

const filesMade = 6;
/** In all directories together. */
const namesUsed = 14;
const noReplace = 1;
const createFlags = 0o302; // O_RDWR | O_CREAT | O_EXCL
const prefix = 'rival-';

/** By `DIRECTORY/NAME`. */
type Key = string;

export class Rivals {
  /** As of `Worker`: names that may be there at the end, or not. */
  readonly doubtful: ReadonlySet<Key>;
  readonly #shared: Shared;
  readonly #keys: readonly Key[];
  readonly #made = new Map<Gfid, Buffer>();
  #done = 0;

  constructor(shared: Shared) {
    this.#shared = shared;
    this.#keys = Array.from({ length: namesUsed }, (_, i) => `${i % shared.directories.length}/${prefix}${i}`);
    this.doubtful = new Set(this.#keys);
  }

  get done(): number {
    return this.#done;
  }

  #loc(key: Key) {
    const [directory, name] = key.split('/');
    return locAt(this.#shared.directories[Number(directory)]!, name!);
  }

  /** The files, each with its own text. Before anything can fail. */
  async make({ ops, call, services }: VolumeProcess): Promise<void> {
    for (const key of this.#keys.slice(0, filesMade)) {
      const gfid = newGfid(services.random);
      const fd = new Fd(gfid, 2);
      const data = Buffer.from(`what was ${key}`);
      const made = await ops.create(call, { loc: this.#loc(key), flags: createFlags, mode: 0o644, gfid, fd });
      const written = made.ok ? await ops.writev(call, { fd, offset: 0, data }) : made;
      fd.release();
      if (!written.ok) throw new Error(`${key} could not be made before the run: errno ${written.errno}`);
      this.#made.set(gfid, data);
    }
  }

  /** By one of the clients. */
  async run(process: VolumeProcess, random: SeededRandom, isOver: () => boolean, thinkMs: number): Promise<void> {
    while (!isOver()) {
      await process.services.clock.sleep(random.between(0, 2 * thinkMs));
      const [from, to] = [random.pick(this.#keys), random.pick(this.#keys)];
      const args: Args<'rename'> = { from: this.#loc(from), to: this.#loc(to), flags: noReplace };
      const reply = await process.ops.rename(process.call, args);
      this.#shared.say(process.name, `rename ${from} to ${to}, which is free: ${reply.ok ? 'ok' : reply.errno}`);
      this.#done++;
      if (!reply.ok && !this.#mayBe(reply.errno))
        this.#shared.problem(`${process.name} rename ${from} to ${to}: errno ${reply.errno}`);
    }
  }

  /** Another one has the old name's file, or the new name. */
  #mayBe(errno: Errno): boolean {
    if (errno === Errno.ENOENT || errno === Errno.ESTALE || errno === Errno.EEXIST) return true;
    return this.#shared.mayFail() && (errno === Errno.ENOTCONN || errno === Errno.ETIMEDOUT);
  }

  /** Each file has a name, and is what it was. */
  async verify(by: VolumeProcess): Promise<void> {
    const found = new Map<Gfid, string[]>();
    for (const gfid of this.#shared.directories)
      for (const { name } of (await listed(by, gfid)) ?? []) {
        if (!name.startsWith(prefix)) continue;
        const here = await by.ops.lookup(by.call, { loc: locAt(gfid, name) });
        if (!here.ok) this.#shared.problem(`${by.name} sees ${name}, and does not find it: errno ${here.errno}`);
        else found.set(here.iatt.gfid, [...(found.get(here.iatt.gfid) ?? []), name]);
      }
    for (const [gfid, data] of this.#made) {
      const names = found.get(gfid);
      if (!names) this.#shared.problem(`${gfid.slice(-6)}, ${data}, is lost`);
      else await this.#verifyData(by, gfid, data, names);
    }
  }

  async #verifyData({ ops, call, name }: VolumeProcess, gfid: Gfid, data: Buffer, names: readonly string[]) {
    const fd = new Fd(gfid, 0);
    await ops.open(call, { loc: { gfid, parent: null, name: null }, flags: 0, fd });
    const read = await ops.readv(call, { fd, size: 4096, offset: 0 });
    fd.release();
    const is = read.ok ? JSON.stringify(Buffer.from(read.data).toString()) : `errno ${read.errno}`;
    if (!read.ok || Buffer.compare(read.data, data) !== 0)
      this.#shared.problem(`${name} reads ${is} of ${names.join(' and ')}, and should ${data}`);
  }
}
