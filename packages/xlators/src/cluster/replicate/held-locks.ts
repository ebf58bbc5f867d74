/**
 * The locks that callers hold. A replica that has forgotten them, or never had them, is asked for them again while a quorum has them: so those that
 * are started again one after the other do not forget a lock all together. A lock that too few have is lost, for somebody else may have had it
 * since. And a request that came to nothing leaves each replica with what its owner had before.
 */
import {
  type Args,
  type Call,
  type Clock,
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
  /** Children that have given it, in sessions that are not over as far as is known. */
  readonly on: Set<number>;
  /** Children that are being asked for it again. */
  readonly asked: Set<number>;
}

type Range = Pick<OwnedRange, 'start' | 'end'>;

/** Locks that are asked for again at a time. */
const atATime = 64;
/** Somebody who tries for the lock may have got it for a moment on the replica that forgot it; the others refuse him. */
const retakeMs = 5000;

export class HeldLocks {
  readonly #set: ReplicaSet;
  readonly #clock: Clock;
  readonly #warn: (text: string) => void;
  readonly #books = new Map<Gfid, LockBook<Held>>();
  readonly #watched = new WeakSet<Fd>();
  /** By child: sessions that ended. */
  readonly #ended: number[];

  constructor(set: ReplicaSet, clock: Clock, warn: (text: string) => void) {
    this.#set = set;
    this.#clock = clock;
    this.#warn = warn;
    this.#ended = set.children.map(() => 0);
  }

  /** Who else gives it is to be added to the result. */
  took(fd: Fd, { type, owner, pid, family, ...range }: Flock, by: readonly number[]): Set<number> {
    const on = new Set(by);
    if (type === 'unlock' || fd.released) return on;
    const book = this.#books.get(fd.gfid) ?? new LockBook<Held>(partOf);
    this.#books.set(fd.gfid, book);
    book.set({ owner, type, ...endsOf(range), pid, fd, on, asked: new Set(), ...(family && { family }) });
    if (!this.#watched.has(fd)) {
      this.#watched.add(fd);
      fd.onRelease(() => this.#change(fd.gfid, (held) => held.drop((lock) => lock.fd === fd)));
    }
    return on;
  }

  /** To be compared with later: a lock that was got before a session ended is none. */
  sessions(): readonly number[] {
    return [...this.#ended];
  }

  isSameSession(child: number, since: readonly number[]): boolean {
    return this.#ended[child] === since[child];
  }

  /** The session of a child is over, with all that it had. */
  lostOn(child: number): void {
    this.#ended[child]!++;
    for (const [gfid, book] of [...this.#books]) {
      for (const { on } of book.all) on.delete(child);
      const lost = book.all.filter(({ on }) => !this.#isEnough([...on]));
      if (lost.length === 0) continue;
      this.#warn(`${lost.length} lock(s) of ${gfid} were lost: the bricks that had them have forgotten them`);
      this.#change(gfid, (held) => held.drop((lock) => lost.includes(lock)));
    }
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

  /** A child is up: what is known to be held by a quorum is asked of all that lack it. */
  async retake(): Promise<void> {
    const lacking = [...this.#books.values()].flatMap(({ all }) =>
      all.flatMap((lock) => this.#set.up.filter((child) => !lock.on.has(child)).map((child) => ({ lock, child }))),
    );
    const work = async () => {
      for (let next = lacking.shift(); next; next = lacking.shift()) await this.#retakeOne(next.child, next.lock);
    };
    await Promise.all(Array.from({ length: Math.min(atATime, lacking.length) }, work));
  }

  async #retakeOne(child: number, lock: Held): Promise<void> {
    const { fd, owner, pid, type, family, on, asked } = lock;
    const isSure = this.#isEnough([...on].filter((one) => this.#set.isUp(one)));
    if (!isSure || on.has(child) || asked.has(child) || !this.#isHeld(lock)) return;
    const flock: Flock = { type, ...lengthsOf(lock), owner, pid, ...(family && { family }) };
    const late = new AbortController();
    const timer = this.#clock.after(retakeMs, () => late.abort());
    const call = { ...rootCall(this.#clock), lockOwner: owner, pid };
    const args: Args<'lk'> = { fd, command: 'wait', flock, xdata: { heldElsewhere: true } };
    asked.add(child);
    const reply = await this.#set.windOne(child, 'lk', { ...call, signal: late.signal }, args);
    asked.delete(child);
    timer.cancel();
    // It may have changed, or been given back, before the child gave it.
    if (reply.ok && !this.#isHeld(lock)) await this.restore(child, call, fd, flock);
    else if (reply.ok) on.add(child);
    else if (!isAbsence(reply.errno) && this.#isHeld(lock)) {
      const { name } = this.#set.children[child]!.xlator;
      this.#warn(`${name} does not give a lock of ${fd.gfid} again that others have still`);
    }
  }

  /** Whether nobody else can have been granted what these have. */
  #isEnough(children: readonly number[]): boolean {
    return children.length > 0 && this.#set.suffices(children);
  }

  #isHeld(lock: Held): boolean {
    return this.#books.get(lock.fd.gfid)?.all.includes(lock) === true;
  }
}

/** Each part is asked for by itself. */
function partOf(lock: Held, range: Range): Held {
  return { ...lock, ...range, on: new Set(lock.on), asked: new Set() };
}

function endsOf({ start, length }: Pick<Flock, 'start' | 'length'>): Range {
  return { start, end: length === 0 ? Number.POSITIVE_INFINITY : start + length };
}

function lengthsOf({ start, end }: Range): Pick<Flock, 'start' | 'length'> {
  return { start, length: end === Number.POSITIVE_INFINITY ? 0 : end - start };
}
