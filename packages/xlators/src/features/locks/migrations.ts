/**
 * Files that are being moved to another subvolume (docs/distribute.md). Whoever moves one takes `inodelk` on it in a domain
 * of its own. As a reader it watches: nobody waits, and what is written is remembered. As a writer it holds: what was let
 * in before has ended, and until it is given back nobody else opens, changes, locks, renames or removes the file here:
 * such requests wait. Afterwards they find the file as it is, or gone; descriptors of a file that left are dead.
 */
import {
  type Call,
  type Clock,
  Errno,
  type Failure,
  type Fd,
  type FopName,
  fail,
  type Gfid,
  type Reply,
} from '@mortar/core';
import { Pending } from './pending.ts';
import { type Span, Written, writtenBy } from './written.ts';

export const migrationDomain = 'dht.file.migrate';
/** What was written to a watched file, as JSON: [[start, end], ...]; end null: to the end of the file. */
export const writtenXattr = 'glusterfs.dht.migrate.written';

/** Requests that wait for one file; more are told to try again. */
const maxWaiting = 1024;
/**
 * Whoever moves a file holds it for moments. It may have to wait for somebody who waits here for it; then the others get
 * on, and the mover is refused.
 */
const longestMs = 10_000;
/** So much earlier a mover may not do any more what depends on it: he holds the new place before the old one. */
const lastStepMs = 8_000;
/** How long a mover waits for requests that were let in before. */
const drainMs = 5_000;

interface Migration {
  readonly clientId: string;
  readonly sinceMs: number;
  readonly waiting: Set<Pending<null>>;
}

interface Watch {
  readonly clientId: string;
  before: Written;
  now: Written;
}

/** Whether somebody else has, or waits for, locks of this file that the mover would wait for, or must not take away. */
export type LockedBy = (gfid: Gfid, clientId: string) => 'internal' | 'posix' | undefined;

function moverKey(clientId: string): string {
  return `${clientId} internal`;
}

/** Whether a mover's call: other work of the same session waits like everybody else's. */
function isBy(mover: string, call: Call): boolean {
  return mover === call.clientId && call.internal !== undefined;
}

export class Migrations {
  readonly #clock: Clock;
  readonly #lockedBy: LockedBy;
  readonly #held = new Map<Gfid, Migration>();
  readonly #watched = new Map<Gfid, Watch>();
  /** Those that were taken from their movers, who may not know yet: nothing of theirs is let through. */
  readonly #lost = new Map<Gfid, string>();
  /** Where each file is open. */
  readonly #open = new Map<Gfid, Set<Fd>>();
  /** Descriptors of files that left. */
  readonly #dead = new WeakSet<Fd>();
  /** Changes under way of each file, while any file is being moved; and of those let in before that, how many. */
  readonly #running = new Map<Gfid, Map<string, number>>();
  #uncounted = 0;
  #drains = new Set<() => void>();

  constructor(clock: Clock, lockedBy: LockedBy = () => undefined) {
    this.#clock = clock;
    this.#lockedBy = lockedBy;
  }

  get size(): number {
    return this.#held.size + this.#lost.size + this.#watched.size;
  }

  /** An fd was opened; it counts until it is released. */
  opened(fd: Fd): void {
    const { gfid } = fd;
    const open = this.#open.get(gfid) ?? new Set<Fd>();
    this.#open.set(gfid, open);
    open.add(fd);
    fd.onRelease(() => {
      open.delete(fd);
      if (open.size === 0 && this.#open.get(gfid) === open) this.#open.delete(gfid);
    });
  }

  /** Whether this caller holds it, and nobody can have been let in by another brick yet that it held later. */
  mayEnd(call: Call, gfid: Gfid): boolean {
    const held = this.#held.get(gfid);
    return held !== undefined && isBy(held.clientId, call) && this.#clock.nowMs() - held.sinceMs < lastStepMs;
  }

  isDead(fd: Fd): boolean {
    return this.#dead.has(fd);
  }

  /** EAGAIN while others move it or hold internal locks on it, EBUSY while somebody has locked it. */
  request(
    call: Call,
    gfid: Gfid,
    command: 'try' | 'wait' | 'unlock',
    type: 'read' | 'write' | 'unlock',
  ): Reply<'inodelk'> | Promise<Reply<'inodelk'>> {
    if (command === 'unlock') return this.#giveBack(call, gfid);
    // Waiting until others unlock the file could take days.
    if (command === 'wait') return fail(Errno.EINVAL);
    const watch = this.#watched.get(gfid);
    const another = this.#held.has(gfid) || this.#lost.has(gfid) || (watch && watch.clientId !== call.clientId);
    if (another) return fail(Errno.EAGAIN);
    return type === 'read' ? this.#watch(call, gfid, watch) : this.#hold(call, gfid);
  }

  #giveBack(call: Call, gfid: Gfid): Reply<'inodelk'> {
    const watch = this.#watched.get(gfid);
    const watched = watch?.clientId === call.clientId;
    if (watched) this.#watched.delete(gfid);
    if (this.#lost.get(gfid) === call.clientId) {
      this.#lost.delete(gfid);
      return { ok: true };
    }
    const held = this.#held.get(gfid);
    if (held?.clientId !== call.clientId) return watched ? { ok: true } : fail(Errno.EINVAL);
    this.#end(gfid, held);
    return { ok: true };
  }

  /** Each further watch begins a new set of what is written; the last one is kept beside it. */
  async #watch(call: Call, gfid: Gfid, watch: Watch | undefined): Promise<Reply<'inodelk'>> {
    if (watch) {
      watch.before = watch.now;
      watch.now = new Written();
    } else this.#watched.set(gfid, { clientId: call.clientId, before: new Written(), now: new Written() });
    // What was let in before anybody was watched is not remembered.
    if (await this.#drained(() => this.#uncounted === 0)) return { ok: true };
    this.#watched.delete(gfid);
    return fail(Errno.EAGAIN);
  }

  async #hold(call: Call, gfid: Gfid): Promise<Reply<'inodelk'>> {
    const locked = this.#lockedBy(gfid, call.clientId);
    if (locked) return fail(locked === 'posix' ? Errno.EBUSY : Errno.EAGAIN);
    const { clientId } = call;
    const held: Migration = { clientId, sinceMs: this.#clock.nowMs(), waiting: new Set() };
    this.#held.set(gfid, held);
    const quiet = () => {
      const others = [...(this.#running.get(gfid)?.keys() ?? [])].some((one) => one !== moverKey(clientId));
      return this.#uncounted === 0 && !others;
    };
    const alone = quiet() || (await this.#drained(quiet));
    if (this.#held.get(gfid) !== held) return fail(Errno.EAGAIN);
    if (alone) return { ok: true };
    this.#end(gfid, held);
    return fail(Errno.EAGAIN);
  }

  async #drained(done: () => boolean): Promise<boolean> {
    if (done()) return true;
    return new Promise((resolve) => {
      const check = () => {
        if (!done()) return;
        timer.cancel();
        this.#drains.delete(check);
        resolve(true);
      };
      const timer = this.#clock.after(drainMs, () => {
        this.#drains.delete(check);
        resolve(false);
      });
      this.#drains.add(check);
    });
  }

  /**
   * Undefined: nothing stands in the way of this caller. Else resolves when it may go on. `isUpkeep`: locks and changelogs
   * of replicas, which change nothing of the file.
   */
  gate(call: Call, gfid: Gfid, isUpkeep = false): Promise<Failure | null> | undefined {
    const lost = this.#lost.get(gfid);
    if (lost !== undefined && isBy(lost, call)) return Promise.resolve(fail(Errno.ESTALE));
    const held = this.#held.get(gfid);
    if (!held || isBy(held.clientId, call)) return undefined;
    // What the mover does may need it, or wait for its end, though nobody says on whose behalf it is done.
    if (isUpkeep && held.clientId === call.clientId) return undefined;
    const leftMs = held.sinceMs + longestMs - this.#clock.nowMs();
    if (leftMs <= 0) {
      this.#take(gfid, held);
      return undefined;
    }
    if (held.waiting.size >= maxWaiting) return Promise.resolve(fail(Errno.EAGAIN));
    const pending: Pending<null> = new Pending<null>(call, this.#clock, () => held.waiting.delete(pending));
    held.waiting.add(pending);
    if (held.waiting.size === 1) this.#clock.after(leftMs, () => this.#take(gfid, held));
    return pending.answer;
  }

  /** While no file is being moved: only how many changes there are is known. */
  uncounted<R>(change: Promise<R>): Promise<R> {
    this.#uncounted++;
    const ended = () => {
      if (--this.#uncounted === 0 && this.#drains.size > 0) this.#check();
    };
    change.then(ended, ended);
    return change;
  }

  /** A change of these files that was let in. */
  async counted<R>(
    call: Call,
    fop: FopName,
    args: unknown,
    gfids: readonly Gfid[],
    change: () => Promise<R>,
  ): Promise<R> {
    const key = call.internal === undefined ? call.clientId : moverKey(call.clientId);
    for (const gfid of gfids) this.#count(gfid, key, 1);
    let reply: R | undefined;
    try {
      reply = await change();
      return reply;
    } finally {
      for (const gfid of gfids) {
        const watch = this.#watched.get(gfid);
        if (watch && !isBy(watch.clientId, call)) watch.now.add(writtenBy(fop, args, reply));
        this.#count(gfid, key, -1);
      }
      this.#check();
    }
  }

  #count(gfid: Gfid, key: string, by: number): void {
    const counts = this.#running.get(gfid) ?? new Map<string, number>();
    this.#running.set(gfid, counts);
    const now = (counts.get(key) ?? 0) + by;
    if (now > 0) counts.set(key, now);
    else counts.delete(key);
    if (counts.size === 0) this.#running.delete(gfid);
  }

  #check(): void {
    for (const check of [...this.#drains]) check();
  }

  /** What was written since the watch before the last; undefined if this caller does not watch it. */
  written(call: Call, gfid: Gfid): Span[] | undefined {
    const watch = this.#watched.get(gfid);
    return watch?.clientId === call.clientId ? watch.before.with(watch.now) : undefined;
  }

  /** Its mover took a name of the file away here: it lives on elsewhere. */
  left(call: Call, gfid: Gfid): void {
    const held = this.#held.get(gfid);
    if (!held || !isBy(held.clientId, call)) return;
    for (const fd of this.#open.get(gfid) ?? []) this.#dead.add(fd);
  }

  endSession(clientId: string): void {
    for (const [gfid, mover] of [...this.#lost]) if (mover === clientId) this.#lost.delete(gfid);
    for (const [gfid, watch] of [...this.#watched]) if (watch.clientId === clientId) this.#watched.delete(gfid);
    for (const [gfid, held] of [...this.#held]) if (held.clientId === clientId) this.#end(gfid, held);
  }

  #take(gfid: Gfid, held: Migration): void {
    if (this.#held.get(gfid) !== held) return;
    this.#lost.set(gfid, held.clientId);
    this.#end(gfid, held);
  }

  #end(gfid: Gfid, held: Migration): void {
    if (this.#held.get(gfid) === held) this.#held.delete(gfid);
    for (const pending of held.waiting) pending.settle(null);
    held.waiting.clear();
  }
}
