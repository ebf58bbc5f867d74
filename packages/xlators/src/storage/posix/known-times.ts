/**
 * Times of mdata that this store has read or written: nobody else changes them while it runs, so an object's need not be
 * read again for each operation on it; and who moved them last. Of an object that is gone nothing may stay: its gfid can come back.
 */
import type { Gfid } from '@mortar/core';
import { LastWriters } from './last-writers.ts';
import { Lru } from './lru.ts';
import type { Times } from './mdata.ts';

const knownMax = 16384;
/** Of an object whose inode nobody has asked for yet. */
const anyInode = 0;

interface Known {
  ino: number;
  times: Times;
}

export class KnownTimes {
  readonly writers = new LastWriters();
  readonly #known = new Lru<Gfid, Known>(knownMax);

  /** The same object as was set: who changes it stores it. */
  get(gfid: Gfid, ino: number): Times | null {
    const known = this.#known.get(gfid);
    if (!known) return null;
    if (known.ino === anyInode) known.ino = ino;
    if (known.ino === ino) return known.times;
    this.forget(gfid);
    return null;
  }

  set(gfid: Gfid, times: Times, ino = anyInode): void {
    this.#known.set(gfid, { ino, times });
  }

  forget(gfid: Gfid): void {
    this.#known.delete(gfid);
    this.writers.forget(gfid);
  }

  clear(): void {
    this.#known.clear();
    this.writers.clear();
  }
}
