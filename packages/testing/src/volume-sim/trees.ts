/** Directories that a client makes, fills, uses and removes with all that is in them, as `tar` and `rm -r` do. */
import { type Args, Errno, type Failure, Fd, type Gfid, locAt, newGfid } from '@mortar/core';
import type { SeededRandom } from '../sim/random.ts';
import type { VolumeProcess } from './process.ts';
import { listed, type Shared } from './work.ts';

const flags = 0o302; // O_RDWR | O_CREAT | O_EXCL
/** Between two trees, on average. */
const leastMs = 20;
/** Directories in one another. */
const deepest = 2;

/** Trees have so few names, where they have them again. */
const namesReused = 3;

interface Tree {
  readonly parent: Gfid;
  name: string;
  readonly gfid: Gfid;
  readonly files: Map<string, Gfid>;
  readonly below: Tree[];
}

/** Something failed that may fail: nothing is certain of the tree any more. */
class Unsure extends Error {}

export class TreeWorker {
  readonly process: VolumeProcess;
  /** Names of trees of which nothing is certain, by the directory that they are in. */
  readonly doubtful = new Set<string>();
  readonly #random: SeededRandom;
  readonly #shared: Shared;
  readonly #reuses: boolean;
  #serial = 0;
  #done = 0;

  /** `reuses`: trees have names that others had before, and are renamed. */
  constructor(process: VolumeProcess, random: SeededRandom, shared: Shared, reuses = false) {
    this.process = process;
    this.#random = random;
    this.#shared = shared;
    this.#reuses = reuses;
  }

  get done(): number {
    return this.#done;
  }

  async run(isOver: () => boolean, thinkMs: number): Promise<void> {
    while (!isOver()) {
      await this.#think(Math.max(thinkMs, leastMs));
      const directory = this.#random.integer(this.#shared.directories.length);
      const name = this.#newName(directory);
      const names = [name];
      try {
        const tree = await this.#make(this.#shared.directories[directory]!, name, thinkMs);
        if (this.#random.chance(0.5)) await this.#change(tree, thinkMs);
        if (this.#reuses && this.#random.chance(0.5)) {
          names.push(this.#newName(directory, name));
          await this.#rename(tree, names[1]!);
        }
        await this.#remove(tree, thinkMs);
      } catch (error) {
        if (!(error instanceof Unsure)) throw error;
        for (const one of names) this.doubtful.add(`${directory}/${one}`);
      }
    }
  }

  /** One that nothing has, as far as is known. */
  #newName(directory: number, taken?: string): string {
    const serial = this.#serial++;
    const reused = `${this.process.name}-tree-again-${serial % namesReused}`;
    if (this.#reuses && reused !== taken && !this.doubtful.has(`${directory}/${reused}`)) return reused;
    return `${this.process.name}-tree-${serial}`;
  }

  async #rename(tree: Tree, to: string): Promise<void> {
    const { parent, name, gfid } = tree;
    const args: Args<'rename'> = { from: locAt(parent, name, gfid), to: locAt(parent, to), flags: 0 };
    await this.#ask(`rename ${name} to ${to}`, ({ ops, call }) => ops.rename(call, args));
    tree.name = to;
    await this.#isGone(parent, name);
  }

  async #isGone(parent: Gfid, name: string): Promise<void> {
    const { ops, call } = this.process;
    const found = await ops.lookup(call, { loc: locAt(parent, name) });
    if (found.ok) this.#shared.problem(`${this.process.name} finds ${name}, which it has removed or renamed`);
  }

  async #think(thinkMs: number): Promise<void> {
    await this.process.services.clock.sleep(this.#random.between(0, 2 * thinkMs));
  }

  /** One request, in the graph that the client has when it begins. */
  async #ask<R extends { ok: true }>(what: string, ask: (p: VolumeProcess) => Promise<R | Failure>): Promise<R> {
    const { process } = this;
    const graph = process.ops;
    const reply = await ask(process);
    this.#shared.say(process.name, `${what}: ${reply.ok ? 'ok' : reply.errno}`);
    this.#done++;
    if (reply.ok) return reply;
    const isAway = reply.errno === Errno.ENOTCONN || reply.errno === Errno.ETIMEDOUT;
    const isGone = reply.errno === Errno.ENOENT || reply.errno === Errno.ESTALE;
    const isUnsure = isAway || (isGone && graph !== process.ops && this.#shared.mayMiss());
    if (!isUnsure || !this.#shared.mayFail()) this.#shared.problem(`${process.name} ${what}: errno ${reply.errno}`);
    throw new Unsure();
  }

  async #make(parent: Gfid, name: string, thinkMs: number, depth = 1): Promise<Tree> {
    const gfid = newGfid(this.process.services.random);
    await this.#ask(`mkdir ${name} ${gfid.slice(-6)}`, ({ ops, call }) =>
      ops.mkdir(call, { loc: locAt(parent, name), mode: 0o755, gfid }),
    );
    const tree: Tree = { parent, name, gfid, files: new Map(), below: [] };
    for (let i = this.#random.integer(6); i > 0; i--) {
      await this.#think(thinkMs);
      await this.#create(tree);
    }
    if (depth < deepest && this.#random.chance(0.6))
      tree.below.push(await this.#make(gfid, `${name}-below`, thinkMs, depth + 1));
    return tree;
  }

  async #create(tree: Tree): Promise<void> {
    const { services } = this.process;
    const name = `f${this.#serial++}`;
    const gfid = newGfid(services.random);
    const fd = new Fd(gfid, 2);
    const loc = locAt(tree.gfid, name);
    await this.#ask(`create ${tree.name}/${name} ${gfid.slice(-6)}`, ({ ops, call }) =>
      ops.create(call, { loc, flags, mode: 0o644, gfid, fd }),
    );
    const data = Buffer.alloc(1 + this.#random.integer(2000), name);
    await this.#ask(`write ${tree.name}/${name}`, ({ ops, call }) => ops.writev(call, { fd, offset: 0, data }));
    fd.release();
    tree.files.set(name, gfid);
  }

  /** Renames and removals in it. */
  async #change(tree: Tree, thinkMs: number): Promise<void> {
    for (const [name, gfid] of [...tree.files]) {
      await this.#think(thinkMs);
      if (this.#random.chance(0.3)) {
        await this.#unlink(tree, name, gfid);
        continue;
      }
      const to = `f${this.#serial++}`;
      const args: Args<'rename'> = { from: locAt(tree.gfid, name, gfid), to: locAt(tree.gfid, to), flags: 0 };
      await this.#ask(`rename ${tree.name}/${name} to ${to}`, ({ ops, call }) => ops.rename(call, args));
      tree.files.delete(name);
      tree.files.set(to, gfid);
    }
  }

  async #unlink(tree: Tree, name: string, gfid: Gfid): Promise<void> {
    const loc = locAt(tree.gfid, name, this.#random.chance(0.5) ? gfid : null);
    await this.#ask(`unlink ${tree.name}/${name} ${gfid.slice(-6)}`, ({ ops, call }) => ops.unlink(call, { loc }));
    tree.files.delete(name);
  }

  /** It shows what is in it and nothing else; when that is gone it goes, and stays away. */
  async #remove(tree: Tree, thinkMs: number): Promise<void> {
    await this.#think(thinkMs);
    const graph = this.process.ops;
    const entries = await listed(this.process, tree.gfid);
    const names = entries?.map(({ name }) => name);
    const expected = [...tree.files.keys(), ...tree.below.map(({ name }) => name)].sort();
    if (names && names.sort().join() !== expected.join() && graph === this.process.ops)
      this.#shared.problem(`${this.process.name} sees [${names}] in ${tree.name}, not [${expected}]`);
    for (const [name, gfid] of [...tree.files]) await this.#unlink(tree, name, gfid);
    for (const below of tree.below) await this.#remove(below, thinkMs);
    const { parent, name, gfid } = tree;
    const loc = locAt(parent, name, this.#random.chance(0.5) ? gfid : null);
    await this.#ask(`rmdir ${name} ${gfid.slice(-6)}`, ({ ops, call }) => ops.rmdir(call, { loc, recursive: false }));
    await this.#isGone(parent, name);
  }
}
