/** What clients do, each with names of its own, so that it knows what must come of it; and one who looks. */
import {
  type Args,
  type Dirent,
  Errno,
  type Failure,
  Fd,
  FileType,
  type Fops,
  type Gfid,
  type Iatt,
  isKnownIatt,
  locAt,
  locOf,
  newGfid,
  rootGfid,
} from '@mortar/core';
import type { Distribute } from '@mortar/xlators/cluster/distribute/distribute.ts';
import type { SeededRandom } from '../sim/random.ts';
import type { VolumeProcess } from './process.ts';

const O_RDWR = 2;
const O_CREAT = 0o100;
const O_EXCL = 0o200;
const readMax = 2 ** 20;

/** What somebody made and was told of. */
interface File {
  readonly gfid: Gfid;
  data: Buffer;
  /** Nothing is certain of it since something done to it failed. */
  isDoubtful: boolean;
}

export interface Shared {
  readonly directories: readonly Gfid[];
  say(who: string, what: string): void;
  problem(what: string): void;
  /** Whether a request may fail since a brick cannot be reached. */
  mayFail(): boolean;
  /** Whether a file may have gone to a brick that a graph which was replaced meanwhile does not know. */
  mayMiss(): boolean;
}

/** `DIRECTORY/NAME` by number. */
type Key = string;

export class Worker {
  readonly process: VolumeProcess;
  readonly files = new Map<Key, File>();
  /** Names of which nothing is certain. */
  readonly doubtful = new Set<Key>();
  readonly #random: SeededRandom;
  readonly #shared: Shared;
  readonly #limit: number;
  readonly #prefix: string;
  #serial = 0;
  #done = 0;
  /** The graph in which what is under way began. */
  #graph: Fops | undefined;
  /** By what is under way: of a client that died nobody knows what became of that. */
  #touched: File[] = [];

  constructor(process: VolumeProcess, prefix: string, random: SeededRandom, shared: Shared, limit: number) {
    this.process = process;
    this.#prefix = prefix;
    this.#random = random;
    this.#shared = shared;
    this.#limit = limit;
  }

  async run(isOver: () => boolean, thinkMs: number): Promise<void> {
    const { clock } = this.process.services;
    while (!isOver()) {
      await clock.sleep(this.#random.between(0, 2 * thinkMs));
      await this.step();
    }
  }

  async step(): Promise<void> {
    this.#graph = this.process.ops;
    const keys = [...this.files.keys()];
    const key = keys.length > 0 ? this.#random.pick(keys) : undefined;
    if (key === undefined || keys.length < this.#limit / 2) return this.#create();
    const file = this.files.get(key)!;
    this.#touched = [file];
    switch (this.#random.integer(9)) {
      case 0:
        return keys.length < this.#limit ? this.#create() : this.#unlink(key, file);
      case 1:
      case 2:
        return this.#rename(key, file, this.#fresh());
      case 3: {
        const other = this.#random.pick(keys);
        return this.files.get(other)!.gfid === file.gfid ? undefined : this.#rename(key, file, other);
      }
      case 4:
        return this.#append(key, file);
      case 5:
        return this.#overwrite(key, file);
      case 6:
        return this.#truncate(key, file);
      case 7:
        return this.#link(key, file, this.#fresh());
      default:
        return this.#read(key, file);
    }
  }

  get done(): number {
    return this.#done;
  }

  #fresh(): Key {
    return `${this.#random.integer(this.#shared.directories.length)}/${this.#prefix}-${this.#serial++}`;
  }

  #loc(key: Key, gfid: Gfid | null = null) {
    const at = key.indexOf('/');
    return locAt(this.#shared.directories[Number(key.slice(0, at))]!, key.slice(at + 1), gfid);
  }

  /** The kernel gives no gfid where it renames or removes a name. */
  #named(key: Key, file: File) {
    return this.#loc(key, this.#random.chance(0.5) ? file.gfid : null);
  }

  /** True: it was done. False: nobody knows, and nothing is certain of these names any more. */
  #judge(what: string, reply: { ok: true } | Failure, keys: readonly Key[], files: readonly File[]): boolean {
    this.#shared.say(this.process.name, `${what}: ${reply.ok ? 'ok' : reply.errno}`);
    this.#done++;
    if (reply.ok) return true;
    const isAway = reply.errno === Errno.ENOTCONN || reply.errno === Errno.ETIMEDOUT;
    const isGone = reply.errno === Errno.ENOENT || reply.errno === Errno.ESTALE;
    const isUnsure = isAway || (isGone && this.#graph !== this.process.ops && this.#shared.mayMiss());
    if (!isUnsure || !this.#shared.mayFail())
      this.#shared.problem(`${this.process.name} ${what}: errno ${reply.errno}`);
    for (const file of files) file.isDoubtful = true;
    for (const key of keys) this.doubtful.add(key);
    for (const [key, file] of this.files)
      if (file.isDoubtful) {
        this.files.delete(key);
        this.doubtful.add(key);
      }
    return false;
  }

  /** What a reply says of a file that nobody else changes, which may be on its way from one brick to another. */
  #told(what: string, iatt: Iatt | undefined, file: File, size = file.data.length): void {
    const wrong = iatt && wrongIn(iatt, file.gfid, size);
    if (wrong) this.#shared.problem(`${this.process.name} ${what} tells ${wrong}`);
  }

  #toldChange(what: string, reply: { pre: Iatt; post: Iatt }, file: File, size: number): void {
    this.#told(`${what} (before)`, reply.pre, file);
    this.#told(what, reply.post, file, size);
  }

  async #create(): Promise<void> {
    const { ops, call, services } = this.process;
    const key = this.#fresh();
    const gfid = newGfid(services.random);
    const fd = new Fd(gfid, O_RDWR);
    const file: File = { gfid, data: Buffer.alloc(0), isDoubtful: false };
    const flags = O_RDWR | O_CREAT | O_EXCL;
    this.#touched = [file];
    const made = await ops.create(call, { loc: this.#loc(key), flags, mode: fileMode, gfid, fd });
    if (this.#judge(`create ${key} ${gfid.slice(-6)}`, made, [key], [file])) {
      if (made.ok) this.#told(`create ${key}`, made.iatt, file);
      this.files.set(key, file);
      const data = this.#bytes(3000);
      const reply = await ops.writev(call, { fd, offset: 0, data });
      if (this.#judge(`write ${key}`, reply, [key], [file]) && reply.ok) {
        this.#toldChange(`write ${key}`, reply, file, data.length);
        file.data = data;
      }
    }
    fd.release();
  }

  #bytes(below: number): Buffer {
    return Buffer.alloc(1 + this.#random.integer(below), `${this.process.name}.${this.#serial++};`);
  }

  async #unlink(key: Key, file: File): Promise<void> {
    const reply = await this.process.ops.unlink(this.process.call, { loc: this.#named(key, file) });
    if (this.#judge(`unlink ${key} ${file.gfid.slice(-6)}`, reply, [key], [file])) this.files.delete(key);
  }

  async #rename(key: Key, file: File, to: Key): Promise<void> {
    const target = this.files.get(to);
    if (target) this.#touched.push(target);
    const args: Args<'rename'> = { from: this.#named(key, file), to: this.#loc(to), flags: 0 };
    const reply = await this.process.ops.rename(this.process.call, args);
    const files = target ? [file, target] : [file];
    if (!this.#judge(`rename ${key} to ${to} ${file.gfid.slice(-6)}`, reply, [key, to], files)) return;
    if (reply.ok) this.#told(`rename ${key} to ${to}`, reply.iatt, file);
    this.files.delete(key);
    this.files.set(to, file);
  }

  async #link(key: Key, file: File, to: Key): Promise<void> {
    const reply = await this.process.ops.link(this.process.call, { from: locOf(file.gfid), to: this.#loc(to) });
    if (!this.#judge(`link ${key} as ${to}`, reply, [to], [file])) return;
    if (reply.ok) this.#told(`link ${key} as ${to}`, reply.iatt, file);
    this.files.set(to, file);
  }

  /** By an fd that was opened for it, which may live long. */
  async #opened<R extends { ok: true }>(
    key: Key,
    file: File,
    run: (ops: Fops, fd: Fd) => Promise<R | Failure>,
  ): Promise<R | Failure> {
    const { ops, call, services } = this.process;
    let fd = new Fd(file.gfid, O_RDWR);
    const opened = await ops.open(call, { loc: this.#loc(key, file.gfid), flags: O_RDWR, fd });
    if (!opened.ok) return opened;
    this.#told(`open ${key}`, opened.iatt, file);
    if (this.#random.chance(0.3)) await services.clock.sleep(this.#random.between(0, 200));
    const now = this.process.ops;
    if (now !== ops) {
      // What is open goes over to a new graph with the process.
      fd.release();
      fd = new Fd(file.gfid, O_RDWR);
      const again = await now.open(call, { loc: locOf(file.gfid), flags: O_RDWR, fd });
      if (!again.ok) return again;
    }
    const reply = await run(now, fd);
    fd.release();
    return reply;
  }

  async #append(key: Key, file: File): Promise<void> {
    const { call } = this.process;
    const data = this.#bytes(500);
    const reply = await this.#opened(key, file, (ops, fd) => ops.writev(call, { fd, offset: 0, data, append: true }));
    if (!this.#judge(`append ${key}`, reply, [key], [file])) return;
    if (reply.ok) this.#toldChange(`append ${key}`, reply, file, file.data.length + data.length);
    file.data = Buffer.concat([file.data, data]);
  }

  async #overwrite(key: Key, file: File): Promise<void> {
    const { call } = this.process;
    const offset = this.#random.integer(file.data.length + 1);
    const data = this.#bytes(2000);
    const reply = await this.#opened(key, file, (ops, fd) => ops.writev(call, { fd, offset, data }));
    if (!this.#judge(`overwrite ${key}`, reply, [key], [file])) return;
    const next = Buffer.alloc(Math.max(file.data.length, offset + data.length));
    file.data.copy(next);
    data.copy(next, offset);
    if (reply.ok) this.#toldChange(`overwrite ${key}`, reply, file, next.length);
    file.data = next;
  }

  async #truncate(key: Key, file: File): Promise<void> {
    const size = this.#random.integer(file.data.length + 50);
    const reply = await this.process.ops.truncate(this.process.call, { loc: locOf(file.gfid), size });
    if (!this.#judge(`truncate ${key} to ${size}`, reply, [key], [file])) return;
    if (reply.ok) this.#toldChange(`truncate ${key}`, reply, file, size);
    const next = Buffer.alloc(size);
    file.data.copy(next);
    file.data = next;
  }

  async #read(key: Key, file: File): Promise<void> {
    const { ops, call } = this.process;
    const found = await ops.lookup(call, { loc: this.#named(key, file) });
    if (!this.#judge(`lookup ${key}`, found, [], [])) return;
    if (found.ok && found.iatt.gfid !== file.gfid)
      this.#shared.problem(`${key} is ${found.iatt.gfid.slice(-6)}, not ${file.gfid.slice(-6)}`);
    if (found.ok) this.#told(`lookup ${key}`, found.iatt, file);
    const reply = await this.#opened(key, file, (ops, fd) => ops.readv(call, { fd, size: readMax, offset: 0 }));
    if (!this.#judge(`read ${key}`, reply, [], []) || !reply.ok) return;
    this.#told(`read ${key}`, reply.iatt, file);
    if (Buffer.compare(reply.data, file.data) !== 0)
      this.#shared.problem(
        `${this.process.name} ${key} reads ${describe(reply.data)}, and should ${describe(file.data)}`,
      );
  }

  /** The client is gone. */
  forgetTouched(): void {
    for (const [key, file] of this.files) {
      if (!this.#touched.includes(file)) continue;
      this.files.delete(key);
      this.doubtful.add(key);
    }
  }

  /** All that is certain, as another client sees it. */
  async verify(by: VolumeProcess): Promise<void> {
    for (const [key, file] of this.files) {
      const loc = this.#loc(key);
      const found = await by.ops.lookup(by.call, { loc });
      if (!found.ok || found.iatt.gfid !== file.gfid) {
        const is = found.ok ? found.iatt.gfid.slice(-6) : `errno ${found.errno}`;
        this.#shared.problem(`${by.name} finds ${key} to be ${is}, not ${file.gfid.slice(-6)}`);
        continue;
      }
      const fd = new Fd(file.gfid, 0);
      await by.ops.open(by.call, { loc: { ...loc, gfid: file.gfid }, flags: 0, fd });
      const reply = await by.ops.readv(by.call, { fd, size: readMax, offset: 0 });
      fd.release();
      if (!reply.ok || Buffer.compare(reply.data, file.data) !== 0)
        this.#shared.problem(
          `${by.name} reads ${reply.ok ? describe(reply.data) : `errno ${reply.errno}`} of ${key}, written was ${describe(file.data)}`,
        );
    }
  }

  /** Files that must be listed in a directory now, by name. */
  filesIn(directory: number): Map<string, File> {
    const prefix = `${directory}/`;
    const own = [...this.files].filter(([key]) => key.startsWith(prefix));
    return new Map(own.map(([key, file]) => [key.slice(prefix.length), file]));
  }
}

const fileMode = 0o644;

/** Undefined: these are the attributes of that file, or unknown. */
export function wrongIn(iatt: Iatt, gfid: Gfid, size: number): string | undefined {
  const isRight = iatt.gfid === gfid && iatt.type === FileType.regular && iatt.size === size && iatt.mode === fileMode;
  if (isRight || !isKnownIatt(iatt)) return undefined;
  const is = `${iatt.gfid.slice(-6)} type ${iatt.type} mode ${iatt.mode.toString(8)} size ${iatt.size}`;
  return `${is}, and it is ${gfid.slice(-6)} mode ${fileMode.toString(8)} size ${size}`;
}

function describe(data: Uint8Array): string {
  return `${data.length} bytes ${JSON.stringify(Buffer.from(data.subarray(0, 24)).toString('latin1'))}`;
}

/** All entries of a directory; undefined: it could not be listed whole. */
export async function listed(process: VolumeProcess, gfid: Gfid, size = 2048): Promise<Dirent[] | undefined> {
  const entries: Dirent[] = [];
  /** What a child that is down has is left out. */
  const generations = new Map<Distribute, number>();
  const isWhole = () => [...generations].every(([d, generation]) => !d.someDown && d.generation === generation);
  let fd: Fd | undefined;
  try {
    for (let offset = 0; ; ) {
      const { d, ops } = process;
      if (!fd || !generations.has(d)) {
        // A new graph has it opened anew, and goes on behind the same offset.
        generations.set(d, d.generation);
        fd?.release();
        fd = new Fd(gfid);
        const opened = await ops.opendir(process.call, { loc: locOf(gfid), fd });
        if (!opened.ok) return undefined;
      }
      const page = await ops.readdirp(process.call, { fd, size, offset });
      if (!page.ok) return undefined;
      entries.push(...page.entries.filter(({ name }) => name !== '.' && name !== '..'));
      if (page.end || page.entries.length === 0) return isWhole() ? entries : undefined;
      offset = page.entries.at(-1)!.offset;
    }
  } finally {
    fd?.release();
  }
}

export async function makeDirectory(process: VolumeProcess, name: string): Promise<Gfid> {
  const gfid = newGfid(process.services.random);
  const reply = await process.ops.mkdir(process.call, { loc: locAt(rootGfid, name), mode: 0o755, gfid });
  if (!reply.ok) throw new Error(`${name} could not be made before the run: errno ${reply.errno}`);
  return gfid;
}
