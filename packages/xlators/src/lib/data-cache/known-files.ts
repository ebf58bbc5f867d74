/** What a cache of data knows of files: their pages, under which attributes these are valid, and changes that are under way. */
import type { Clock, Gfid, Iatt, Inode, InodeTable } from '@mortar/core';
import { type Delegation, FileState, isUsable, sameData } from './file-state.ts';
import { PageStore } from './pages.ts';
import { Priorities } from './priority.ts';
import type { CacheSettings } from './settings.ts';

/** Of what a brick promises by its clock a client relies on so much by its own. */
const clocksAgree = 0.9;

/** When something was asked; what was changed since is not learned from the answer. */
export interface Asked {
  readonly atMs: number;
  readonly serial: number;
  /** Counts questions: of two answers that of the later one tells how it is, whichever comes first. */
  readonly order: number;
}

export interface KnownFilesHost {
  readonly clock: Clock;
  readonly inodes: InodeTable;
  /** Where an inode has its state of this cache. */
  readonly slot: number;
}

export class KnownFiles {
  readonly store: PageStore;
  readonly pageBytes: number;
  readonly #host: KnownFilesHost;
  #settings: CacheSettings;
  #priorities: Priorities;
  #serial = 0;
  #questions = 0;
  /** Answers to questions from before this serial are not kept: what was known of their files was forgotten. */
  #floor = 0;
  /** What was validated until then is to be validated again. */
  #distrustMs = Number.NEGATIVE_INFINITY;
  /** Delegations of until then do not count. */
  #delegatedSinceMs = Number.NEGATIVE_INFINITY;

  /** `pageBytes`: what is kept together, a power of two. */
  constructor(host: KnownFilesHost, settings: CacheSettings, pageBytes: number) {
    this.#host = host;
    this.#settings = settings;
    this.#priorities = new Priorities(settings.priority);
    this.store = new PageStore(settings.cacheBytes);
    this.pageBytes = pageBytes;
  }

  /** Nothing that was known is believed: while the cache did nothing it saw no changes. */
  reconfigure(settings: CacheSettings): void {
    this.#settings = settings;
    this.#priorities = new Priorities(settings.priority);
    this.store.limitBytes = settings.cacheBytes;
    this.store.shrink();
    for (const inode of this.#host.inodes.all()) {
      const file = inode.slots[this.#host.slot] as FileState | undefined;
      if (!file) continue;
      this.store.setWeight(file.pages, this.#weightOf(inode));
      this.reset(file);
    }
  }

  find(gfid: Gfid): FileState | undefined {
    return this.#host.inodes.find(gfid)?.slots[this.#host.slot] as FileState | undefined;
  }

  get(gfid: Gfid): FileState {
    const inode = this.#host.inodes.get(gfid);
    let file = inode.slots[this.#host.slot] as FileState | undefined;
    if (!file) {
      file = new FileState(this.#weightOf(inode), this.#floor);
      inode.slots[this.#host.slot] = file;
    }
    return file;
  }

  #weightOf({ gfid, name }: Inode): number {
    return this.#priorities.weightOf(name, this.#host.inodes.pathOf(gfid));
  }

  ask(): Asked {
    return { atMs: this.#host.clock.nowMs(), serial: this.#serial, order: ++this.#questions };
  }

  mayLearn(file: FileState, asked: Asked): boolean {
    return file.pending === 0 && file.changed <= asked.serial && asked.serial >= this.#floor;
  }

  ageMs(file: FileState): number {
    return this.#host.clock.nowMs() - file.validAtMs;
  }

  isValid(file: FileState): boolean {
    return file.iatt !== undefined && file.validAtMs > this.#distrustMs && this.ageMs(file) < this.#settings.timeoutMs;
  }

  /** Whether an answer tells otherwise than that to a later question has told. */
  isOutdated(file: FileState, iatt: Iatt, asked: Asked): boolean {
    return asked.order < file.order && !(file.iatt && sameData(file.iatt, iatt));
  }

  /** A later question than others was put, and has not told how the file is. */
  unknownSince(file: FileState, asked: Asked): void {
    file.validAtMs = Number.NEGATIVE_INFINITY;
    file.order = Math.max(file.order, asked.order);
  }

  /** Attributes have come: the pages are still good, or they go. False when a change or a later answer has overtaken this one. */
  validate(file: FileState, iatt: Iatt, asked: Asked): boolean {
    if (!this.mayLearn(file, asked) || this.isOutdated(file, iatt, asked)) return false;
    if (asked.order < file.order) return true;
    file.order = asked.order;
    if (!file.iatt || !sameData(file.iatt, iatt)) this.store.clear(file.pages);
    file.iatt = isUsable(iatt) ? iatt : undefined;
    file.validAtMs = asked.atMs;
    return true;
  }

  /** The bricks ask before somebody else changes the file, since it was asked for. */
  delegated(file: FileState, asked: Asked, forMs: number, { uid, gid, groups }: Delegation['opener']): void {
    const { atMs: askedMs, serial } = asked;
    file.delegation = { askedMs, serial, untilMs: askedMs + forMs * clocksAgree, opener: { uid, gid, groups } };
  }

  /** All that a file holds is here, and nobody changes it: for who was allowed to open it, it is as good as opened again. */
  isHeld(file: FileState, { uid, gid, groups }: Delegation['opener']): boolean {
    const { delegation, iatt } = file;
    if (!delegation || !iatt || file.pending > 0 || file.changed > delegation.serial) return false;
    if (delegation.askedMs <= this.#delegatedSinceMs || delegation.untilMs <= this.#host.clock.nowMs()) return false;
    const { opener } = delegation;
    const isSame = opener.uid === uid && opener.gid === gid && opener.groups.join() === groups.join();
    return isSame && iatt.size <= this.pageBytes && file.pages.pages.size === 1;
  }

  /** Others may have changed it until now: it is asked whether it is the same. */
  doubt(file: FileState): void {
    this.touched(file);
    file.validAtMs = Number.NEGATIVE_INFINITY;
  }

  /** This client changes attributes of a file: what was asked before tells of others. */
  touched(file: FileState): void {
    file.delegation = undefined;
    file.changed = ++this.#serial;
  }

  /** This client changes a file, and it is not known which. */
  giveUpDelegations(): void {
    this.#delegatedSinceMs = this.#host.clock.nowMs();
  }

  /** What is kept of a held file is what it is now. */
  believe(file: FileState): void {
    file.validAtMs = this.#host.clock.nowMs();
  }

  /** Copies of the pages in `data`, the first of which has the number `first`; kept if the file is one that is. */
  keep(file: FileState, iatt: Iatt, data: Uint8Array, first: number): Map<number, Uint8Array> {
    const { minFileBytes, maxFileBytes } = this.#settings;
    const isKept = iatt.size >= minFileBytes && (maxFileBytes === 0 || iatt.size <= maxFileBytes);
    const pages = new Map<number, Uint8Array>();
    for (let i = 0; i * this.pageBytes < data.length; i++) {
      // A copy of its own: a view would keep the whole buffer of a reply alive, and somebody might write to it.
      const page = new Uint8Array(data.subarray(i * this.pageBytes, (i + 1) * this.pageBytes));
      pages.set(first + i, page);
      if (isKept) this.store.put(file.pages, first + i, page);
    }
    return pages;
  }

  reset(file: FileState): void {
    this.store.clear(file.pages);
    file.iatt = undefined;
    file.validAtMs = Number.NEGATIVE_INFINITY;
    file.changed = ++this.#serial;
  }

  /** The data of a file was changed; answers about it that are on their way are of before. */
  changed(gfid: Gfid): void {
    // The floor is for files of which nothing can be noted: it makes answers about all others worthless, too.
    if (this.#host.inodes.find(gfid)) this.reset(this.get(gfid));
    else this.#floor = ++this.#serial;
  }

  /** The inode table has let go of a file. */
  forget(file: FileState): void {
    this.store.clear(file.pages);
    this.#floor = ++this.#serial;
  }

  /** Somebody may have changed anything: of each file it is asked whether it is the same. */
  distrust(): void {
    this.#distrustMs = this.#host.clock.nowMs();
    this.giveUpDelegations();
    this.#floor = ++this.#serial;
  }

  /** A change by this client begins: until its end nothing is learned of the file. */
  begin(file: FileState): number {
    file.pending++;
    file.changed = ++this.#serial;
    return file.changed;
  }

  /** True when no other change was under way at the same time. */
  end(file: FileState, begun: number): boolean {
    file.pending--;
    const alone = file.pending === 0 && file.changed === begun;
    file.changed = ++this.#serial;
    return alone;
  }
}
