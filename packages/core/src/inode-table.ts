/**
 * Inode objects: where translators keep the state of a file in memory. An inode is found by gfid; each translator owns
 * one numbered slot on every inode. Inodes that nobody holds are kept in an LRU of bounded length, then forgotten.
 * The table outlives a graph switch; slots of a retired graph are freed.
 */
import { strict as assert } from 'node:assert';
import type { ByteString } from './bytes.ts';
import { type Gfid, rootGfid } from './gfid.ts';
import { FileType } from './iatt.ts';

export class Inode {
  readonly gfid: Gfid;
  type: FileType = FileType.unknown;
  /** Who holds it: open files, locks, kernel lookups, running transactions. */
  holds = 0;
  readonly slots: unknown[] = [];
  /** The last name it was seen under; enough for a path of a directory, a hint for a file. */
  parent: Gfid | null = null;
  name: ByteString | null = null;
  /** What the process that serves the graph keeps of it while it holds it; a mount: the kernel's node. */
  attached: unknown = null;
  /** Neighbours among the unheld ones; both null when held, or alone. Only the table touches them. */
  older: Inode | null = null;
  newer: Inode | null = null;

  constructor(gfid: Gfid) {
    this.gfid = gfid;
  }
}

/** Called when an inode leaves the table, with the state in the owner's slot. */
export type Forget = (inode: Inode, state: unknown) => void;

export interface InodeTableStats {
  active: number;
  lru: number;
  limit: number;
}

export class InodeTable {
  #limit: number;
  readonly #inodes = new Map<Gfid, Inode>();
  /** Unheld inodes, a list from the oldest to the newest: a Set finds its first element slowly once many have left. */
  #oldest: Inode | null = null;
  #newest: Inode | null = null;
  #idleCount = 0;
  readonly #forgets: (Forget | null)[] = [];

  /** `limit`: how many unheld inodes are kept; 0 keeps all. */
  constructor(limit = 65536) {
    this.#limit = limit;
    const root = this.get(rootGfid);
    root.type = FileType.directory;
    this.hold(root);
  }

  /** How many unheld inodes are kept; 0 keeps all. Those beyond it are forgotten at once, the oldest first. */
  get limit(): number {
    return this.#limit;
  }

  set limit(limit: number) {
    this.#limit = limit;
    this.#prune();
  }

  /** Reserves a slot; the number is valid in `inode.slots` until `freeSlot`. */
  allocateSlot(forget: Forget | null = null): number {
    const free = this.#forgets.indexOf(freeMark);
    const slot = free >= 0 ? free : this.#forgets.length;
    this.#forgets[slot] = forget;
    return slot;
  }

  freeSlot(slot: number): void {
    for (const inode of this.#inodes.values()) inode.slots[slot] = undefined;
    this.#forgets[slot] = freeMark;
  }

  /** The inode of a gfid; made if there is none. */
  get(gfid: Gfid): Inode {
    let inode = this.#inodes.get(gfid);
    if (inode) {
      if (inode.holds === 0) this.#touch(inode);
      return inode;
    }
    inode = new Inode(gfid);
    this.#inodes.set(gfid, inode);
    this.#addIdle(inode);
    this.#prune();
    return inode;
  }

  /** As `get`, held once more: cheaper than one after the other. */
  getHeld(gfid: Gfid): Inode {
    const known = this.#inodes.get(gfid);
    if (known) {
      if (known.holds++ === 0) this.#removeIdle(known);
      return known;
    }
    const inode = new Inode(gfid);
    inode.holds = 1;
    this.#inodes.set(gfid, inode);
    return inode;
  }

  find(gfid: Gfid): Inode | undefined {
    return this.#inodes.get(gfid);
  }

  hold(inode: Inode): Inode {
    if (inode.holds++ === 0) {
      if (this.#inodes.get(inode.gfid) === inode) this.#removeIdle(inode);
      else this.#inodes.set(inode.gfid, inode);
    }
    return inode;
  }

  release(inode: Inode): void {
    if (inode.holds <= 0) assert.fail(`inode ${inode.gfid} released more often than held`);
    if (--inode.holds > 0) return;
    this.#addIdle(inode);
    this.#prune();
  }

  /** Takes an unheld inode out at once: the file is gone. */
  drop(gfid: Gfid): void {
    const inode = this.#inodes.get(gfid);
    if (inode && inode.holds === 0) this.#forget(inode);
  }

  /** Remembers under which name an inode was seen. */
  link(parent: Gfid, name: ByteString, inode: Inode): void {
    inode.parent = parent;
    inode.name = name;
  }

  /** The path from the volume's root, `/a/b`, as far as the names are known; undefined if one is not. */
  pathOf(gfid: Gfid): ByteString | undefined {
    const names: string[] = [];
    for (let at = gfid, depth = 0; at !== rootGfid; depth++) {
      const inode = this.#inodes.get(at);
      if (!inode?.parent || inode.name === null || depth > 4096) return undefined;
      names.push(inode.name);
      at = inode.parent;
    }
    return `/${names.reverse().join('/')}`;
  }

  stats(): InodeTableStats {
    return { active: this.#inodes.size - this.#idleCount, lru: this.#idleCount, limit: this.#limit };
  }

  all(): IterableIterator<Inode> {
    return this.#inodes.values();
  }

  #touch(inode: Inode): void {
    if (inode === this.#newest) return;
    this.#removeIdle(inode);
    this.#addIdle(inode);
  }

  #addIdle(inode: Inode): void {
    inode.older = this.#newest;
    inode.newer = null;
    if (this.#newest) this.#newest.newer = inode;
    else this.#oldest = inode;
    this.#newest = inode;
    this.#idleCount++;
  }

  #removeIdle(inode: Inode): void {
    const { older, newer } = inode;
    if (older) older.newer = newer;
    else this.#oldest = newer;
    if (newer) newer.older = older;
    else this.#newest = older;
    inode.older = null;
    inode.newer = null;
    this.#idleCount--;
  }

  #prune(): void {
    if (this.#limit === 0) return;
    while (this.#idleCount > this.#limit) this.#forget(this.#oldest!);
  }

  #forget(inode: Inode): void {
    this.#removeIdle(inode);
    // One that was forgotten and then held again has taken the place of another of its gfid.
    if (this.#inodes.get(inode.gfid) === inode) this.#inodes.delete(inode.gfid);
    for (let slot = 0; slot < inode.slots.length; slot++) {
      const state = inode.slots[slot];
      if (state !== undefined) this.#forgets[slot]?.(inode, state);
    }
  }
}

const freeMark: Forget = () => {};
