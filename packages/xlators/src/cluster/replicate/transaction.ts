/**
 * The transaction: under a lease, dirty mark and blame for the absent go with the operation in one round trip; whoever
 * fails is blamed before the caller hears of success. docs/replicate.md has the states and what heals each.
 */
import {
  type Args,
  type Clock,
  compoundStep,
  Errno,
  type Failure,
  FileType,
  type FopName,
  fail,
  type Gfid,
  locOf,
  type RawStep,
  type Reply,
  retainBytes,
  withXdata,
  type Xdata,
} from '@mortar/core';
import { type AccusationHost, Accusations } from './accusations.ts';
import { didNothing, isLost, whole, withoutData } from './answers.ts';
import type { Change, Outcome } from './change.ts';
import type { Kind } from './changelog.ts';
import { absentees, beliefs, isHidden, type Lease, preOp } from './lease.ts';
import type { Leases } from './leases.ts';
import { failureOf, isAbsence, type ReplicaSet, type Replies, succeeded } from './replica-set.ts';
import { Rider } from './rider.ts';
import { type Right, rightUnder, told } from './told.ts';

const maxAttempts = 3;

/** Errors that say what is under a name. */
const aboutNames: ReadonlySet<Errno> = new Set([
  Errno.EEXIST,
  Errno.ENOENT,
  Errno.ENOTEMPTY,
  Errno.EISDIR,
  Errno.ENOTDIR,
]);

export interface TransactionHost extends AccusationHost {
  readonly leases: Leases;
  readonly clock: Pick<Clock, 'nowMs'>;
  rightAbout(gfid: Gfid): Right | undefined;
}

export class Transactions {
  readonly #host: TransactionHost;
  readonly #set: ReplicaSet;
  readonly #accusations: Accusations;

  constructor(host: TransactionHost) {
    this.#host = host;
    this.#set = host.set;
    this.#accusations = new Accusations(host);
  }

  async run<N extends FopName>(change: Change<N>): Promise<Outcome<N> | Failure> {
    for (let attempt = 1; ; attempt++) {
      const outcome = await this.#attempt(change);
      // ESTALE from every brick while the file exists: the lease was revoked under us. Nothing was done; get a new one.
      if (!('errno' in outcome) || outcome.errno !== Errno.ESTALE || attempt === maxAttempts) return outcome;
    }
  }

  async #attempt<N extends FopName>(change: Change<N>): Promise<Outcome<N> | Failure> {
    const leases: Lease[] = [];
    const leaves: (() => void)[] = [];
    const rider = this.#riderOf(change);
    try {
      // By gfid, so that two clients (or two operations) never hold one each and wait for the other.
      for (const gfid of [...new Set(change.under)].sort()) {
        const lease = await this.#host.leases.acquire(gfid, change.call, 'wait', change.fd, rider);
        if ('errno' in lease) return lease;
        leases.push(lease);
      }
      // Before all others under the lease: they are sent now that it is there.
      if (rider?.replies) return await this.#conclude(change, leases, [...rider.replies.keys()], [], rider.replies, []);
      for (const lease of leases)
        leaves.push(await lease.ordering.enter(change.claims[change.under.indexOf(lease.gfid)]!));
      const prepared = await change.prepare?.(leases[0]!, leases);
      if (prepared && 'errno' in prepared) return prepared;
      return await this.#apply(prepared ? { ...change, args: () => prepared } : change, leases);
    } finally {
      for (const leave of leaves) leave();
      for (const lease of leases) this.#host.leases.done(lease);
    }
  }

  /**
   * With a child away its marks say more, and are made durable first. What a brick lets only the mover of a file do goes
   * under his name, which a request for a lease has not.
   */
  #riderOf<N extends FopName>(change: Change<N>): Rider<N> | undefined {
    const isWhole = this.#set.up.length === this.#set.count;
    return change.rides && isWhole && change.call.internal === undefined ? new Rider(change, this.#set) : undefined;
  }

  async #apply<N extends FopName>(change: Change<N>, leases: readonly Lease[]): Promise<Outcome<N> | Failure> {
    // Who went since it was granted is absent, and blamed as such.
    for (const lease of leases)
      for (const child of lease.participants) if (!this.#set.isUp(child)) lease.leaveOut(child);
    const participants = this.#set.up.filter((child) => leases.every((lease) => lease.holds.has(child)));
    if (!this.#set.suffices(participants)) {
      for (const lease of leases) lease.recalled = true;
      return fail(Errno.ENOTCONN);
    }
    const refusal = this.#refusal(change.kind, leases, participants);
    if (refusal) return refusal;
    const absent = this.#set.children.flatMap((_, child) => (participants.includes(child) ? [] : [child]));
    for (const lease of leases)
      for (const name of change.names?.[change.under.indexOf(lease.gfid)] ?? []) lease.names.touch(name);
    const { replies, extra } = await this.#wind(change, leases, participants, absent);
    return this.#conclude(change, leases, participants, absent, change.agreed?.(replies) ?? replies, extra);
  }

  /** Data and metadata may only change where a copy is that holds the truth; names where nobody who is away may know it better. */
  #refusal(kind: Kind, leases: readonly Lease[], participants: readonly number[]): Failure | undefined {
    if (leases.some((lease) => lease.verdict(kind, this.#set).isAlone)) return fail(Errno.ENOTCONN);
    if (kind === 'entry') return undefined;
    if (kind === 'metadata' && this.#isArbitersAlone(leases[0]!, participants)) return fail(Errno.ENOTCONN);
    const sources = this.#accusations.sources(kind, leases).filter((child) => participants.includes(child));
    if (sources.length === 0) return fail(Errno.EIO);
    // An arbiter has no bytes: with only it left unaccused, the data would exist nowhere.
    if (kind === 'data' && !sources.some((child) => this.#set.holdsData(child))) return fail(Errno.ENOTCONN);
    return undefined;
  }

  /** Whether it is a file whose data only an arbiter is right about: nothing of it is read or changed then. */
  #isArbitersAlone(lease: Lease, participants: readonly number[]): boolean {
    if (this.#set.arbiter === undefined || lease.inode.type !== FileType.regular) return false;
    const sources = this.#accusations.sources('data', [lease]).filter((child) => participants.includes(child));
    return sources.length > 0 && !sources.some((child) => this.#set.holdsData(child));
  }

  async #wind<N extends FopName>(
    change: Change<N>,
    leases: readonly Lease[],
    participants: readonly number[],
    absent: readonly number[],
  ) {
    const plans = new Map(
      participants.map((child) => [
        child,
        { marks: this.#marks(change, leases, child, absent.length > 0), fence: leases[0]!.fenceOf(child) },
      ]),
    );
    for (const lease of leases) {
      const { doubted } = beliefs(lease, change.kind, this.#set);
      this.#host.contexts.exclude(lease.gfid, change.kind, doubted);
      for (const child of absentees(lease, this.#set)) lease.blamed[change.kind].add(child);
      for (const child of doubted) lease.settled[change.kind].add(child);
    }
    const extra: Outcome<N>['extra'][number][] = this.#set.children.map(() => undefined);
    const one = async (child: number): Promise<Reply<N>> => {
      const { marks, fence } = plans.get(child)!;
      const given: Args<N> & { xdata?: Xdata } = change.args(child, absent);
      const args: Args<N> = withXdata(given, { fence });
      const after = change.after?.(child) ?? [];
      const { data } = args as Partial<Args<'writev'>>;
      const bytes = change.fop === 'writev' ? data!.length : 0;
      // One that is not waited for may still be sending it when the caller has been answered.
      if (data) retainBytes(data);
      if (marks.length + after.length === 0)
        return whole(withoutData(await this.#set.windOne(child, change.fop, change.call, args), data), bytes);
      const steps = [...marks, compoundStep(change.fop, args), ...after];
      const reply = withoutData(await this.#set.windOne(child, 'compound', change.call, { steps }), data);
      // What the brick did not mark is not taken off at the end: the counter would fall below zero.
      const isUnmarked = reply.ok ? reply.replies.length <= marks.length : !isAbsence(reply.errno);
      if (isUnmarked && marks.length > 0) for (const lease of leases) lease.didNotMark(child, change.kind);
      if (!reply.ok) return reply;
      const last = reply.replies.at(-1);
      extra[child] = reply.replies.slice(marks.length + 1);
      return whole((reply.replies[marks.length] ?? last ?? fail(Errno.EIO)) as Reply<N>, bytes);
    };
    let isOver = false;
    const answers = await this.#set.collect<Reply<N>>(participants, async (child) => {
      const reply = await one(child);
      if (isOver) change.late?.(child);
      return reply;
    });
    isOver = true;
    const replies = this.#set.children.map((_, child) => answers.get(child)) as Replies<N>;
    return { replies, extra };
  }

  /**
   * The steps that write marks before the operation, one a directory or file that still needs them. With a child away they are
   * durable first: a replica that loses power, and its marks, beside one that missed the change would take that one for its like.
   */
  #marks<N extends FopName>(change: Change<N>, leases: readonly Lease[], child: number, degraded: boolean): RawStep[] {
    return leases.flatMap((lease) => {
      const values = preOp(lease, child, change.kind, this.#set);
      const names = degraded && this.#host.granular ? change.names?.[change.under.indexOf(lease.gfid)] : undefined;
      if (Object.keys(values).length === 0 && !names) return [];
      const xdata = { fence: lease.fenceOf(child), ...(names ? { pendingNames: [...names] } : {}) };
      const { fd } = change;
      const mark = { operation: 'add32' as const, values, xdata };
      const step = fd
        ? compoundStep('fxattrop', { fd, ...mark })
        : compoundStep('xattrop', { loc: locOf(lease.gfid), ...mark });
      return degraded && Object.keys(values).length > 0 ? [step, ...this.#accusations.sync(change, lease)] : [step];
    });
  }

  async #conclude<N extends FopName>(
    change: Change<N>,
    leases: readonly Lease[],
    participants: readonly number[],
    absent: readonly number[],
    replies: Replies<N>,
    extra: Outcome<N>['extra'],
  ): Promise<Outcome<N> | Failure> {
    const done = succeeded(replies);
    for (const lease of leases) for (const child of done) lease.did(child, change.kind);
    const failed = participants.filter((child) => !done.includes(child));
    const hasLost = failed.some((child) => isLost(replies[child]));
    if (hasLost) for (const lease of leases) lease.recalled = true;
    if (hasLost || done.length > 0) change.reached?.();
    const isKnown = failed.every((child) => didNothing(replies[child] as Failure));
    const touch = () => {
      for (const lease of leases) lease.touched.add(change.kind);
    };
    const stands = failed.length === 0 || this.#accusations.stands(change.kind, leases, done);
    // What is taken back is gone without a trace; a name perhaps not.
    const isTakenBack = isKnown && !stands && change.undo !== undefined && change.kind !== 'entry';
    if (done.length > 0 ? !isTakenBack : !isKnown) touch();
    if (failed.length === 0) for (const lease of leases) lease.heardMs = this.#host.clock.nowMs();
    if (done.length === 0) {
      if (this.#disagree(failed, replies)) this.#markSuspect(leases, participants);
      return this.#failure(change.kind, leases, failed, replies);
    }
    if (!stands) {
      this.#markSuspect(leases, done);
      const undone = change.undo
        ? await change.undo(done, change.call, replies, leases[0]!)
        : isHidden(leases, this.#set);
      if (!undone) touch();
      if (!change.undo || !undone) await this.#accusations.disown(change, leases, done, failed, replies);
      const failure = this.#failure(change.kind, leases, failed, replies);
      return failure.errno === Errno.ESTALE && !undone ? fail(Errno.EIO) : failure;
    }
    const refused =
      failed.length > 0 ? await this.#accusations.blame(change, leases, done, failed, replies) : new Map();
    const marked = done.filter((child) => !refused.has(child));
    if (!this.#accusations.stands(change.kind, leases, marked)) {
      this.#markSuspect(leases, done);
      const failure = failureOf([...failed.map((child) => replies[child]), ...refused.values()]);
      // ESTALE would tell the caller that nothing was done.
      return failure.errno === Errno.ESTALE ? fail(Errno.ENOTCONN) : failure;
    }
    const lost = await this.#accusations.makeLast(change, leases, marked);
    if (lost) {
      this.#markSuspect(leases, done);
      await change.undo?.(done, change.call, replies, leases[0]!);
      return lost.errno === Errno.ESTALE ? fail(Errno.EIO) : lost;
    }
    const best =
      marked.find(
        (child) => this.#set.holdsData(child) && this.#accusations.sources(change.kind, leases).includes(child),
      ) ?? marked[0]!;
    const missing = [...absent, ...participants.filter((child) => !marked.includes(child))];
    const reply = told(change.fop, replies, best, (gfid, type) => this.#right(gfid, type, leases, marked));
    return { reply, replies, done: marked, absent: missing, extra };
  }

  /** Who of `done` is right about a file: what is under a lease its marks tell. */
  #right(gfid: Gfid, type: FileType, leases: readonly Lease[], done: readonly number[]): Right | undefined {
    const lease = leases.find((one) => one.gfid === gfid);
    return lease ? rightUnder(lease, this.#set, type, done) : this.#host.rightAbout(gfid);
  }

  /** What the caller hears. Whether a name is there is not for those to say who are to be healed: the others may have done it, unheard. */
  #failure<N extends FopName>(
    kind: Kind,
    leases: readonly Lease[],
    failed: readonly number[],
    replies: Replies<N>,
  ): Failure {
    const failure = failureOf(failed.map((child) => replies[child]));
    if (kind !== 'entry' || !aboutNames.has(failure.errno)) return failure;
    const believed = failed.filter((child) =>
      leases.every((lease) => {
        const sources = lease.sources(kind, this.#set);
        return sources.length === 0 || sources.includes(child);
      }),
    );
    return believed.length > 0 ? failureOf(believed.map((child) => replies[child])) : fail(Errno.EIO);
  }

  /** All failed, but not alike and not for being away: their states may differ now. */
  #disagree<N extends FopName>(failed: readonly number[], replies: Replies<N>): boolean {
    const errnos = new Set(failed.map((child) => (replies[child] as Failure).errno));
    return errnos.size > 1 && [...errnos].some((errno) => isAbsence(errno));
  }

  #markSuspect(leases: readonly Lease[], children: readonly number[]): void {
    for (const lease of leases) {
      lease.recalled = true;
      for (const child of children) lease.suspect.add(child);
    }
  }
}
