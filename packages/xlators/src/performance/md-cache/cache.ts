/**
 * What is known of inodes, each item with the time it was asked for and a serial number: an answer counts only if
 * nothing was changed, nor told to be changed, since its question was put.
 */
import type { ByteString, Gfid, Iatt, Inode, InodeTable, Xattrs } from '@mortar/core';

interface Binding {
  readonly parent: Gfid;
  readonly name: ByteString;
  readonly atMs: number;
  /** The parent's `namesChanged` then. */
  readonly serial: number;
  /** It was told by a listing ahead, and nobody has asked for it yet. */
  isAhead: boolean;
}

export class Entry {
  iatt: Iatt | undefined;
  iattAtMs = 0;
  xattrs: Xattrs | undefined;
  xattrsAtMs = 0;
  /** The last name under which a lookup found it. */
  binding: Binding | undefined;
  /** Serial of the last change. */
  changed: number;
  /** Changes on their way. */
  pending = 0;
  /** Of a directory: serial of the last change of its names by others. */
  namesChanged: number;

  constructor(serial: number) {
    this.changed = serial;
    this.namesChanged = serial;
  }
}

/** When a question was put. */
export interface Asked {
  readonly atMs: number;
  readonly serial: number;
}

const namesKept = 65536;

export class Cache {
  readonly #inodes: InodeTable;
  readonly #slot: number;
  readonly #now: () => number;
  #serial = 0;
  /** Nothing from before this serial is believed: messages may have been lost. */
  #floor = 0;
  /** Of an inode that has no entry nothing from before this serial is believed: it may have had one that knew better. */
  #forgottenAt = 0;
  /** Which inode a name led to, null for none: for changes that name their target only by name. */
  readonly #names = new Map<string, { gfid: Gfid | null; serial: number }>();
  /** Serial of the latest name that was forgotten. */
  #namesFloor = 0;
  timeoutMs = 1000;
  readonly counts = { hits: 0, misses: 0, xattrHits: 0, xattrMisses: 0, invalidations: 0 };

  constructor(inodes: InodeTable, slot: number, now: () => number) {
    this.#inodes = inodes;
    this.#slot = slot;
    this.#now = now;
  }

  ask(): Asked {
    return { atMs: this.#now(), serial: this.#serial };
  }

  /** An inode left the table: answers about it that are still on their way are not kept. */
  forgot(): void {
    this.#forgottenAt = ++this.#serial;
  }

  /** Everything: messages about changes may have been lost. */
  clear(): void {
    this.#floor = ++this.#serial;
    this.#names.clear();
  }

  #find(gfid: Gfid): Entry | undefined {
    return this.#inodes.find(gfid)?.slots[this.#slot] as Entry | undefined;
  }

  #entry(gfid: Gfid): Entry {
    const inode: Inode = this.#inodes.get(gfid);
    let entry = inode.slots[this.#slot] as Entry | undefined;
    if (!entry) {
      entry = new Entry(Math.max(this.#floor, this.#forgottenAt));
      inode.slots[this.#slot] = entry;
    }
    return entry;
  }

  #fresh(entry: Entry, atMs: number): boolean {
    return entry.pending === 0 && entry.changed >= this.#floor && this.#now() - atMs < this.timeoutMs;
  }

  // --- reading ---

  iattOf(gfid: Gfid): Iatt | undefined {
    const entry = this.#find(gfid);
    return entry?.iatt && this.#fresh(entry, entry.iattAtMs) ? entry.iatt : undefined;
  }

  /** How long ago its attributes were asked for; or, if that is longer ago, its name. */
  ageMs(gfid: Gfid, withName = false): number {
    const entry = this.#find(gfid);
    if (!entry) return 0;
    const { iattAtMs, binding } = entry;
    return Math.max(0, this.#now() - (withName && binding ? Math.min(iattAtMs, binding.atMs) : iattAtMs));
  }

  xattrsOf(gfid: Gfid): Xattrs | undefined {
    const entry = this.#find(gfid);
    return entry?.xattrs && this.#fresh(entry, entry.xattrsAtMs) ? entry.xattrs : undefined;
  }

  /** Whether the name is known to lead to the inode. */
  isBound(gfid: Gfid, parent: Gfid, name: ByteString): boolean {
    const binding = this.#find(gfid)?.binding;
    if (!binding || binding.parent !== parent || binding.name !== name) return false;
    const directory = this.#find(parent);
    if (!directory || directory.namesChanged > binding.serial || binding.serial < this.#floor) return false;
    return this.#now() - binding.atMs < this.timeoutMs && this.targetOf(parent, name) === gfid;
  }

  // --- learning ---

  /** True when it shows that somebody else changed the data since it was last learned. */
  learnIatt(iatt: Iatt, asked: Asked): boolean {
    const entry = this.#entry(iatt.gfid);
    // Of two answers that of the later question counts, whichever comes first.
    if (!this.#mayLearn(entry, asked) || (entry.iatt && asked.atMs < entry.iattAtMs)) return false;
    const before = entry.iatt;
    // A file without a name ends when it is closed, which nobody tells.
    entry.iatt = iatt.nlink > 0 ? iatt : undefined;
    entry.iattAtMs = asked.atMs;
    return before !== undefined && (before.mtime !== iatt.mtime || before.mtimeNsec !== iatt.mtimeNsec);
  }

  learnXattrs(gfid: Gfid, xattrs: Xattrs, asked: Asked): void {
    const entry = this.#entry(gfid);
    if (!this.#mayLearn(entry, asked)) return;
    entry.xattrs = xattrs;
    entry.xattrsAtMs = asked.atMs;
  }

  /** Whether a listing ahead told of its name and this is the first lookup of it. */
  takeAhead(gfid: Gfid): boolean {
    const binding = this.#find(gfid)?.binding;
    if (!binding?.isAhead) return false;
    binding.isAhead = false;
    return true;
  }

  /** `gfid` null: there is nothing under that name. */
  learnName(parent: Gfid, name: ByteString, gfid: Gfid | null, asked: Asked, isAhead = false): void {
    const directory = this.#entry(parent);
    if (directory.namesChanged > asked.serial || asked.serial < Math.max(this.#floor, this.#namesFloor)) return;
    const known = this.#names.get(keyOf(parent, name));
    if (known && known.serial > asked.serial) return;
    this.#keepName(keyOf(parent, name), gfid, asked.serial);
    if (gfid) this.#entry(gfid).binding = { parent, name, atMs: asked.atMs, serial: asked.serial, isAhead };
  }

  #mayLearn(entry: Entry, asked: Asked): boolean {
    if (entry.pending > 0 || entry.changed > asked.serial || asked.serial < this.#floor) return false;
    if (entry.changed < this.#floor) this.#reset(entry, this.#floor);
    return true;
  }

  #keepName(key: string, gfid: Gfid | null, serial: number): void {
    this.#names.delete(key);
    this.#names.set(key, { gfid, serial });
    if (this.#names.size <= namesKept) return;
    const [[oldest, { serial: forgotten }]] = this.#names as unknown as [[string, { serial: number }]];
    this.#names.delete(oldest);
    this.#namesFloor = Math.max(this.#namesFloor, forgotten);
  }

  // --- changes ---

  /** What a name leads to as far as is known; undefined when it is not. */
  targetOf(parent: Gfid, name: ByteString): Gfid | null | undefined {
    return this.#names.get(keyOf(parent, name))?.gfid;
  }

  /** A change by this client begins. */
  begin(gfids: readonly Gfid[]): Asked {
    this.#serial++;
    for (const gfid of gfids) {
      const entry = this.#entry(gfid);
      entry.pending++;
      this.#reset(entry, this.#serial);
    }
    return this.ask();
  }

  /** It is over: what its reply says counts, unless another change was under way at the same time. */
  end(gfids: readonly Gfid[], begun: Asked): Asked {
    this.#serial++;
    let alone = true;
    for (const gfid of gfids) {
      const entry = this.#entry(gfid);
      entry.pending = Math.max(0, entry.pending - 1);
      if (entry.pending > 0 || entry.changed !== begun.serial) alone = false;
      this.#reset(entry, this.#serial);
    }
    return alone ? { atMs: begun.atMs, serial: this.#serial } : { atMs: begun.atMs, serial: -1 };
  }

  /** A name was taken away or given by this client: no answer that was asked for before counts. */
  renamed(parent: Gfid, name: ByteString, gfid: Gfid | null): void {
    this.#keepName(keyOf(parent, name), gfid, this.#serial);
  }

  /** Nothing that was asked for until now tells how it is. */
  doubt(gfid: Gfid): void {
    const entry = this.#find(gfid);
    if (entry) this.#reset(entry, ++this.#serial);
  }

  /** Somebody else changed it. */
  invalidate(gfid: Gfid, what: 'data' | 'metadata' | 'entry'): void {
    const entry = this.#find(gfid);
    this.counts.invalidations++;
    this.#serial++;
    if (!entry) {
      // An answer about it may be on its way to us.
      this.#entry(gfid).changed = this.#serial;
      return;
    }
    this.#reset(entry, this.#serial);
    if (what === 'entry') entry.namesChanged = this.#serial;
  }

  #reset(entry: Entry, serial: number): void {
    entry.iatt = undefined;
    entry.xattrs = undefined;
    entry.changed = serial;
  }
}

function keyOf(parent: Gfid, name: ByteString): string {
  return `${parent}/${name}`;
}
