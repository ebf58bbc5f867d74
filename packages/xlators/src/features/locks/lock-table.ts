/** The files that have locks or waiters: found by gfid, and by client for the end of a session. */
import type { ByteString, Gfid, Inode, InodeTable } from '@mortar/core';
import { type Claim, DomainQueue, type Held, type Resource } from './domain-queue.ts';
import { PosixQueue } from './posix-queue.ts';
import { overlap, type Range } from './ranges.ts';

/** A name in a directory, or null for the whole directory. */
export type EntryName = ByteString | null;

const ranges: Resource<Range> = {
  overlap,
  same: (a, b) => a.start === b.start && a.end === b.end,
};

const names: Resource<EntryName> = {
  overlap: (a, b) => a === null || b === null || a === b,
  same: (a, b) => a === b,
};

export type MakeLock = <R>(claim: Claim<R>) => Held<R>;

/** All locks of one file. */
export class InodeLocks {
  readonly posix = new PosixQueue();
  readonly inodelk = new Map<string, DomainQueue<Range>>();
  readonly entrylk = new Map<string, DomainQueue<EntryName>>();
  /** Sessions that had something here since the file first got a lock. */
  readonly clients = new Set<string>();
  readonly inode: Inode;
  readonly #make: MakeLock;

  constructor(inode: Inode, make: MakeLock) {
    this.inode = inode;
    this.#make = make;
  }

  get gfid(): Gfid {
    return this.inode.gfid;
  }

  rangesOf(domain: string): DomainQueue<Range> {
    return queueOf(this.inodelk, domain, () => new DomainQueue(ranges, this.#make<Range>));
  }

  namesOf(domain: string): DomainQueue<EntryName> {
    return queueOf(this.entrylk, domain, () => new DomainQueue(names, this.#make<EntryName>));
  }

  /** Forgets domains without locks; whether nothing is left at all. */
  prune(): boolean {
    for (const [domain, queue] of this.inodelk) if (queue.empty) this.inodelk.delete(domain);
    for (const [domain, queue] of this.entrylk) if (queue.empty) this.entrylk.delete(domain);
    return this.inodelk.size === 0 && this.entrylk.size === 0 && this.posix.empty;
  }
}

function queueOf<Q>(queues: Map<string, Q>, domain: string, make: () => Q): Q {
  const known = queues.get(domain);
  if (known) return known;
  const queue = make();
  queues.set(domain, queue);
  return queue;
}

export class LockTable {
  readonly #inodes: InodeTable;
  readonly #slot: number;
  readonly #make: MakeLock;
  readonly #all = new Set<InodeLocks>();
  readonly #byClient = new Map<string, Set<InodeLocks>>();

  constructor(inodes: InodeTable, slot: number, make: MakeLock) {
    this.#inodes = inodes;
    this.#slot = slot;
    this.#make = make;
  }

  find(gfid: Gfid): InodeLocks | undefined {
    return this.#inodes.find(gfid)?.slots[this.#slot] as InodeLocks | undefined;
  }

  /** What others than this session have, or wait for, in the way of locks of a file. */
  lockedBy(gfid: Gfid, clientId: string): 'internal' | 'posix' | undefined {
    const locks = this.find(gfid);
    if (!locks) return undefined;
    if (!locks.posix.empty) return 'posix';
    const foreign = [...locks.inodelk.values(), ...locks.entrylk.values()].some(
      (queue) =>
        queue.held.some((lock) => lock.clientId !== clientId) ||
        queue.waiting.some(({ claim }) => claim.clientId !== clientId),
    );
    return foreign ? 'internal' : undefined;
  }

  /** The locks of a file for a request by a client. `settle` must follow, whatever the outcome. */
  enter(gfid: Gfid, clientId: string): InodeLocks {
    const inode = this.#inodes.get(gfid);
    let locks = inode.slots[this.#slot] as InodeLocks | undefined;
    if (!locks) {
      locks = new InodeLocks(inode, this.#make);
      inode.slots[this.#slot] = locks;
      this.#inodes.hold(inode);
      this.#all.add(locks);
    }
    if (!locks.clients.has(clientId)) {
      locks.clients.add(clientId);
      const entered = this.#byClient.get(clientId);
      if (entered) entered.add(locks);
      else this.#byClient.set(clientId, new Set([locks]));
    }
    return locks;
  }

  /** After each change: a file without locks and waiters is let go. */
  settle(locks: InodeLocks): void {
    if (!locks.prune() || !this.#all.delete(locks)) return;
    for (const clientId of locks.clients) this.#forgetClient(clientId, locks);
    locks.inode.slots[this.#slot] = undefined;
    this.#inodes.release(locks.inode);
  }

  #forgetClient(clientId: string, locks: InodeLocks): void {
    const entered = this.#byClient.get(clientId);
    entered?.delete(locks);
    if (entered?.size === 0) this.#byClient.delete(clientId);
  }

  /** The files where a session has or had locks. */
  of(clientId: string): InodeLocks[] {
    return [...(this.#byClient.get(clientId) ?? [])];
  }

  /** The same; it is forgotten there. */
  leave(clientId: string): InodeLocks[] {
    const entered = this.of(clientId);
    for (const locks of entered) {
      locks.clients.delete(clientId);
      this.#forgetClient(clientId, locks);
    }
    return entered;
  }

  all(): IterableIterator<InodeLocks> {
    return this.#all.values();
  }

  get size(): number {
    return this.#all.size;
  }
}
