/** What replicate knows of a file: which children may be read, and the lease it holds on it. */
import type { Gfid, Inode, InodeTable } from '@mortar/core';
import type { Kind } from './changelog.ts';
import type { Lease } from './lease.ts';

export interface InodeContext {
  /** The set's generation when the sets below were learned; older than now: look again. */
  generation: number;
  /** The last doubt of it: what was asked before that is not the last word. */
  doubt: number;
  /** Children that may serve reads of each kind; empty: split-brain. */
  readable: Record<Kind, readonly number[]>;
  /** Children on which the file exists with this gfid. */
  present: readonly number[];
  lease: Lease | undefined;
  /** When the last lease on it was last used. */
  usedAtMs: number;
  /** The operator's choice for a file in split-brain, and until when. */
  choice: number | undefined;
}

export class InodeContexts {
  readonly #inodes: InodeTable;
  readonly #slot: number;
  #doubts = 0;

  constructor(inodes: InodeTable, slot: number) {
    this.#inodes = inodes;
    this.#slot = slot;
  }

  of(gfid: Gfid): InodeContext {
    const inode = this.#inodes.get(gfid);
    let context = inode.slots[this.#slot] as InodeContext | undefined;
    if (!context) {
      context = {
        generation: 0,
        doubt: 0,
        readable: { data: [], metadata: [], entry: [] },
        present: [],
        lease: undefined,
        usedAtMs: Number.NEGATIVE_INFINITY,
        choice: undefined,
      };
      inode.slots[this.#slot] = context;
    }
    return context;
  }

  /** Children that missed a change: no longer read, whatever was known of them. */
  exclude(gfid: Gfid, kind: Kind, children: readonly number[]): void {
    const context = this.find(gfid);
    if (context) context.readable[kind] = context.readable[kind].filter((child) => !children.includes(child));
  }

  /**
   * Somebody says that a replica missed something: the file is looked up anew before it is read. That holds, too, for whom is
   * being asked about it right now, or read it there: some may have answered before.
   */
  doubt(gfid: Gfid): void {
    const context = this.of(gfid);
    context.generation = 0;
    context.doubt = ++this.#doubts;
  }

  /** For `isDoubted`: now. */
  get doubts(): number {
    return this.#doubts;
  }

  /** Whether somebody did since. */
  isDoubted(gfid: Gfid, since: number): boolean {
    return (this.find(gfid)?.doubt ?? 0) > since;
  }

  find(gfid: Gfid): InodeContext | undefined {
    return this.#inodes.find(gfid)?.slots[this.#slot] as InodeContext | undefined;
  }

  inode(gfid: Gfid): Inode {
    return this.#inodes.get(gfid);
  }

  hold(gfid: Gfid): Inode {
    return this.#inodes.hold(this.#inodes.get(gfid));
  }

  release(inode: Inode): void {
    this.#inodes.release(inode);
  }
}
