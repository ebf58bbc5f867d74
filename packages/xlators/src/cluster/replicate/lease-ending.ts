/**
 * The end of leases: what was changed is made durable, then dirty marks come off and the locks are given back. Leases that
 * end together and have the same participants share their requests: one that syncs, then one that settles them all.
 */
import {
  type Call,
  compoundStep,
  Errno,
  type Failure,
  Fd,
  FileType,
  fail,
  type Gfid,
  locOf,
  type RawReply,
  type RawStep,
  type Reply,
  type Xattrs,
} from '@mortar/core';
import { decodeSynced, encodeSync, syncOperation } from '../../lib/sync-request.ts';
import type { BrickLocks } from './brick-locks.ts';
import { dirtyKey, encodeVector, isZero, type Kind, kinds, negated, vectorOf } from './changelog.ts';
import type { Hold, Lease } from './lease.ts';
import type { LeaseHost } from './leases.ts';

/** Most leases of one request: what comes after it on its brick waits for all of them. */
const bundleMax = 32;

/** What a child made durable: 0 or an errno, by object. */
interface Synced {
  readonly ok: true;
  readonly errnos: readonly number[];
}

export class LeaseEnding {
  readonly #host: LeaseHost;
  readonly #locks: BrickLocks;
  readonly #ended: (lease: Lease) => void;
  /** Children whose storage syncs one object at a time. */
  readonly #oneByOne = new Set<number>();

  /** `ended` is called for every lease, whatever became of it. */
  constructor(host: LeaseHost, locks: BrickLocks, ended: (lease: Lease) => void) {
    this.#host = host;
    this.#locks = locks;
    this.#ended = ended;
  }

  /** Sync where needed, dirty marks off, unlock. */
  async end(leases: readonly Lease[]): Promise<void> {
    await Promise.all(this.#bundles(leases.filter((lease) => this.#needsSync(lease))).map((b) => this.#makeDurable(b)));
    await Promise.all(this.#bundles(leases).map((bundle) => this.#giveUp(bundle)));
  }

  /** Leases of equal participants, whose ends differ in nothing else; all others are alone. */
  #bundles(leases: readonly Lease[]): Lease[][] {
    const bundles: Lease[][] = [];
    const open = new Map<string, Lease[]>();
    for (const lease of leases) {
      if (lease.lostName || lease.left.size > 0 || lease.locked.size > 0) {
        bundles.push([lease]);
        continue;
      }
      const key = lease.participants.join();
      const bundle = open.get(key);
      if (bundle && bundle.length < bundleMax) bundle.push(lease);
      else {
        const fresh = [lease];
        open.set(key, fresh);
        bundles.push(fresh);
      }
    }
    return bundles;
  }

  #disorder(leases: readonly Lease[], error: unknown): void {
    for (const lease of leases) {
      // What is not known to be durable stays dirty.
      for (const child of lease.participants) lease.suspect.add(child);
      this.#host.warn(`${lease.gfid}: its lease ended in disorder: ${String(error)}`);
    }
  }

  #callOf(lease: Lease): Call {
    return { ...this.#host.rootCall(), lockOwner: lease.owner };
  }

  // --- durable ---

  #needsSync(lease: Lease): boolean {
    return lease.unsynced && this.#host.ensureDurability;
  }

  /**
   * Makes what was changed durable on all participants before the mark comes off any of them: one that loses power may
   * lose its own mark as well, and then only the others know. Who cannot sync leaves the lease, to be blamed.
   */
  async #makeDurable(bundle: readonly Lease[]): Promise<void> {
    try {
      const [first] = bundle;
      if (first!.lostName && (await this.#isGone(first!, this.#callOf(first!)))) return;
      const answers = await this.#host.set.collect<Synced>(first!.participants, (child) => this.#syncOn(child, bundle));
      for (const [i, lease] of bundle.entries()) {
        const failed = lease.participants.filter((child) => {
          const answer = answers.get(child);
          return answer !== undefined && isFailedSync(answer.ok ? answer.errnos[i]! : answer.errno);
        });
        if (failed.length > 0) this.#notDurable(lease, failed);
      }
    } catch (error) {
      this.#disorder(bundle, error);
    }
  }

  #notDurable(lease: Lease, failed: readonly number[]): void {
    this.#host.warn(`${lease.gfid}: children ${failed.join(', ')} could not sync it`);
    if (failed.length === lease.participants.length) for (const child of failed) lease.suspect.add(child);
    else for (const child of failed) lease.leaveOut(child);
  }

  async #syncOn(child: number, bundle: readonly Lease[]): Promise<Synced | Failure> {
    if (bundle.length > 1 && !this.#oneByOne.has(child)) {
      const data = encodeSync(bundle.map(({ gfid }) => gfid));
      const call = { ...this.#host.rootCall(), internal: 'self-heal' as const };
      const reply = await this.#host.set.windOne(child, 'ipc', call, { operation: syncOperation, data });
      if (reply.ok) {
        const errnos = decodeSynced(reply.data, bundle.length);
        return errnos ? { ok: true, errnos } : fail(Errno.EIO);
      }
      if (reply.errno !== Errno.EOPNOTSUPP) return reply;
      this.#oneByOne.add(child);
    }
    const replies = await Promise.all(bundle.map((lease) => this.#syncOneOn(child, lease)));
    return { ok: true, errnos: replies.map((reply) => (reply.ok ? 0 : reply.errno)) };
  }

  async #syncOneOn(child: number, lease: Lease): Promise<Reply<'fsyncdir'>> {
    const { set, contexts } = this.#host;
    const fop = contexts.inode(lease.gfid).type === FileType.directory ? 'fsyncdir' : 'fsync';
    const fd = new Fd(lease.gfid);
    const reply: Reply<'fsyncdir'> = await set.windOne(child, fop, this.#callOf(lease), { fd, dataOnly: false });
    fd.release();
    return reply;
  }

  async #isGone(lease: Lease, call: Call): Promise<boolean> {
    const [child] = lease.participants;
    if (child === undefined) return false;
    const reply = await this.#host.set.windOne(child, 'stat', call, { loc: locOf(lease.gfid) });
    return !reply.ok && (reply.errno === Errno.ENOENT || reply.errno === Errno.ESTALE);
  }

  // --- settled ---

  async #giveUp(bundle: readonly Lease[]): Promise<void> {
    try {
      for (const lease of bundle) this.#suspectLost(lease);
      await Promise.all([
        this.#host.set.laggards.collect(
          bundle[0]!.participants,
          (child) => this.#settleOn(child, bundle),
          undefined,
          () => true,
        ),
        // Who left the lease may hold its lock still, and would keep everybody out with it.
        ...bundle
          .filter(({ locked }) => locked.size > 0)
          .map((lease) => this.#locks.unlock(lease.gfid, this.#callOf(lease), [...lease.locked])),
      ]);
    } catch (error) {
      this.#disorder(bundle, error);
    } finally {
      for (const lease of bundle) this.#ended(lease);
    }
  }

  /** Children may leave until here. */
  #suspectLost(lease: Lease): void {
    const changed = kinds.filter((kind) => [...lease.left.values()].some(({ did }) => did.has(kind)));
    if (changed.some((kind) => !this.#mayBlame(lease, kind)))
      for (const child of lease.participants) lease.suspect.add(child);
  }

  /** Marks off and unlock, in one round trip for all. */
  async #settleOn(child: number, bundle: readonly Lease[]): Promise<void> {
    const ends = bundle.map((lease) => this.#stepsOf(child, lease));
    const [only] = bundle;
    // The owner of each lock is in its step.
    const call = bundle.length === 1 ? this.#callOf(only!) : this.#host.rootCall();
    const reply = await this.#host.set.windOne(child, 'compound', call, { steps: ends.flat() });
    if (!reply.ok) {
      await Promise.all(bundle.map((lease) => this.#locks.unlock(lease.gfid, this.#callOf(lease), [child])));
      return;
    }
    let done = 0;
    for (const [i, lease] of bundle.entries()) {
      const replies = reply.replies.slice(done, done + ends[i]!.length);
      done += ends[i]!.length;
      if (replies.length === ends[i]!.length && replies.at(-1)!.ok) continue;
      await this.#notSettled(child, lease, replies.at(-1));
      // What came behind the failure was not done.
      const rest = bundle.slice(i + 1);
      if (rest.length > 0) await this.#settleOn(child, rest);
      return;
    }
  }

  #stepsOf(child: number, lease: Lease): RawStep[] {
    const loc = locOf(lease.gfid);
    const unlock = this.#locks.step(loc, 'unlock', lease.owner);
    const hold = lease.holds.get(child);
    // It left the lease meanwhile, to be blamed by the next one.
    if (!hold) return [unlock];
    const values = { ...this.#needlessBlame(lease, hold), ...this.#blameLost(lease) };
    if (!lease.suspect.has(child) && !isZero(hold.dirty)) values[dirtyKey] = encodeVector(negated(hold.dirty));
    if (Object.keys(values).length === 0) return [unlock];
    const marks = { loc, operation: 'add32', values, xdata: { fence: hold.fence } } as const;
    return [compoundStep('xattrop', marks), unlock];
  }

  /** Nobody did anything of these kinds, and says so: who was away has missed nothing. */
  #needlessBlame(lease: Lease, { raised }: Hold): Xattrs {
    const values: Xattrs = {};
    const needless = kinds.filter((kind) => raised[kind].length > 0 && !lease.touched.has(kind));
    for (const child of new Set(needless.flatMap((kind) => raised[kind]))) {
      const by = needless.filter((kind) => raised[kind].includes(child)).map((kind) => [kind, -1]);
      values[this.#host.set.pendingKeys[child]!] = encodeVector(vectorOf(Object.fromEntries(by)));
    }
    return values;
  }

  async #notSettled(child: number, lease: Lease, reply: RawReply | undefined): Promise<void> {
    const call = this.#callOf(lease);
    await this.#locks.unlock(lease.gfid, call, [child]);
    const errno = reply && !reply.ok ? (reply as Failure).errno : Errno.EIO;
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
    const sources = lease.sources(kind, set);
    if (sources.length === 0) return kind === 'entry';
    return sources.some((child) => lease.holds.has(child) && (kind !== 'data' || set.holdsData(child)));
  }
}

/** What was removed needs no sync. */
function isFailedSync(errno: number): boolean {
  return errno !== 0 && errno !== Errno.ENOENT && errno !== Errno.ESTALE;
}
