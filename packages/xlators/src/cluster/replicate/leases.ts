/** Gets, shares, keeps and gives up the leases of one replica set. */
import {
  type Call,
  type Clock,
  compoundStep,
  Errno,
  type Failure,
  Fd,
  FileType,
  fail,
  type Gfid,
  locOf,
  type RawStep,
  type Xattrs,
} from '@mortar/core';
import { BrickLocks, type Grant, type LockHost, mayBeHeld } from './brick-locks.ts';
import { type Changelog, dirtyKey, encodeVector, isZero, type Kind, kinds, negated, type Vector } from './changelog.ts';
import { IdleWheel } from './idle-wheel.ts';
import type { InodeContexts } from './inode-context.ts';
import { holdOf, Lease } from './lease.ts';
import { quorumCount } from './quorum.ts';
import { isAbsence, type Replies } from './replica-set.ts';

/** What a lease needs of its translator. */
export interface LeaseHost extends LockHost {
  readonly contexts: InodeContexts;
  /** Milliseconds that an idle lease is kept; 0: none. */
  readonly idleMs: number;
  readonly ensureDurability: boolean;
  rootCall(): Call;
  readonly clock: Pick<Clock, 'nowMs' | 'after'>;
  nextOwner(): string;
  warn(text: string): void;
}

/** Whether to wait for a client that works on the file. */
export type Patience = 'wait' | 'try';

export class Leases {
  readonly #host: LeaseHost;
  /** One acquisition at a time for a file; later ones wait for it. */
  readonly #acquiring = new Map<Gfid, Promise<Lease | Failure>>();
  readonly #live = new Set<Lease>();
  readonly #locks: BrickLocks;
  readonly #idle: IdleWheel<Lease>;

  constructor(host: LeaseHost) {
    this.#host = host;
    this.#idle = new IdleWheel(host.clock, (leases) => this.#leaveTogether(leases));
    this.#locks = new BrickLocks(host);
  }

  get count(): number {
    return this.#live.size;
  }

  /**
   * The lease on a file, with the caller as a user; give it back with `done`. ENOTCONN without a quorum. When another
   * client has it: `wait` asks for it and waits; `try` leaves that client alone and fails with EAGAIN. `fd`: an open file,
   * which may have no name any more.
   */
  async acquire(
    gfid: Gfid,
    call: Call,
    patience: Patience = 'wait',
    fd: Fd | undefined = undefined,
  ): Promise<Lease | Failure> {
    for (;;) {
      const held = this.#host.contexts.find(gfid)?.lease;
      if (held && !held.recalled) {
        this.#idle.stop(held);
        held.users++;
        return held;
      }
      // A lease may be recalled from its first moment, with no user whose end would give it back.
      const left = held && this.#leave(held);
      if (held && patience === 'try') return fail(Errno.EAGAIN);
      if (left) await left;
      const running = this.#acquiring.get(gfid);
      const got = await (running ?? this.#start(gfid, call, patience, fd));
      if ('errno' in got) {
        // Somebody else's interruption or impatience is not ours.
        if (!running || (got.errno !== Errno.EINTR && got.errno !== Errno.EAGAIN)) return got;
      }
    }
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
  async giveBack(gfid: Gfid, owner: string): Promise<void> {
    const call: Call = { ...this.#host.rootCall(), lockOwner: owner };
    const children = this.#host.set.children.map((_, child) => child);
    await this.#locks.unlock(gfid, call, children);
  }

  /** A user is finished; the last one starts the idle time or, if the lease is recalled, the release. */
  done(lease: Lease): void {
    if (--lease.users > 0) return;
    const { idleMs } = this.#host;
    if (lease.recalled || lease.contended || idleMs === 0 || this.#live.size > maxIdleLeases) {
      void this.#leave(lease);
      return;
    }
    this.#idle.start(lease, idleMs);
  }

  /** Somebody else wants it, or it does not cover what it should: ends as soon as its users are done. */
  recall(gfid: Gfid): void {
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
  }

  /** A child is back: what it should not hold any more it gives up before anything else is asked of it. */
  returned(child: number): void {
    this.#locks.returned(child);
  }

  /** A name of the file was removed. */
  lostName(gfid: Gfid): void {
    const lease = this.#host.contexts.find(gfid)?.lease;
    if (!lease) return;
    lease.lostName = true;
    this.recall(gfid);
  }

  recallAll(): void {
    for (const lease of [...this.#live]) this.recall(lease.gfid);
  }

  /** Ends an idle lease now and waits until it is off the bricks. */
  async settle(gfid: Gfid): Promise<void> {
    const lease = this.#host.contexts.find(gfid)?.lease;
    if (!lease) return;
    lease.recalled = true;
    await this.#leave(lease);
  }

  async settleAll(): Promise<void> {
    await Promise.all([...this.#live].map((lease) => this.settle(lease.gfid)));
  }

  #start(gfid: Gfid, call: Call, patience: Patience, fd: Fd | undefined): Promise<Lease | Failure> {
    const started = this.#lock(gfid, call, patience, fd).finally(() => this.#acquiring.delete(gfid));
    this.#acquiring.set(gfid, started);
    return started;
  }

  async #lock(gfid: Gfid, call: Call, patience: Patience, fd: Fd | undefined): Promise<Lease | Failure> {
    const { set, contexts, clock } = this.#host;
    const owner = this.#host.nextOwner();
    const lockCall: Call = { ...this.#host.rootCall(), lockOwner: owner };
    const up = set.up;
    if (!set.suffices(up)) return fail(Errno.ENOTCONN);
    const tried = await set.laggards.collect<Grant | Failure>(
      up,
      (child) => this.#locks.lock(child, gfid, fd, lockCall, 'try'),
      fail(Errno.ETIMEDOUT),
      (grant) => 'fence' in grant || !isAbsence(grant.errno),
    );
    let grants = up.map((child) => tried.get(child)!);
    if (grants.some((grant) => !('fence' in grant) && grant.errno === Errno.EAGAIN)) {
      await this.#locks.unlock(
        gfid,
        lockCall,
        up.filter((_, i) => mayBeHeld(grants[i]!)),
      );
      if (patience === 'try') return fail(Errno.EAGAIN);
      grants = [];
      // Only what waits can be interrupted; a signal is made when it is asked for.
      const waitCall = call.signal ? { ...lockCall, signal: call.signal } : lockCall;
      // In the order of the children, so that two clients cannot wait for each other.
      for (const child of up) grants.push(await this.#locks.waitFor(child, gfid, fd, waitCall));
    }
    const granted = up.filter((_, i) => 'fence' in grants[i]!);
    if (!set.suffices(granted)) {
      await this.#locks.unlock(
        gfid,
        lockCall,
        up.filter((_, i) => mayBeHeld(grants[i]!)),
      );
      const reasons = grants.filter((grant): grant is Failure => !('fence' in grant));
      return fail(reasons.find((r) => r.errno === Errno.EINTR)?.errno ?? agreedErrno(reasons) ?? Errno.ENOTCONN);
    }
    const matrix = set.children.map((_, child) => {
      const grant = grants[up.indexOf(child)];
      return grant && 'fence' in grant ? grant.changelog : undefined;
    });
    const lease = new Lease(gfid, owner, matrix, contexts.hold(gfid), clock.nowMs());
    for (const [i, child] of up.entries()) {
      const grant = grants[i]!;
      if (!('fence' in grant)) {
        if (mayBeHeld(grant)) lease.locked.add(child);
        continue;
      }
      lease.holds.set(child, holdOf(grant.fence));
      lease.contended ||= grant.contended;
    }
    // Who is there but has no part in it will miss what is done under it.
    lease.shutOut = up.filter((child) => !lease.holds.has(child));
    if (lease.shutOut.length > 0) for (const kind of kinds) contexts.exclude(gfid, kind, lease.shutOut);
    // A child that came or went meanwhile is not rightly in or out.
    if (lease.participants.some((child) => !set.isUp(child))) lease.recalled = true;
    contexts.of(gfid).lease = lease;
    this.#live.add(lease);
    return lease;
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
    void this.#release(leaving);
  }

  /** Sync if needed, dirty marks off, unlock: what each brick is asked goes to it at once for all the leases. */
  async #release(leases: readonly Lease[]): Promise<void> {
    const disorder = (lease: Lease) => (error: unknown) => {
      // What is not known to be durable stays dirty.
      for (const child of lease.participants) lease.suspect.add(child);
      this.#host.warn(`${lease.gfid}: its lease ended in disorder: ${String(error)}`);
    };
    await Promise.all(leases.map((lease) => this.#makeDurable(lease).catch(disorder(lease))));
    await Promise.all(
      leases.map((lease) =>
        this.#giveUp(lease)
          .catch(disorder(lease))
          .finally(() => this.#ended(lease)),
      ),
    );
  }

  async #makeDurable(lease: Lease): Promise<void> {
    if (!lease.unsynced || !this.#host.ensureDurability) return;
    const call = this.#callOf(lease);
    if (lease.lostName && (await this.#isGone(lease, call))) return;
    await this.#sync(lease, call);
  }

  async #giveUp(lease: Lease): Promise<void> {
    // Children may leave until here.
    const changed = kinds.filter((kind) => [...lease.left.values()].some(({ did }) => did.has(kind)));
    if (changed.some((kind) => !this.#mayBlame(lease, kind)))
      for (const child of lease.participants) lease.suspect.add(child);
    const call = this.#callOf(lease);
    // Who left the lease may hold its lock still, and would keep everybody out with it.
    await Promise.all([
      this.#host.set.laggards.collect(
        lease.participants,
        (child) => this.#releaseOn(child, lease, call),
        undefined,
        () => true,
      ),
      this.#locks.unlock(lease.gfid, call, [...lease.locked]),
    ]);
  }

  #callOf(lease: Lease): Call {
    return { ...this.#host.rootCall(), lockOwner: lease.owner };
  }

  /** Whatever became of the release: nobody finds this lease again, and who waits for its end goes on. */
  #ended(lease: Lease): void {
    const { contexts } = this.#host;
    const context = contexts.find(lease.gfid);
    if (context?.lease === lease) context.lease = undefined;
    this.#live.delete(lease);
    contexts.release(lease.inode);
    // A lost child's blame is on disk now, but lookups from before do not know of it.
    if (lease.left.size + lease.shutOut.length > 0 && context) context.generation = 0;
    lease.end();
  }

  /**
   * Makes what was changed durable on all participants before the mark comes off any of them: one that loses power may
   * lose its own mark as well, and then only the others know. Who cannot sync leaves the lease, to be blamed.
   */
  async #sync(lease: Lease, call: Call): Promise<void> {
    const { set, contexts } = this.#host;
    const { type } = contexts.inode(lease.gfid);
    const fd = new Fd(lease.gfid);
    const fop = type === FileType.directory ? 'fsyncdir' : 'fsync';
    const replies: Replies<'fsyncdir'> = await set.wind(lease.participants, fop, call, () => ({ fd, dataOnly: false }));
    fd.release();
    const failed = lease.participants.filter((child) => {
      const reply = replies[child];
      return reply && !reply.ok && reply.errno !== Errno.ENOENT && reply.errno !== Errno.ESTALE;
    });
    if (failed.length === 0) return;
    this.#host.warn(`${lease.gfid}: children ${failed.join(', ')} could not sync it`);
    if (failed.length === lease.participants.length) for (const child of failed) lease.suspect.add(child);
    else for (const child of failed) lease.leaveOut(child);
  }

  /** Marks off and unlock: one round trip. */
  async #releaseOn(child: number, lease: Lease, call: Call): Promise<void> {
    const { set } = this.#host;
    const { fence, dirty } = lease.holds.get(child)!;
    const loc = locOf(lease.gfid);
    const steps: RawStep[] = [];
    const values = this.#blameLost(lease);
    if (!lease.suspect.has(child) && !isZero(dirty)) values[dirtyKey] = encodeVector(negated(dirty));
    if (Object.keys(values).length > 0) {
      steps.push(compoundStep('xattrop', { loc, operation: 'add32', values, xdata: { fence } }));
    }
    steps.push(this.#locks.step(loc, 'unlock'));
    const reply = await set.windOne(child, 'compound', call, { steps });
    if (reply.ok && reply.replies.at(-1)!.ok) return;
    await this.#locks.unlock(lease.gfid, call, [child]);
    if (!reply.ok) return;
    const { errno } = reply.replies.at(-1) as Failure;
    if (errno === Errno.ENOENT || errno === Errno.ESTALE) await this.#purgeIndex(child, lease.gfid, call);
    else
      this.#host.warn(
        `${lease.gfid}: child ${child} could not end a change of it (errno ${errno}); it stays marked dirty`,
      );
  }

  /** A removed file has no marks left; its entry in the index goes. */
  async #purgeIndex(child: number, gfid: Gfid, call: Call): Promise<void> {
    const data = Buffer.from(JSON.stringify({ gfid }));
    await this.#host.set.windOne(child, 'ipc', { ...call, internal: 'self-heal' }, { operation: 'index.purge', data });
  }

  /** A child that went may have lost what it changed and what was not on its disk: the others say so before their marks go. */
  #blameLost(lease: Lease): Xattrs {
    const { pendingKeys } = this.#host.set;
    const values: Xattrs = {};
    const blamed = kinds.filter((kind) => this.#mayBlame(lease, kind));
    for (const [child, { did }] of lease.left) {
      const missed = kinds.map((kind) =>
        blamed.includes(kind) && did.has(kind) && !lease.blamed[kind].has(child) ? 1 : 0,
      );
      // Nobody recorded which names these were: the data counter of a directory says that any may be missing.
      if (did.has('entry') && blamed.includes('entry')) missed[0] = 1;
      if (missed.some((count) => count !== 0))
        values[pendingKeys[child]!] = encodeVector(missed as [number, number, number]);
    }
    return values;
  }

  /** Where only the lost hold the truth, those that are left must not accuse them: nobody would be right. They stay dirty. */
  #mayBlame(lease: Lease, kind: Kind): boolean {
    const { set } = this.#host;
    const sources = lease.sources(kind, quorumCount(set.quorum, set.count));
    if (sources.length === 0) return kind === 'entry';
    return sources.some((child) => lease.holds.has(child) && (kind !== 'data' || set.holdsData(child)));
  }

  async #isGone(lease: Lease, call: Call): Promise<boolean> {
    const [child] = lease.participants;
    if (child === undefined) return false;
    const reply = await this.#host.set.windOne(child, 'stat', call, { loc: locOf(lease.gfid) });
    return !reply.ok && (reply.errno === Errno.ENOENT || reply.errno === Errno.ESTALE);
  }
}

/** Leases that may idle at once; beyond it they end with their last user. */
const maxIdleLeases = 4096;

/** The errno on which all agree, e.g. ENOENT: the file is gone everywhere. */
function agreedErrno(failures: readonly Failure[]): Errno | undefined {
  const first = failures[0]?.errno;
  return first !== undefined && failures.every((failure) => failure.errno === first) ? first : undefined;
}
