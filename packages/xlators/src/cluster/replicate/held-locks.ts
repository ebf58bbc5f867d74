/**
 * The locks that callers hold. A replica that comes back is asked for them again, so that those that are started again one after the other do
 * not forget a lock all together; and a request that came to nothing leaves each replica with what its owner had before.
 */

import type { Clock } from '@mortar/core';
import {
  type Args,
  type Call,
  type Fd,
  type Flock,
  type Gfid,
  LockBook,
  type OwnedRange,
  rootCall,
} from '@mortar/core';
import { isAbsence, type ReplicaSet } from './replica-set.ts';

interface Held extends OwnedRange {
  readonly pid: number;
  readonly family?: 'flock';
  /** The open file that it goes with. */
  readonly fd: Fd;
}

type Range = Pick<OwnedRange, 'start' | 'end'>;

/** Locks that are asked for again at a time. */
const atATime = 64;
/** Somebody who tries for the lock may have got it for a moment on the replica that forgot it; the others refuse him. */
const retakeMs = 5000;

export class HeldLocks {
  readonly #set: ReplicaSet;
  readonly #clock: Clock;
  readonly #books = new Map<Gfid, LockBook<Held>>();
  readonly #watched = new WeakSet<Fd>();

  readonly #warn: (text: string) => void;

  constructor(set: ReplicaSet, clock: Clock, warn: (text: string) => void) {
    this.#set = set;
    this.#clock = clock;
    this.#warn = warn;
  }

  took(fd: Fd, { type, owner, pid, family, ...range }: Flock): void {
    if (type === 'unlock' || fd.released) return;
    const book = this.#books.get(fd.gfid) ?? new LockBook<Held>();
    this.#books.set(fd.gfid, book);
    book.set({ owner, type, ...endsOf(range), pid, fd, ...(family && { family }) });
    if (this.#watched.has(fd)) return;
    this.#watched.add(fd);
    fd.onRelease(() => this.#change(fd.gfid, (held) => held.drop((lock) => lock.fd === fd)));
  }

  gave(gfid: Gfid, { owner, ...range }: Flock): void {
    const { start, end } = endsOf(range);
    this.#change(gfid, (book) => book.clear(owner, start, end));
  }

  #change(gfid: Gfid, change: (book: LockBook<Held>) => void): void {
    const book = this.#books.get(gfid);
    if (!book) return;
    change(book);
    if (book.isEmpty) this.#books.delete(gfid);
  }

  /** Gives a child what the owner has of this range, and takes the rest from him there; in one go, behind what the child was asked before. */
  async restore(child: number, call: Call, fd: Fd, { owner, pid, family, ...asked }: Flock): Promise<void> {
    const { start, end } = endsOf(asked);
    const { signal: _given, ...own } = call;
    const set = (type: Flock['type'], of: Range, on = fd) => {
      const flock: Flock = { type, ...lengthsOf(of), owner, pid, ...(family && { family }) };
      return this.#set.windOne(child, 'lk', own, { fd: on, command: 'set', flock });
    };
    const replies: Promise<unknown>[] = [];
    let from = start;
    for (const lock of this.#of(fd.gfid, owner, { start, end })) {
      if (from < lock.start) replies.push(set('unlock', { start: from, end: lock.start }));
      replies.push(set(lock.type, lock, lock.fd));
      from = lock.end;
    }
    if (from < end) replies.push(set('unlock', { start: from, end }));
    await Promise.all(replies);
  }

  /** What lies within a range, in order. */
  #of(gfid: Gfid, owner: string, { start, end }: Range): Held[] {
    const held = this.#books.get(gfid)?.all ?? [];
    return held
      .filter((lock) => lock.owner === owner && lock.start < end && start < lock.end)
      .map((lock) => ({ ...lock, start: Math.max(start, lock.start), end: Math.min(end, lock.end) }))
      .sort((a, b) => a.start - b.start);
  }

  /** All of them, of a child that is back and may have forgotten them, or has not heard of them. */
  async retake(child: number): Promise<void> {
    const all = [...this.#books.values()].flatMap(({ all: held }) => held);
    const work = async () => {
      for (let lock = all.shift(); lock && this.#set.isUp(child); lock = all.shift())
        await this.#retakeOne(child, lock);
    };
    await Promise.all(Array.from({ length: atATime }, work));
  }

  async #retakeOne(child: number, lock: Held): Promise<void> {
    const { fd, owner, pid, type, family } = lock;
    const flock: Flock = { type, ...lengthsOf(lock), owner, pid, ...(family && { family }) };
    if (!this.#isHeld(lock)) return;
    const late = new AbortController();
    const timer = this.#clock.after(retakeMs, () => late.abort());
    const call = { ...rootCall(this.#clock), lockOwner: owner, pid };
    const args: Args<'lk'> = { fd, command: 'wait', flock, xdata: { heldElsewhere: true } };
    const reply = await this.#set.windOne(child, 'lk', { ...call, signal: late.signal }, args);
    timer.cancel();
    if (!reply.ok && !isAbsence(reply.errno) && this.#isHeld(lock))
      this.#warn(
        `${this.#set.children[child]!.xlator.name} has given a lock of ${fd.gfid} that is held here to somebody else`,
      );
    // It may have changed, or been given back, before the child gave it.
    if (reply.ok && !this.#isHeld(lock)) await this.restore(child, call, fd, flock);
  }

  #isHeld(lock: Held): boolean {
    return this.#books.get(lock.fd.gfid)?.all.includes(lock) === true;
  }
}

function endsOf({ start, length }: Pick<Flock, 'start' | 'length'>): Range {
  return { start, end: length === 0 ? Number.POSITIVE_INFINITY : start + length };
}

function lengthsOf({ start, end }: Range): Pick<Flock, 'start' | 'length'> {
  return { start, length: end === Number.POSITIVE_INFINITY ? 0 : end - start };
}
