/** A translator that keeps what was read, within a bound of bytes, as long as the file does not change (docs/io-cache.md). */
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
} from '@mortar/core';
import { lockedBy } from '../locked.ts';
import { losesUpcalls } from '../loses-upcalls.ts';
import { changedBy, changedBySteps } from './changes.ts';
import { type FileState, isUsable, sameData } from './file-state.ts';
import { type Asked, KnownFiles } from './known-files.ts';
import { patchPages } from './patch.ts';
import type { CacheSettings } from './settings.ts';

const accessMode = 0o3;
const openDirect = 0o40000;
const openTruncate = 0o1000;
/** A file that changes while it is read is read again so often, then past the cache. */
const attempts = 2;

export abstract class DataCache extends Xlator {
  protected readonly files: KnownFiles;
  #settings: CacheSettings;
  #hits = 0;
  #misses = 0;

  /** `pageBytes`: what is read and kept together, a power of two. */
  constructor(init: XlatorInit, settings: CacheSettings, pageBytes: number) {
    super(init);
    this.#settings = settings;
    const { clock, inodes } = this.services;
    this.files = new KnownFiles({ clock, inodes, slot: this.slot }, settings, pageBytes);
  }

  /** Of the options, whenever they change. */
  protected abstract settings(values: OptionValues<OptionTable>): CacheSettings;

  override reconfigure(values: OptionValues<OptionTable>): void {
    this.#settings = this.settings(values);
    this.files.reconfigure(this.#settings);
  }

  override notify(event: GraphEvent, from: Xlator | null): void {
    if (event.type === 'upcall' && event.what === 'data') this.files.changed(event.gfid);
    if (event.type === 'upcall' && event.what === 'metadata') {
      const file = this.files.find(event.gfid);
      if (file) file.validAtMs = Number.NEGATIVE_INFINITY;
    }
    // Without a connection nobody tells of changes.
    if (losesUpcalls(event)) this.files.distrust();
    super.notify(event, from);
  }

  protected override forget(_inode: Inode, state: unknown): void {
    this.files.forget(state as FileState);
  }

  protected override bindFop<N extends FopName>(name: N, next: Fops[N]): Fops[N] {
    const down = next as Fop<FopName>;
    const own = this.#ownFop(name, down);
    if (!own) return next;
    const run: Fop<FopName> = (call, args) => (this.#settings.passThrough ? down(call, args) : own(call, args));
    return run as unknown as Fops[N];
  }

  #ownFop(name: FopName, down: Fop<FopName>): Fop<FopName> | undefined {
    if (name === 'readv') return ((call, args) => this.#read(call, args)) as Fop<'readv'> as unknown as Fop<FopName>;
    if (name === 'writev') return ((call, args) => this.#write(call, args)) as Fop<'writev'> as unknown as Fop<FopName>;
    if (name === 'compound') return (call, args) => this.#changing(name, down, call, args);
    if (name === 'open') return ((call, args) => this.#open(call, args)) as Fop<'open'> as unknown as Fop<FopName>;
    if (name === 'lk') return (call, args) => this.#locking(down, call, args);
    if (name === 'create' || name === 'put') return (call, args) => this.#making(name, down, call, args);
    if (fops[name].class === 'data' && name !== 'fsync' && name !== 'fsyncdir')
      return (call, args) => this.#changing(name, down, call, args);
    if (name === 'lookup' || name === 'stat' || name === 'fstat' || name === 'readdirp')
      return (call, args) => this.#watching(name, down, call, args);
    return undefined;
  }

  // --- reading ---

  async #read(call: Call, args: Args<'readv'>): Promise<Reply<'readv'>> {
    const { fd, size } = args;
    const past = (fd.flags & openDirect) !== 0 || size === 0 || size > this.#settings.cacheBytes / 2;
    if (past) return this.child.readv(call, args);
    const file = this.#settings.reads ? this.files.get(fd.gfid) : this.#whole(fd.gfid);
    if (!file) return this.child.readv(call, args);
    for (let attempt = 0; attempt < attempts && file.pending === 0; attempt++) {
      if (file.pages.pages.size > 0 && !this.files.isValid(file)) {
        const asked = this.files.ask();
        const reply = await this.child.fstat(call, { fd });
        if (!reply.ok) return reply;
        if (!this.files.validate(file, reply.iatt, asked)) continue;
      }
      const reply = await this.#readPages(call, args, file);
      if (reply) return reply;
    }
    return this.child.readv(call, args);
  }

  /** Whether a read of the file is answered from what is kept. */
  protected isKept(gfid: Gfid): boolean {
    return this.#whole(gfid) !== undefined;
  }

  /** A file that is kept and believed: to ask whether it is still the same costs what reading it does. */
  #whole(gfid: Gfid): FileState | undefined {
    const file = this.files.find(gfid);
    return file && file.pages.pages.size > 0 && this.files.isValid(file) ? file : undefined;
  }

  /** From pages, those that lack being read in runs; undefined when the file changed on the way. */
  async #readPages(
    call: Call,
    { fd, size, offset }: Args<'readv'>,
    file: FileState,
  ): Promise<Reply<'readv'> | undefined> {
    const first = Math.floor(offset / this.files.pageBytes);
    const last = Math.floor((offset + size - 1) / this.files.pageBytes);
    const found = new Map<number, Uint8Array>();
    for (let index = first; index <= last; index++) {
      const data = this.files.store.get(file.pages, index);
      if (data) found.set(index, data);
    }
    // The file's end needs no page.
    const end =
      file.iatt && this.files.isValid(file)
        ? Math.ceil(file.iatt.size / this.files.pageBytes)
        : Number.POSITIVE_INFINITY;
    const missing = [];
    for (let index = first; index <= last && index < end; index++) if (!found.has(index)) missing.push(index);
    if (missing.length === 0) this.#hits++;
    else this.#misses++;
    if (missing.length > 0 && !this.#settings.reads) return undefined;
    const { changed } = file;
    for (const run of runsOf(missing)) {
      const fetched = await this.#fetch(call, fd, file, run);
      if (!fetched.ok) return fetched.failure;
      for (const [index, data] of fetched.pages) found.set(index, data);
    }
    if (file.changed !== changed || !file.iatt) return undefined;
    const data = this.#assemble(found, offset, Math.min(offset + size, file.iatt.size));
    return { ok: true, data, iatt: file.iatt, xdata: { ageMs: this.files.ageMs(file) } };
  }

  async #fetch(
    call: Call,
    fd: Fd,
    file: FileState,
    { first, count }: Run,
  ): Promise<{ ok: true; pages: Map<number, Uint8Array> } | { ok: false; failure: Reply<'readv'> | undefined }> {
    const asked = this.files.ask();
    const start = first * this.files.pageBytes;
    const reply = await this.child.readv(call, { fd, size: count * this.files.pageBytes, offset: start });
    if (!reply.ok) return { ok: false, failure: reply };
    const { iatt, data } = reply;
    const expected = Math.max(0, Math.min(count * this.files.pageBytes, iatt.size - start));
    const isLate = !this.files.mayLearn(file, asked) || this.files.isOutdated(file, iatt, asked);
    if (isLate || !isUsable(iatt) || data.length !== expected) return { ok: false, failure: undefined };
    const had = file.iatt !== undefined && file.pages.pages.size > 0;
    const changed = had && !sameData(file.iatt!, iatt);
    if (changed) this.files.reset(file);
    if (asked.order >= file.order && (changed || !had || !file.iatt)) {
      file.iatt = iatt;
      file.validAtMs = asked.atMs;
      file.order = asked.order;
    }
    // Pages found before this change do not go together with these.
    if (changed) return { ok: false, failure: undefined };
    return { ok: true, pages: this.files.keep(file, iatt, data, first) };
  }

  #assemble(pages: ReadonlyMap<number, Uint8Array>, offset: number, end: number): Uint8Array {
    if (end <= offset) return new Uint8Array(0);
    const first = Math.floor(offset / this.files.pageBytes);
    const within = offset - first * this.files.pageBytes;
    if (end <= (first + 1) * this.files.pageBytes) return pages.get(first)!.subarray(within, within + end - offset);
    const data = Buffer.allocUnsafe(end - offset);
    for (let at = offset; at < end; ) {
      const index = Math.floor(at / this.files.pageBytes);
      const from = at - index * this.files.pageBytes;
      const part = pages.get(index)!.subarray(from, from + end - at);
      data.set(part, at - offset);
      at += part.length;
    }
    return data;
  }

  // --- opening ---

  /** Who opens a file sees what others had written and closed before: what is kept is checked against what the open says. */
  async #open(call: Call, args: Args<'open'>): Promise<Reply<'open'>> {
    const { fd, flags } = args;
    if (flags & openTruncate) return this.#changing('open', this.child.open as Fop<FopName>, call, args);
    const asked = this.files.ask();
    const known = this.files.find(fd.gfid);
    const contents = this.#wanted(flags, known);
    // Known from now on, so that what later opens are told is noted.
    const file = contents > 0 ? this.files.get(fd.gfid) : known;
    const reply = await this.child.open(call, contents > 0 ? { ...args, contents } : args);
    if (!reply.ok) return reply;
    const { data, ...rest } = reply;
    const { iatt } = reply;
    if (file && !(iatt && this.files.validate(file, iatt, asked))) this.files.unknownSince(file, asked);
    // Somebody above may have asked for it, too.
    if (data && iatt && file && contents > 0) this.#learn(file, iatt, data, asked);
    return args.contents ? reply : rest;
  }

  /** So does who locks it, what others had written under their locks. */
  async #locking(down: Fop<FopName>, call: Call, args: Args<FopName>): Promise<Reply<FopName>> {
    const reply = await down(call, args);
    const gfid = lockedBy('lk', args, reply);
    const file = gfid && this.files.find(gfid);
    if (file) this.files.doubt(file);
    return reply;
  }

  #wanted(flags: number, file: FileState | undefined): number {
    const isForReading = (flags & accessMode) === 0 && (flags & openDirect) === 0;
    return isForReading && !file?.pages.pages.size ? this.#settings.withOpenBytes : 0;
  }

  #learn(file: FileState, iatt: Iatt, data: Uint8Array, asked: Asked): void {
    if (isUsable(iatt) && data.length === iatt.size && this.files.validate(file, iatt, asked))
      this.files.keep(file, iatt, data, 0);
  }

  // --- changing ---

  async #write(call: Call, args: Args<'writev'>): Promise<Reply<'writev'>> {
    const file = this.files.get(args.fd.gfid);
    const begun = this.files.begin(file);
    let reply: Reply<'writev'> | undefined;
    try {
      reply = await this.child.writev(call, args);
    } finally {
      const alone = this.files.end(file, begun);
      const good = alone && reply?.ok && this.#patch(file, args, reply);
      if (!good) this.files.reset(file);
    }
    return reply;
  }

  #patch(file: FileState, args: Args<'writev'>, reply: Success<'writev'>): boolean {
    if (!file.iatt || file.pages.pages.size === 0) return false;
    return patchPages(this.files.store, this.files.pageBytes, file, args, reply);
  }

  /** Data changes in other ways: the pages of the files concerned go, before and after. */
  async #changing(name: FopName, down: Fop<FopName>, call: Call, args: Args<FopName>): Promise<Reply<FopName>> {
    const gfids = name === 'compound' ? changedBySteps((args as Args<'compound'>).steps) : changedBy(name, args);
    if (gfids.length === 0) return down(call, args);
    if (gfids.includes(nullGfid)) this.files.distrust();
    const begun = gfids.filter((gfid) => gfid !== nullGfid).map((gfid) => this.files.get(gfid));
    for (const file of begun) {
      this.files.reset(file);
      this.files.begin(file);
    }
    try {
      return await down(call, args);
    } finally {
      if (gfids.includes(nullGfid)) this.files.distrust();
      for (const file of begun) {
        this.files.end(file, -1);
        this.files.reset(file);
      }
    }
  }

  /** A file may have been there under that name, and be empty now: the reply says which. */
  async #making(name: FopName, down: Fop<FopName>, call: Call, args: Args<FopName>): Promise<Reply<FopName>> {
    if (!changedBy(name, args).includes(nullGfid)) return this.#changing(name, down, call, args);
    const reply = await down(call, args);
    if (reply.ok) this.files.changed((reply as Success<'create'>).iatt.gfid);
    else this.files.distrust();
    return reply;
  }

  /** Attributes that pass by tell whether pages are still good. */
  async #watching(name: FopName, down: Fop<FopName>, call: Call, args: Args<FopName>): Promise<Reply<FopName>> {
    const asked = this.files.ask();
    const reply = await down(call, args);
    if (!reply.ok) return reply;
    const iatts =
      name === 'readdirp'
        ? (reply as Success<'readdirp'>).entries.flatMap((entry) => (entry.iatt ? [entry.iatt] : []))
        : [(reply as Success<'stat'>).iatt];
    for (const iatt of iatts) {
      const file = this.files.find(iatt.gfid);
      if (file) this.files.validate(file, iatt, asked);
    }
    return reply;
  }

  override dump(): Record<string, string | number> {
    const { cacheBytes, timeoutMs, minFileBytes, maxFileBytes } = this.#settings;
    return {
      page_size: this.files.pageBytes,
      cache_size: cacheBytes,
      cache_used: this.files.store.usedBytes,
      cache_timeout: timeoutMs / 1000,
      'min-file-size': minFileBytes,
      'max-file-size': maxFileBytes,
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
