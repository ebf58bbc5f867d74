/** Requests for internal locks: grant, wait, give back, take away; fences and notices of contention. */
import { type Call, type Clock, Errno, type Failure, fail, type Gfid, type Timer } from '@mortar/core';
import type { Claim, DomainQueue, Held, Waiter } from './domain-queue.ts';
import type { Fences } from './fences.ts';
import type { InodeLocks } from './lock-table.ts';
import { Pending } from './pending.ts';
import { RecentClients } from './recent-clients.ts';

export interface InternalSettings {
  notify: boolean;
  notifyDelayMs: number;
  /** 0: never. */
  revocationMs: number;
  revocationMaxBlocked: number;
  revocationClearAll: boolean;
}

/** Where a queue belongs, for the notice to a holder. */
export interface Place {
  readonly locks: InodeLocks;
  readonly domain: string;
  readonly kind: 'inode' | 'entry';
}

export interface Granted {
  ok: true;
  fence?: number;
  xdata?: { contended?: true; shared?: true };
}

export type TellHolder = (gfid: Gfid, domain: string, lock: Held<unknown>, kind: Place['kind']) => void;

export interface InternalPorts {
  readonly clock: Clock;
  readonly fences: Fences;
  /** A lock or a waiter went from a file. */
  settle(locks: InodeLocks): void;
  tell: TellHolder;
  revoked(place: Place, lock: Held<unknown>, reason: string): void;
  /** Its holder has not ended what it did under it, and will not. */
  abandoned(place: Place, lock: Held<unknown>): void;
}

/** How often a lock that somebody waits for is looked at when notices are not limited in time. */
const idleCheckMs = 1000;

export class InternalLocks {
  settings: InternalSettings;
  readonly #ports: InternalPorts;
  /** Locks that somebody waits for, each with the timer of its next notice. */
  readonly #watched = new Map<Held<unknown>, Timer>();
  readonly #recent: RecentClients;

  constructor(settings: InternalSettings, ports: InternalPorts) {
    this.settings = settings;
    this.#ports = ports;
    this.#recent = new RecentClients(ports.clock);
  }

  make<R>(claim: Claim<R>): Held<R> {
    const { clock, fences } = this.#ports;
    const fence = claim.type === 'write' ? fences.issue(claim.clientId) : null;
    const { clientId, owner, type, resource, isLease, attachment } = claim;
    const [grantedAtMs, notifiedAtMs] = [clock.nowMs(), Number.NEGATIVE_INFINITY];
    // Field by field: a spread of claims of two shapes takes microseconds.
    const held: Held<R> = {
      clientId,
      owner,
      type,
      resource,
      isLease: isLease === true,
      fence,
      grantedAtMs,
      notifiedAtMs,
      draining: false,
    };
    return attachment ? { ...held, attachment } : held;
  }

  try<R>(place: Place, queue: DomainQueue<R>, claim: Claim<R>): Granted | Failure {
    if (queue.full) return fail(Errno.ENOLCK);
    const isShared = this.#isShared(place, claim);
    const lock = queue.try(claim);
    if (lock) return this.#granted(place, queue, lock, isShared);
    this.#contend(place, queue, claim);
    // A lock that was taken away may have made room.
    const second = queue.try(claim);
    return second ? this.#granted(place, queue, second, isShared) : fail(Errno.EAGAIN);
  }

  wait<R>(
    place: Place,
    queue: DomainQueue<R>,
    claim: Claim<R>,
    call: Call,
  ): Granted | Promise<Granted | Failure> | Failure {
    if (queue.full) return fail(Errno.ENOLCK);
    const isShared = this.#isShared(place, claim);
    const lock = queue.try(claim);
    if (lock) return this.#granted(place, queue, lock, isShared);
    if (call.signal?.aborted) return fail(Errno.EINTR);
    const pending = new Pending<Granted>(call, this.#ports.clock, () => this.withdraw(place, queue, waiter));
    const waiter: Waiter<R> = {
      claim,
      granted: (held) => pending.settle(this.#granted(place, queue, held, isShared)),
      refused: (errno) => pending.settle(fail(errno)),
    };
    queue.waiting.push(waiter);
    this.#contend(place, queue, claim);
    return pending.answer;
  }

  /** EINVAL: there is no such lock. */
  unlock<R>(place: Place, queue: DomainQueue<R>, claim: Claim<R>): Granted | Failure {
    const lock = queue.find(claim, claim.resource);
    if (!lock) return fail(Errno.EINVAL);
    this.drop(place, queue, lock);
    return { ok: true };
  }

  /** Ends a lock: its fence is dead at once; others get in when what runs under it has ended. */
  drop<R>(place: Place, queue: DomainQueue<R>, lock: Held<R>): void {
    if (lock.draining) return;
    this.#unwatch(lock);
    lock.draining = true;
    const gone = () => {
      queue.remove(lock);
      queue.wake();
      this.#ports.settle(place.locks);
    };
    if (lock.fence) this.#ports.fences.revoke(lock.fence, gone);
    else gone();
  }

  /**
   * The holder gives no sign of life. A lease that somebody waits for is taken from it; of another one it is told at once when somebody asks, so that
   * whoever knows that it still is silent can say so.
   */
  heedSilence<R>(place: Place, queue: DomainQueue<R>, lock: Held<R>): void {
    if (!lock.isLease || !lock.fence || lock.draining) return;
    if (queue.contended(lock)) this.#revoke(place, queue, lock, 'silent holder');
    else lock.notifiedAtMs = Number.NEGATIVE_INFINITY;
  }

  /** Ends a lock without its holder's word. */
  abandon<R>(place: Place, queue: DomainQueue<R>, lock: Held<R>): void {
    if (!lock.draining) this.#ports.abandoned(place, lock);
    this.drop(place, queue, lock);
  }

  /** Takes a waiter out; those behind it may get in. */
  withdraw<R>(place: Place, queue: DomainQueue<R>, waiter: Waiter<R>): void {
    queue.withdraw(waiter);
    queue.wake();
    this.#ports.settle(place.locks);
  }

  fini(): void {
    for (const timer of this.#watched.values()) timer.cancel();
    this.#watched.clear();
  }

  #isShared({ kind, locks, domain }: Place, claim: Claim<unknown>): boolean {
    return (
      kind === 'inode' && claim.type === 'write' && this.#recent.isShared(`${locks.gfid}${domain}`, claim.clientId)
    );
  }

  #granted<R>(place: Place, queue: DomainQueue<R>, lock: Held<R>, isShared: boolean): Granted {
    const reply: Granted = { ok: true };
    if (isShared) reply.xdata = { shared: true };
    if (lock.fence) reply.fence = lock.fence.number;
    if (queue.waiting.length > 0 && queue.contended(lock)) {
      // Told with the answer: a notice of its own could arrive before it.
      lock.notifiedAtMs = this.#ports.clock.nowMs();
      if (this.settings.notify) reply.xdata = { ...reply.xdata, contended: true };
      this.#watch(place, queue, lock);
    }
    return reply;
  }

  #contend<R>(place: Place, queue: DomainQueue<R>, claim: Claim<R>): void {
    for (const lock of queue.blockers(claim)) {
      if (lock.draining) continue;
      const reason = this.#reasonToRevoke(queue, lock);
      if (reason) this.#revoke(place, queue, lock, reason);
      else {
        this.#tell(place, lock);
        if (queue.contended(lock)) this.#watch(place, queue, lock);
      }
    }
  }

  #tell<R>({ locks, domain, kind }: Place, lock: Held<R>): void {
    const now = this.#ports.clock.nowMs();
    if (!this.settings.notify || now - lock.notifiedAtMs < this.settings.notifyDelayMs) return;
    lock.notifiedAtMs = now;
    this.#ports.tell(locks.gfid, domain, lock, kind);
  }

  #reasonToRevoke<R>(queue: DomainQueue<R>, lock: Held<R>): string | undefined {
    const { revocationMs, revocationMaxBlocked } = this.settings;
    if (revocationMs > 0 && this.#ports.clock.nowMs() - lock.grantedAtMs >= revocationMs) return 'age';
    if (revocationMaxBlocked > 0 && queue.waiting.length >= revocationMaxBlocked) return 'max blocked';
    return undefined;
  }

  #revoke<R>(place: Place, queue: DomainQueue<R>, lock: Held<R>, reason: string): void {
    this.#ports.revoked(place, lock, reason);
    if (this.settings.revocationClearAll) for (const waiter of queue.waiting.splice(0)) waiter.refused(Errno.EAGAIN);
    this.abandon(place, queue, lock);
  }

  /** Looks again later, as long as somebody waits: a notice can be lost, and a lock can get too old. */
  #watch<R>(place: Place, queue: DomainQueue<R>, lock: Held<R>): void {
    const { notify, notifyDelayMs, revocationMs } = this.settings;
    if ((!notify && revocationMs === 0) || this.#watched.has(lock)) return;
    const age = this.#ports.clock.nowMs() - lock.grantedAtMs;
    const untilRevoked = revocationMs > 0 ? Math.max(1, revocationMs - age) : Number.POSITIVE_INFINITY;
    const delay = Math.min(notifyDelayMs || idleCheckMs, untilRevoked);
    const timer = this.#ports.clock.after(delay, () => {
      this.#watched.delete(lock);
      if (lock.draining || !queue.contended(lock)) return;
      const reason = this.#reasonToRevoke(queue, lock);
      if (reason) return this.#revoke(place, queue, lock, reason);
      this.#tell(place, lock);
      this.#watch(place, queue, lock);
    });
    this.#watched.set(lock, timer);
  }

  #unwatch(lock: Held<unknown>): void {
    this.#watched.get(lock)?.cancel();
    this.#watched.delete(lock);
  }
}
