/** performance/io-cache: keeps what was read, within a bound of bytes, as long as the file does not change. */
import {
  type Args,
  type Call,
  type Fd,
  type Fop,
  type FopName,
  type Fops,
  fops,
  type Gfid,
  type GraphEvent,
  type Iatt,
  type Inode,
  nullGfid,
  type OptionTable,
  type OptionValues,
  type Reply,
  type Success,
  Xlator,
  type XlatorInit,
  type XlatorType,
} from '@mortar/core';
import { changedBy, changedBySteps } from './changes.ts';
import { FileState, isUsable, sameData } from './file-state.ts';
import { options } from './options.ts';
import { PageStore } from './pages.ts';
import { patchPages } from './patch.ts';
import { Priorities } from './priority.ts';

type Values = OptionValues<typeof options>;

const openDirect = 0o40000;
/** A file that changes while it is read is read again so often, then past the cache. */
const attempts = 2;

interface Asked {
  readonly atMs: number;
  readonly serial: number;
}

export class IoCache extends Xlator {
  readonly #store: PageStore;
  readonly #pageSize: number;
  #values: Values;
  #priorities: Priorities;
  #serial = 0;
  /** Answers to questions from before this serial are not kept: what was known of their files was forgotten. */
  #floor = 0;
  /** What was validated before is to be validated again. */
  #distrustMs = Number.NEGATIVE_INFINITY;
  #hits = 0;
  #misses = 0;

  constructor(init: XlatorInit<typeof options>) {
    super(init);
    this.#values = init.options;
    this.#priorities = new Priorities(init.options.priority);
    this.#store = new PageStore(init.options['cache-size']);
    this.#pageSize = 2 ** Math.floor(Math.log2(init.options['page-size']));
  }

  override reconfigure(values: OptionValues<OptionTable>): void {
    this.#values = values as Values;
    this.#priorities = new Priorities(this.#values.priority);
    this.#store.limitBytes = this.#values['cache-size'];
    this.#store.shrink();
    for (const inode of this.services.inodes.all()) {
      const file = inode.slots[this.slot] as FileState | undefined;
      if (!file) continue;
      this.#store.setWeight(file.pages, this.#weightOf(inode));
      // While it did nothing it saw no changes.
      this.#reset(file);
    }
  }

  override notify(event: GraphEvent, from: Xlator | null): void {
    if (event.type === 'upcall') {
      const file = this.#known(event.gfid);
      if (file && event.what === 'data') this.#reset(file);
      if (file && event.what === 'metadata') file.validAtMs = Number.NEGATIVE_INFINITY;
      if (!file && event.what === 'data') this.#floor = ++this.#serial;
    }
    // Without a connection nobody tells of changes.
    if (event.type === 'child-down' || event.type === 'child-up' || event.type === 'session-lost')
      this.#distrustMs = this.services.clock.nowMs();
    super.notify(event, from);
  }

  protected override forget(_inode: Inode, state: unknown): void {
    this.#store.clear((state as FileState).pages);
    this.#floor = ++this.#serial;
  }

  protected override bindFop<N extends FopName>(name: N, next: Fops[N]): Fops[N] {
    const down = next as Fop<FopName>;
    const own = this.#ownFop(name, down);
    if (!own) return next;
    const run: Fop<FopName> = (call, args) => (this.#values['pass-through'] ? down(call, args) : own(call, args));
    return run as unknown as Fops[N];
  }

  #ownFop(name: FopName, down: Fop<FopName>): Fop<FopName> | undefined {
    if (name === 'readv') return ((call, args) => this.#read(call, args)) as Fop<'readv'> as unknown as Fop<FopName>;
    if (name === 'writev') return ((call, args) => this.#write(call, args)) as Fop<'writev'> as unknown as Fop<FopName>;
    if (name === 'compound') return (call, args) => this.#changing(name, down, call, args);
    if (name === 'open' || name === 'create' || name === 'put')
      return (call, args) => this.#changing(name, down, call, args);
    if (fops[name].class === 'data' && name !== 'fsync' && name !== 'fsyncdir')
      return (call, args) => this.#changing(name, down, call, args);
    if (name === 'lookup' || name === 'stat' || name === 'fstat' || name === 'readdirp')
      return (call, args) => this.#watching(name, down, call, args);
    return undefined;
  }

  // --- what is known of files ---

  #known(gfid: Gfid): FileState | undefined {
    return this.services.inodes.find(gfid)?.slots[this.slot] as FileState | undefined;
  }

  #file(gfid: Gfid): FileState {
    const inode = this.services.inodes.get(gfid);
    let file = inode.slots[this.slot] as FileState | undefined;
    if (!file) {
      file = new FileState(this.#weightOf(inode), this.#floor);
      inode.slots[this.slot] = file;
    }
    return file;
  }

  #weightOf({ gfid, name }: Inode): number {
    return this.#priorities.weightOf(name, this.services.inodes.pathOf(gfid));
  }

  #ask(): Asked {
    return { atMs: this.services.clock.nowMs(), serial: this.#serial };
  }

  #mayLearn(file: FileState, asked: Asked): boolean {
    return file.pending === 0 && file.changed <= asked.serial && asked.serial >= this.#floor;
  }

  #isValid(file: FileState): boolean {
    const age = this.services.clock.nowMs() - file.validAtMs;
    return file.iatt !== undefined && file.validAtMs > this.#distrustMs && age < this.#values['cache-timeout'] * 1000;
  }

  /** Attributes have come: the pages are still good, or they go. False when a change has overtaken the answer. */
  #validate(file: FileState, iatt: Iatt, asked: Asked): boolean {
    if (!this.#mayLearn(file, asked)) return false;
    if (!file.iatt || !sameData(file.iatt, iatt)) this.#store.clear(file.pages);
    file.iatt = isUsable(iatt) ? iatt : undefined;
    file.validAtMs = asked.atMs;
    return true;
  }

  #reset(file: FileState): void {
    this.#store.clear(file.pages);
    file.iatt = undefined;
    file.validAtMs = Number.NEGATIVE_INFINITY;
    file.changed = ++this.#serial;
  }

  // --- reading ---

  async #read(call: Call, args: Args<'readv'>): Promise<Reply<'readv'>> {
    const { fd, size } = args;
    const past = (fd.flags & openDirect) !== 0 || size === 0 || size > this.#values['cache-size'] / 2;
    if (past) return this.child.readv(call, args);
    const file = this.#file(fd.gfid);
    for (let attempt = 0; attempt < attempts && file.pending === 0; attempt++) {
      if (file.pages.pages.size > 0 && !this.#isValid(file)) {
        const asked = this.#ask();
        const reply = await this.child.fstat(call, { fd });
        if (!reply.ok) return reply;
        if (!this.#validate(file, reply.iatt, asked)) continue;
      }
      const reply = await this.#readPages(call, args, file);
      if (reply) return reply;
    }
    return this.child.readv(call, args);
  }

  /** From pages, those that lack being read in runs; undefined when the file changed on the way. */
  async #readPages(
    call: Call,
    { fd, size, offset }: Args<'readv'>,
    file: FileState,
  ): Promise<Reply<'readv'> | undefined> {
    const first = Math.floor(offset / this.#pageSize);
    const last = Math.floor((offset + size - 1) / this.#pageSize);
    const found = new Map<number, Uint8Array>();
    for (let index = first; index <= last; index++) {
      const data = this.#store.get(file.pages, index);
      if (data) found.set(index, data);
    }
    // The file's end needs no page.
    const end =
      file.iatt && this.#isValid(file) ? Math.ceil(file.iatt.size / this.#pageSize) : Number.POSITIVE_INFINITY;
    const missing = [];
    for (let index = first; index <= last && index < end; index++) if (!found.has(index)) missing.push(index);
    if (missing.length === 0) this.#hits++;
    else this.#misses++;
    const { changed } = file;
    for (const run of runsOf(missing)) {
      const fetched = await this.#fetch(call, fd, file, run);
      if (!fetched.ok) return fetched.failure;
      for (const [index, data] of fetched.pages) found.set(index, data);
    }
    if (file.changed !== changed || !file.iatt) return undefined;
    return { ok: true, data: this.#assemble(found, offset, Math.min(offset + size, file.iatt.size)), iatt: file.iatt };
  }

  async #fetch(
    call: Call,
    fd: Fd,
    file: FileState,
    { first, count }: Run,
  ): Promise<{ ok: true; pages: Map<number, Uint8Array> } | { ok: false; failure: Reply<'readv'> | undefined }> {
    const asked = this.#ask();
    const start = first * this.#pageSize;
    const reply = await this.child.readv(call, { fd, size: count * this.#pageSize, offset: start });
    if (!reply.ok) return { ok: false, failure: reply };
    const { iatt, data } = reply;
    const expected = Math.max(0, Math.min(count * this.#pageSize, iatt.size - start));
    if (!this.#mayLearn(file, asked) || !isUsable(iatt) || data.length !== expected)
      return { ok: false, failure: undefined };
    const had = file.iatt !== undefined && file.pages.pages.size > 0;
    const changed = had && !sameData(file.iatt!, iatt);
    if (changed) this.#reset(file);
    if (changed || !had || !file.iatt) {
      file.iatt = iatt;
      file.validAtMs = asked.atMs;
    }
    // Pages found before this change do not go together with these.
    if (changed) return { ok: false, failure: undefined };
    const pages = new Map<number, Uint8Array>();
    for (let i = 0; i * this.#pageSize < data.length; i++) {
      // A copy of its own: a view would keep the whole buffer of a reply alive, and somebody might write to it.
      const page = new Uint8Array(data.subarray(i * this.#pageSize, (i + 1) * this.#pageSize));
      pages.set(first + i, page);
      if (this.#isCacheable(iatt.size)) this.#store.put(file.pages, first + i, page);
    }
    return { ok: true, pages };
  }

  #isCacheable(size: number): boolean {
    const { 'min-file-size': min, 'max-file-size': max } = this.#values;
    return size >= min && (max === 0 || size <= max);
  }

  #assemble(pages: ReadonlyMap<number, Uint8Array>, offset: number, end: number): Uint8Array {
    if (end <= offset) return new Uint8Array(0);
    const first = Math.floor(offset / this.#pageSize);
    const within = offset - first * this.#pageSize;
    if (end <= (first + 1) * this.#pageSize) return pages.get(first)!.subarray(within, within + end - offset);
    const data = Buffer.allocUnsafe(end - offset);
    for (let at = offset; at < end; ) {
      const index = Math.floor(at / this.#pageSize);
      const from = at - index * this.#pageSize;
      const part = pages.get(index)!.subarray(from, from + end - at);
      data.set(part, at - offset);
      at += part.length;
    }
    return data;
  }

  // --- changing ---

  #begin(file: FileState): number {
    file.pending++;
    file.changed = ++this.#serial;
    return file.changed;
  }

  /** True when no other change was under way at the same time. */
  #end(file: FileState, begun: number): boolean {
    file.pending--;
    const alone = file.pending === 0 && file.changed === begun;
    file.changed = ++this.#serial;
    return alone;
  }

  async #write(call: Call, args: Args<'writev'>): Promise<Reply<'writev'>> {
    const file = this.#file(args.fd.gfid);
    const begun = this.#begin(file);
    let reply: Reply<'writev'> | undefined;
    try {
      reply = await this.child.writev(call, args);
    } finally {
      const alone = this.#end(file, begun);
      const good = alone && reply?.ok && this.#patch(file, args, reply);
      if (!good) this.#reset(file);
    }
    return reply;
  }

  #patch(file: FileState, args: Args<'writev'>, reply: Success<'writev'>): boolean {
    if (!file.iatt || file.pages.pages.size === 0) return false;
    return patchPages(this.#store, this.#pageSize, file, args, reply);
  }

  /** Data changes in other ways: the pages of the files concerned go, before and after. */
  async #changing(name: FopName, down: Fop<FopName>, call: Call, args: Args<FopName>): Promise<Reply<FopName>> {
    const gfids = name === 'compound' ? changedBySteps((args as Args<'compound'>).steps) : changedBy(name, args);
    if (gfids.length === 0) return down(call, args);
    if (gfids.includes(nullGfid)) this.#forgetAll();
    const begun = gfids.filter((gfid) => gfid !== nullGfid).map((gfid) => this.#file(gfid));
    for (const file of begun) {
      this.#reset(file);
      this.#begin(file);
    }
    try {
      return await down(call, args);
    } finally {
      if (gfids.includes(nullGfid)) this.#forgetAll();
      for (const file of begun) {
        this.#end(file, -1);
        this.#reset(file);
      }
    }
  }

  /** A file is changed of which only the name is known here. */
  #forgetAll(): void {
    for (const inode of this.services.inodes.all()) {
      const file = inode.slots[this.slot] as FileState | undefined;
      if (file) this.#reset(file);
    }
    this.#floor = ++this.#serial;
  }

  /** Attributes that pass by tell whether pages are still good. */
  async #watching(name: FopName, down: Fop<FopName>, call: Call, args: Args<FopName>): Promise<Reply<FopName>> {
    const asked = this.#ask();
    const reply = await down(call, args);
    if (!reply.ok) return reply;
    const iatts =
      name === 'readdirp'
        ? (reply as Success<'readdirp'>).entries.flatMap((entry) => (entry.iatt ? [entry.iatt] : []))
        : [(reply as Success<'stat'>).iatt];
    for (const iatt of iatts) {
      const file = this.#known(iatt.gfid);
      if (file) this.#validate(file, iatt, asked);
    }
    return reply;
  }

  override dump(): Record<string, string | number> {
    return {
      page_size: this.#pageSize,
      cache_size: this.#values['cache-size'],
      cache_used: this.#store.usedBytes,
      cache_timeout: this.#values['cache-timeout'],
      'min-file-size': this.#values['min-file-size'],
      'max-file-size': this.#values['max-file-size'],
      hits: this.#hits,
      misses: this.#misses,
    };
  }
}

interface Run {
  readonly first: number;
  readonly count: number;
}

/** Neighbours together. */
function runsOf(indices: readonly number[]): Run[] {
  const runs: { first: number; count: number }[] = [];
  for (const index of indices) {
    const last = runs.at(-1);
    if (last && last.first + last.count === index) last.count++;
    else runs.push({ first: index, count: 1 });
  }
  return runs;
}

export const xlator: XlatorType<typeof options> = {
  type: 'performance/io-cache',
  description: 'Keeps what was read, within a bound of bytes.',
  options,
  subvolumes: { min: 1, max: 1 },
  keeps: 'nothing',
  create: (init) => new IoCache(init),
};
