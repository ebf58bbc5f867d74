/**
 * Files that are being moved to another subvolume. Whoever moves one takes `inodelk` on it in a domain of its own: that
 * is granted when nobody else has the file open, and until it is given back nobody else opens, changes, renames or
 * removes it here: such requests wait. Afterwards they find the file as it is, or gone (docs/distribute.md).
 */
import { type Call, type Clock, Errno, type Failure, type Fd, fail, type Gfid, type Reply } from '@mortar/core';
import { Pending } from './pending.ts';

export const migrationDomain = 'dht.file.migrate';

/** Requests that wait for one file; more are told to try again. */
const maxWaiting = 1024;
/**
 * Whoever moves a file holds it for moments. It may have to wait for somebody who waits here for it (a lease of a replica
 * set); then the others get on, and the mover is refused.
 */
const longestMs = 10_000;

interface Migration {
  readonly clientId: string;
  readonly sinceMs: number;
  readonly waiting: Set<Pending<null>>;
}

export class Migrations {
  readonly #clock: Clock;
  readonly #held = new Map<Gfid, Migration>();
  /** Those that were taken from their movers, who may not know yet: nothing of theirs is let through. */
  readonly #lost = new Map<Gfid, string>();
  /** How often each file is open, by session. */
  readonly #open = new Map<Gfid, Map<string, number>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#held.size + this.#lost.size;
  }

  /** An fd was opened; it counts until it is released. */
  opened(fd: Fd, clientId: string): void {
    const { gfid } = fd;
    const counts = this.#open.get(gfid) ?? new Map<string, number>();
    this.#open.set(gfid, counts);
    counts.set(clientId, (counts.get(clientId) ?? 0) + 1);
    fd.onRelease(() => {
      const left = (counts.get(clientId) ?? 1) - 1;
      if (left > 0) counts.set(clientId, left);
      else counts.delete(clientId);
      if (counts.size === 0 && this.#open.get(gfid) === counts) this.#open.delete(gfid);
    });
  }

  /** EAGAIN while others have the file open or it is being moved already. */
  request(call: Call, gfid: Gfid, command: 'try' | 'wait' | 'unlock'): Reply<'inodelk'> {
    const held = this.#held.get(gfid);
    if (command === 'unlock') {
      if (this.#lost.get(gfid) === call.clientId) return this.#forget(gfid);
      if (held?.clientId !== call.clientId) return fail(Errno.EINVAL);
      this.#end(gfid, held);
      return { ok: true };
    }
    // Waiting until others close the file could take days.
    if (command === 'wait') return fail(Errno.EINVAL);
    const others = [...(this.#open.get(gfid)?.keys() ?? [])].some((clientId) => clientId !== call.clientId);
    if (held || others || this.#lost.has(gfid)) return fail(Errno.EAGAIN);
    this.#held.set(gfid, { clientId: call.clientId, sinceMs: this.#clock.nowMs(), waiting: new Set() });
    return { ok: true };
  }

  /** Undefined: nothing stands in the way of this caller. Else resolves when it may go on. */
  gate(call: Call, gfid: Gfid): Promise<Failure | null> | undefined {
    if (this.#lost.get(gfid) === call.clientId) return Promise.resolve(fail(Errno.ESTALE));
    const held = this.#held.get(gfid);
    if (!held || held.clientId === call.clientId) return undefined;
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

  endSession(clientId: string): void {
    for (const [gfid, mover] of [...this.#lost]) if (mover === clientId) this.#lost.delete(gfid);
    for (const [gfid, held] of [...this.#held]) if (held.clientId === clientId) this.#end(gfid, held);
  }

  #forget(gfid: Gfid): Reply<'inodelk'> {
    this.#lost.delete(gfid);
    return { ok: true };
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
