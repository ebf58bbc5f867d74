/**
 * Which small files are likely to be opened next: those that follow, in the order of a directory's listing, of its names or of its inode
 * numbers, on the last that were opened. Pure.
 */
import { type ByteString, type Dirent, FileType, type Gfid, nullGfid } from '@mortar/core';

const directoriesMax = 32;
/** Names of a directory that are remembered. */
const entriesMax = 16_384;
/** One that follows so closely is the next: some are skipped by who reads all of a kind. */
const near = 4;
/** Followers in a row before anything is opened ahead. */
const runMin = 2;
const windowMin = 8;
const windowMax = 64;
/** Under way at a time. */
const underWayMax = 64;
/** Opened ahead in vain, more often than not, before that ends for a directory: its bricks may give no contents, or the disk be slow. */
const vainMax = 16;
/** Then it is tried again, a little, after so many opens. */
const restOpens = 512;

/** Where the inode number begins in a gfid's text. */
const numberAt = 19;

interface Listed {
  readonly name: ByteString;
  readonly gfid: Gfid;
}

/** One order in which a directory may be read. */
class Order {
  readonly entries: Listed[] = [];
  readonly places = new Map<Gfid, number>();
  last = -1;
  run = 0;
  /** Opened ahead up to here. */
  ahead = 0;
  window = windowMin;

  add(entry: Listed): void {
    this.places.set(entry.gfid, this.entries.length);
    this.entries.push(entry);
  }

  /** What was known of the order when it had fewer entries. */
  goOn({ last, run, ahead, window, entries }: Order): void {
    const placeOf = (at: number) => this.places.get(entries[at]?.gfid ?? nullGfid);
    this.last = placeOf(last) ?? -1;
    this.run = run;
    this.window = window;
    this.ahead = (placeOf(ahead - 1) ?? -1) + 1;
  }

  /** Whom to open next. */
  opened(gfid: Gfid): Gfid[] {
    const at = this.places.get(gfid);
    if (at === undefined) return [];
    const step = at - this.last;
    this.last = at;
    if (step === 0) return [];
    if (step < 0 || step > near) {
      this.run = 0;
      this.window = windowMin;
      this.ahead = at + 1;
      return [];
    }
    this.run++;
    if (this.run < runMin) return [];
    this.ahead = Math.max(this.ahead, at + 1);
    // The next ones are asked for when half of the last ones are used.
    if (this.ahead - at > this.window / 2) return [];
    const next = this.entries.slice(this.ahead, at + 1 + this.window);
    this.ahead += next.length;
    this.window = Math.min(windowMax, this.window * 2);
    return next.map((entry) => entry.gfid);
  }
}

/** The same entries in an order of their own. */
class SortedOrder {
  readonly #keyOf: (entry: Listed) => string;
  #order = new Order();

  constructor(keyOf: (entry: Listed) => string) {
    this.#keyOf = keyOf;
  }

  /** `entries`: all there are; they only become more. */
  of(entries: readonly Listed[]): Order {
    if (this.#order.entries.length === entries.length) return this.#order;
    const keyed = entries.map((entry) => ({ key: this.#keyOf(entry), entry }));
    const sorted = new Order();
    for (const { entry } of keyed.sort((a, b) => (a.key < b.key ? -1 : 1))) sorted.add(entry);
    sorted.goOn(this.#order);
    this.#order = sorted;
    return sorted;
  }
}

class Directory {
  readonly listed = new Order();
  /** By name, as shells and many programs go through a directory. */
  readonly #named = new SortedOrder(({ name }) => name);
  /** By inode number, as `cp -r` does: the last eight bytes of the gfid. */
  readonly #numbered = new SortedOrder(({ gfid }) => gfid.slice(numberAt));
  /** Of what was opened ahead and then asked for: how much more often it was there than not. */
  #balance = 0;
  #rested = 0;

  get isWorthIt(): boolean {
    if (this.#balance > -vainMax) return true;
    if (++this.#rested % restOpens === 0) this.#balance += vainMax / 4;
    return false;
  }

  tried(wasThere: boolean): void {
    this.#balance = Math.max(-vainMax, Math.min(vainMax, this.#balance + (wasThere ? 1 : -1)));
  }

  add(entries: readonly Listed[]): Listed[] {
    const fresh = entries.filter(({ gfid }) => !this.listed.places.has(gfid));
    for (const entry of fresh) this.listed.add(entry);
    return fresh;
  }

  /** Whom to open next, by any of the orders. */
  opened(gfid: Gfid): Set<Gfid> {
    const { entries } = this.listed;
    const orders = [this.listed, this.#named.of(entries), this.#numbered.of(entries)];
    return new Set(orders.flatMap((order) => order.opened(gfid)));
  }
}

export class OpenAhead {
  maxFileBytes: number;
  /** The one that was listed last comes last. */
  readonly #directories = new Map<Gfid, Directory>();
  readonly #directoryOf = new Map<Gfid, Directory>();
  /** Opened ahead, and not asked for yet. */
  readonly #unused = new Set<Gfid>();
  #underWay = 0;
  readonly counts = { opened: 0, used: 0 };

  constructor(maxFileBytes: number) {
    this.maxFileBytes = maxFileBytes;
  }

  /** A directory was listed with attributes. */
  listed(parent: Gfid, entries: readonly Dirent[]): void {
    const small = entries.flatMap(({ name, iatt }) =>
      iatt && iatt.type === FileType.regular && iatt.size > 0 && iatt.size <= this.maxFileBytes
        ? [{ name, gfid: iatt.gfid }]
        : [],
    );
    if (small.length === 0) return;
    const directory = this.#directory(parent);
    for (const { gfid } of directory.add(small)) this.#directoryOf.set(gfid, directory);
  }

  #directory(gfid: Gfid): Directory {
    let directory = this.#directories.get(gfid);
    this.#directories.delete(gfid);
    if (directory && directory.listed.entries.length >= entriesMax) {
      this.#forget(directory);
      directory = undefined;
    }
    directory ??= new Directory();
    this.#directories.set(gfid, directory);
    if (this.#directories.size > directoriesMax) {
      const [[oldest, forgotten]] = this.#directories as Iterable<[Gfid, Directory]> as [[Gfid, Directory]];
      this.#directories.delete(oldest);
      this.#forget(forgotten);
    }
    return directory;
  }

  #forget(directory: Directory): void {
    for (const { gfid } of directory.listed.entries)
      if (this.#directoryOf.get(gfid) === directory) this.#directoryOf.delete(gfid);
  }

  /**
   * Somebody opens a small file to read it, and nobody had to be asked (`wasHeld`): what to open ahead. `arrived` is called for each when
   * that has ended.
   */
  opened(gfid: Gfid, wasHeld: boolean): Gfid[] {
    const directory = this.#directoryOf.get(gfid);
    if (this.#unused.delete(gfid)) {
      if (wasHeld) this.counts.used++;
      directory?.tried(wasHeld);
    }
    if (!directory?.isWorthIt) return [];
    const chosen = [...directory.opened(gfid)].slice(0, underWayMax - this.#underWay);
    this.#underWay += chosen.length;
    this.counts.opened += chosen.length;
    if (this.#unused.size > entriesMax) this.#unused.clear();
    for (const one of chosen) this.#unused.add(one);
    return chosen;
  }

  arrived(): void {
    this.#underWay--;
  }
}
