/** Gets, shares, keeps and gives up the leases of one replica set. */
import {
  type Call,
  type Clock,
  Errno,
  type Failure,
  type Fd,
  fail,
  type Gfid,
  locOf,
  type RawReply,
  type RawStep,
} from '@mortar/core';
import { BrickLocks, type Grant, type LockHost, mayBeHeld } from './brick-locks.ts';
import { type Changelog, kinds, type Vector } from './changelog.ts';
import { idleTime } from './idle-time.ts';
import { IdleWheel } from './idle-wheel.ts';
import type { InodeContexts } from './inode-context.ts';
import { holdOf, Lease } from './lease.ts';
import { LeaseEnding } from './lease-ending.ts';
import { isAbsence } from './replica-set.ts';
import type { Rider } from './rider.ts';

/** What a lease needs of its translator. */
export interface LeaseHost extends LockHost {
  readonly contexts: InodeContexts;
  /** Milliseconds that an idle lease is kept: so many, or no more than that. 0: none. */
  readonly idle: { readonly mostMs: number; readonly isFixed: boolean };
  readonly ensureDurability: boolean;
  rootCall(): Call;
  readonly clock: Pick<Clock, 'nowMs' | 'after'>;
  nextOwner(): string;
  warn(text: string): void;
}

/** Whether to wait for a client that works on the file. */
export type Patience = 'wait' | 'try';

/** See `claimHeal`. */
export interface HealClaim {
  /** A brick has given it up with our session: another one may have healed meanwhile. */
  isLost(): boolean;
  release(): Promise<void>;
}

/** A lease that is asked for; see `acquire`. */
interface Request {
  readonly gfid: Gfid;
  readonly call: Call;
  readonly patience: Patience;
  readonly fd: Fd | undefined;
  readonly rider: Rider | undefined;
}

export class Leases {
  readonly #host: LeaseHost;
  /** One acquisition at a time for a file; later ones wait for it. */
  readonly #acquiring = new Map<Gfid, Promise<Lease | Failure>>();
  /** Of these: the ones that another client wants already. */
  readonly #wanted = new Set<Gfid>();
  readonly #live = new Set<Lease>();
  readonly #locks: BrickLocks;
  /** Of who heals a file under several leases, one after the other; the domain is GlusterFS's. */
  readonly #healLocks: BrickLocks;
  readonly #ending: LeaseEnding;
  readonly #idle: IdleWheel<Lease>;

  constructor(host: LeaseHost) {
    this.#host = host;
    this.#idle = new IdleWheel(host.clock, (leases) => this.#leaveTogether(leases));
    this.#locks = new BrickLocks({ ...host, isLease: true });
    this.#healLocks = new BrickLocks({ set: host.set, domain: `${host.domain}:self-heal`, isLease: false });
    this.#ending = new LeaseEnding(host, this.#locks, (lease) => this.#ended(lease));
  }

  get count(): number {
    return this.#live.size;
  }

  /** Asks for the lock behind the lease, as a part of making the file; see `adopt`. */
  claimStep(gfid: Gfid): RawStep {
    return this.#locks.step(locOf(gfid), 'try');
  }

  /**
   * The lease on a file, with the caller as a user; give it back with `done`. ENOTCONN without a quorum. When another
   * client has it: `wait` asks for it and waits; `try` leaves that client alone and fails with EAGAIN. `fd`: an open file,
   * which may have no name any more. `rider`: travels with the request, if there is one.
   */
  async acquire(
    gfid: Gfid,
    call: Call,
    patience: Patience = 'wait',
    fd: Fd | undefined = undefined,
    rider: Rider | undefined = undefined,
  ): Promise<Lease | Failure> {
    for (;;) {
      const held = this.#host.contexts.find(gfid)?.lease;
      if (held && !held.recalled) return this.#use(held);
      // A lease may be recalled from its first moment, with no user whose end would give it back.
      const left = held && this.#leave(held);
      if (held && patience === 'try') return fail(Errno.EAGAIN);
      if (left) await left;
      const running = this.#acquiring.get(gfid);
      const got = await (running ?? this.#start({ gfid, call, patience, fd, rider }));
      if ('errno' in got) {
        // Somebody else's interruption or impatience is not ours.
        if (!running || (got.errno !== Errno.EINTR && got.errno !== Errno.EAGAIN)) return got;
      } else if (!running && rider?.replies) {
        // It is done, be the lease recalled or not.
        return this.#use(got);
      }
    }
  }

  #use(lease: Lease): Lease {
    this.#idle.stop(lease);
    if (lease.users++ > 0) return lease;
    lease.pauseMs = this.#host.clock.nowMs() - lease.usedAtMs;
    return lease;
  }

  /** Takes over locks that were got together with the creation of the file. */
  adopt(gfid: Gfid, owner: string, holds: ReadonlyMap<number, number>): void {
    const { contexts, set, clock } = this.#host;
    const blank: Changelog = { blames: set.pendingKeys.map(() => [0, 0, 0] as Vector), dirty: [0, 0, 0] };
    const matrix = set.children.map((_, i) => (holds.has(i) ? blank : undefined));
    const lease = new Lease(gfid, owner, matrix, contexts.hold(gfid), clock.nowMs(), true);
    for (const [child, fence] of holds) lease.holds.set(child, holdOf(fence));
    contexts.of(gfid).lease = lease;
    this.#live.add(lease);
    lease.users = 1;
    this.done(lease);
  }

  /** Gives back locks that were asked for together with the creation of a file, wherever they were got. */
  async giveBack(
    gfid: Gfid,
    owner: string,
    children: Iterable<number> = this.#host.set.children.keys(),
  ): Promise<void> {
    const call: Call = { ...this.#host.rootCall(), lockOwner: owner };
    await this.#locks.unlock(gfid, call, [...children]);
  }

  /** A user is finished; the last one starts the idle time or, if the lease is recalled, the release. */
  done(lease: Lease): void {
    if (--lease.users > 0) return;
    const { idle, clock } = this.#host;
    lease.usedAtMs = clock.nowMs();
    if (lease.recalled || lease.contended || idle.mostMs === 0 || this.#live.size > maxIdleLeases) {
      void this.#leave(lease);
      return;
    }
    this.#idle.start(lease, idle.isFixed ? idle.mostMs : idleTime(lease.pauseMs, idle.mostMs));
  }

  /** Somebody else wants it, or it does not cover what it should: ends as soon as its users are done. */
  recall(gfid: Gfid): void {
    // The first brick that granted it may tell of others before the last one has granted it.
    if (this.#acquiring.has(gfid)) this.#wanted.add(gfid);
    const lease = this.#host.contexts.find(gfid)?.lease;
    if (!lease || lease.recalled) return;
    lease.recalled = true;
    if (lease.users === 0) void this.#leave(lease);
  }

  /** A child is gone: leases go on without it, and what it misses is blamed on it. */
  forget(child: number): void {
    for (const lease of [...this.#live]) {
      if (!lease.holds.has(child)) continue;
      lease.leaveOut(child);
      this.recall(lease.gfid);
    }
  }

  /** A child has none of our locks any more. */
  locksLost(child: number): void {
    this.forget(child);
    for (const lease of this.#live) lease.locked.delete(child);
    this.#locks.lostOn(child);
    this.#healLocks.lostOn(child);
  }

  /** A child is back: what it should not hold any more it gives up before anything else is asked of it. */
  returned(child: number): void {
    this.#locks.returned(child);
    this.#healLocks.returned(child);
  }

  /** A name of the file was removed. */
  lostName(gfid: Gfid): void {
    const lease = this.#host.contexts.find(gfid)?.lease;
    if (!lease) return;
    lease.lostName = true;
    this.recall(gfid);
  }

  recallAll(): void {
    this.#leaveTogether([...this.#live]);
  }

  /** Ends an idle lease now and waits until it is off the bricks. */
  async settle(gfid: Gfid): Promise<void> {
    const lease = this.#host.contexts.find(gfid)?.lease;
    if (!lease) return;
    lease.recalled = true;
    await this.#leave(lease);
  }

  async settleAll(): Promise<void> {
    const live = [...this.#live];
    this.#leaveTogether(live);
    await Promise.all(live.map(({ ended }) => ended));
  }

  /**
   * The right to heal what the lease is on, for longer than the lease: nobody else heals it under several leases. Undefined: another one
   * does, or a brick does not grant it.
   */
  async claimHeal({ gfid, participants }: Lease): Promise<HealClaim | undefined> {
    const call: Call = { ...this.#host.rootCall(), lockOwner: this.#host.nextOwner() };
    const locks = this.#healLocks;
    const asked = await Promise.all(
      participants.map(async (child) => [child, await locks.lock(child, gfid, undefined, call, 'try')] as const),
    );
    const held = asked.filter(([, grant]) => mayBeHeld(grant)).map(([child]) => child);
    const release = () => locks.unlock(gfid, call, held);
    if (asked.some(([, grant]) => !('fence' in grant))) {
      await release();
      return undefined;
    }
    return { isLost: () => asked.some(([child, grant]) => locks.wasLost(child, grant)), release };
  }

  #start(request: Request): Promise<Lease | Failure> {
    const started = this.#lock(request).finally(() => {
      this.#acquiring.delete(request.gfid);
      this.#wanted.delete(request.gfid);
    });
    this.#acquiring.set(request.gfid, started);
    return started;
  }

  async #lock(request: Request, attempt = 1): Promise<Lease | Failure> {
    const { gfid, call, rider } = request;
    const { set, contexts, clock } = this.#host;
    const owner = this.#host.nextOwner();
    const { attachment } = call;
    const lockCall: Call = { ...this.#host.rootCall(), lockOwner: owner, ...(attachment && { attachment }) };
    const up = set.up;
    if (!set.suffices(up)) return fail(Errno.ENOTCONN);
    const grants = await this.#ask(request, up, { ...lockCall, ...rider?.caller });
    if (!grants) return fail(Errno.EAGAIN);
    const wasLost = (child: number, i: number) => this.#locks.wasLost(child, grants[i]!);
    const giveBack = () =>
      this.#locks.unlock(
        gfid,
        lockCall,
        up.filter((child, i) => mayBeHeld(grants[i]!) && !wasLost(child, i)),
      );
    // Who has it there by now is not to be worked beside: it is asked for anew.
    if (up.some(wasLost)) {
      await giveBack();
      return attempt < lockAttempts ? this.#lock(request, attempt + 1) : fail(Errno.ENOTCONN);
    }
    const granted = up.filter((_, i) => 'fence' in grants[i]!);
    if (!set.suffices(granted)) {
      await giveBack();
      const reasons = grants.filter((grant): grant is Failure => !('fence' in grant));
      return fail(reasons.find((r) => r.errno === Errno.EINTR)?.errno ?? agreedErrno(reasons) ?? Errno.ENOTCONN);
    }
    const matrix = set.children.map((_, child) => {
      const grant = grants[up.indexOf(child)];
      return grant && 'fence' in grant ? grant.changelog : undefined;
    });
    const lease = new Lease(gfid, owner, matrix, contexts.hold(gfid), clock.nowMs());
    const rode = new Map<number, readonly RawReply[]>();
    for (const [i, child] of up.entries()) {
      const grant = grants[i]!;
      if (!('fence' in grant)) {
        if (mayBeHeld(grant)) lease.locked.add(child);
        continue;
      }
      lease.holds.set(child, holdOf(grant.fence));
      lease.contended ||= grant.contended;
      rode.set(child, grant.rode);
    }
    lease.contended ||= this.#wanted.has(gfid);
    rider?.arrived(lease, rode);
    // Who is there but has no part in it will miss what is done under it.
    lease.shutOut = up.filter((child) => !lease.holds.has(child));
    if (lease.shutOut.length > 0) for (const kind of kinds) contexts.exclude(gfid, kind, lease.shutOut);
    // A child that came or went meanwhile is not rightly in or out.
    for (const child of lease.participants) {
      if (set.isUp(child)) continue;
      lease.leaveOut(child);
      lease.recalled = true;
    }
    const context = contexts.of(gfid);
    context.lease = lease;
    lease.usedAtMs = context.usedAtMs;
    this.#live.add(lease);
    return lease;
  }

  /** What each of `up` says to a request for its lock; undefined where others have it and are not waited for. */
  async #ask(
    { gfid, call, patience, fd, rider }: Request,
    up: readonly number[],
    lockCall: Call,
  ): Promise<(Grant | Failure)[] | undefined> {
    const { set } = this.#host;
    const tried = await set.laggards.collect<Grant | Failure>(
      up,
      (child) => this.#locks.lock(child, gfid, fd, lockCall, 'try', rider?.steps(child)),
      fail(Errno.ETIMEDOUT),
      (grant) => 'fence' in grant || !isAbsence(grant.errno),
    );
    const grants = up.map((child) => tried.get(child)!);
    if (!grants.some((grant) => !('fence' in grant) && grant.errno === Errno.EAGAIN)) return grants;
    await this.#locks.unlock(
      gfid,
      lockCall,
      up.filter((_, i) => mayBeHeld(grants[i]!)),
    );
    if (patience === 'try') return undefined;
    // Only what waits can be interrupted; a signal is made when it is asked for.
    const { signal } = call;
    const waitCall = signal ? { ...lockCall, signal } : lockCall;
    const waited: (Grant | Failure)[] = [];
    // In the order of the children, so that two clients cannot wait for each other.
    for (const child of up) waited.push(await this.#locks.waitFor(child, gfid, fd, waitCall));
    return waited;
  }

  #leave(lease: Lease): Promise<void> {
    this.#leaveTogether([lease]);
    return lease.ended;
  }

  #leaveTogether(leases: readonly Lease[]): void {
    for (const lease of leases) {
      lease.recalled = true;
      this.#idle.stop(lease);
    }
    // With users left, the last one's `done` comes back here.
    const leaving = leases.filter((lease) => lease.users === 0 && !lease.leaving);
    if (leaving.length === 0) return;
    for (const lease of leaving) lease.leaving = true;
    void this.#ending.end(leaving);
  }

  /** Whatever became of the release: nobody finds this lease again, and who waits for its end goes on. */
  #ended(lease: Lease): void {
    const { contexts } = this.#host;
    const context = contexts.find(lease.gfid);
    if (context?.lease === lease) {
      context.lease = undefined;
      context.usedAtMs = lease.usedAtMs;
    }
    this.#live.delete(lease);
    contexts.release(lease.inode);
    // A lost child's blame is on disk now, but lookups from before do not know of it.
    if (lease.left.size + lease.shutOut.length > 0 && context) contexts.doubt(lease.gfid);
    lease.end();
  }
}

/** Leases that may idle at once; beyond it they end with their last user. */
const maxIdleLeases = 4096;

/** Tries to get all locks of a lease within the sessions that it began with. */
const lockAttempts = 3;

/** The errno on which all agree, e.g. ENOENT: the file is gone everywhere. */
function agreedErrno(failures: readonly Failure[]): Errno | undefined {
  const first = failures[0]?.errno;
  return first !== undefined && failures.every((failure) => failure.errno === first) ? first : undefined;
}
