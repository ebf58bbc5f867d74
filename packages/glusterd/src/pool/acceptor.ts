/**
 * A member's side of agreement (docs/pool.md): what it has promised and accepted, its version and its documents. Every
 * answer is given after what it tells is on disk.
 */
import type { Clock } from '@mortar/core/ports.ts';
import { compareBallots } from './ballot.ts';
import { CourtesyLock } from './courtesy-lock.ts';
import { PoolDocuments, peerKey } from './documents.ts';
import { PoolError } from './errors.ts';
import { checkDocument } from './schemas.ts';
import { type MemberState, mostPoolsLeft, newMemberState, type PoolStorage, type StoredDocument } from './storage.ts';
import type { AcceptReply, Ballot, Changes, DocumentChange, LockInfo, LockReply, Member, Proposal } from './types.ts';

export interface AcceptorOptions {
  /** Throws on a document that cannot be kept. */
  readonly check?: (key: string, value: unknown) => void;
  /** After a version was applied, and after this node joined or left a pool. */
  readonly onApplied?: (version: number) => void;
  /** The lock was taken from an operation of this node. */
  readonly onBroken?: () => void;
}

export class Acceptor {
  readonly self: string;
  readonly #storage: PoolStorage;
  readonly #lock: CourtesyLock;
  readonly #check: (key: string, value: unknown) => void;
  readonly #onApplied: (version: number) => void;
  readonly #onBroken: () => void;
  #state: MemberState = newMemberState;
  #documents = new PoolDocuments([]);
  /** A batch failed: it may be on disk all the same. */
  #isUnsure = true;
  /** One step after the other. */
  #tail: Promise<unknown> = Promise.resolve();
  /** Brings this node up with another's help; set by `CatchUp`. */
  whenBehind: (node: string, pool: string) => Promise<void> = async () => {};

  private constructor(self: string, storage: PoolStorage, clock: Clock, options: AcceptorOptions) {
    this.self = self;
    this.#storage = storage;
    this.#lock = new CourtesyLock(clock);
    this.#check = options.check ?? checkDocument;
    this.#onApplied = options.onApplied ?? (() => {});
    this.#onBroken = options.onBroken ?? (() => {});
  }

  static async open(
    self: string,
    storage: PoolStorage,
    clock: Clock,
    options: AcceptorOptions = {},
  ): Promise<Acceptor> {
    const acceptor = new Acceptor(self, storage, clock, options);
    await acceptor.#serially(async () => {});
    return acceptor;
  }

  /** Id of the pool; null: in none. */
  get pool(): string | null {
    return this.#state.pool;
  }

  get version(): number {
    return this.#state.version;
  }

  get promised(): Ballot | null {
    return this.#state.promised;
  }

  get accepted(): Proposal | null {
    return this.#state.accepted;
  }

  /** Uuids of the members that decide the next version. */
  get members(): readonly string[] {
    return this.#state.pool === null ? [this.self] : this.#documents.peers();
  }

  get documents(): PoolDocuments {
    return this.#documents;
  }

  /** Who works on the pool, as far as this member knows. */
  get lock(): LockInfo | null {
    return this.#lock.info();
  }

  holds(ballot: Ballot): boolean {
    return this.#lock.holds(ballot);
  }

  /** Takes the lock from its holder here; who held it, or null. What makes that safe is in `Coordinator.breakLock`. */
  breakLock(): LockInfo | null {
    const info = this.#lock.break();
    if (info?.node === this.self) this.#onBroken();
    return info;
  }

  /** This member for requests that name a pool: they are refused when it is not in it, or not any more. */
  forPool(pool: string | null): Member {
    return {
      lock: (ballot, operation, lifeMs) => this.#in(pool, () => this.#promise(ballot, operation, lifeMs)),
      accept: async (proposal) => {
        await this.#comeUp(pool, proposal);
        return this.#in(pool, () => this.#accept(proposal));
      },
      learn: async (proposal) => {
        await this.#comeUp(pool, proposal);
        return this.#in(pool, () => this.#learn(proposal));
      },
      unlock: async (ballot) => this.#in(pool, async () => this.#lock.giveBack(ballot)),
      holder: async (isBroken) =>
        this.#in(pool, async () => ({ lock: isBroken ? this.breakLock() : this.#lock.info() })),
      changes: (since) => this.#serially(async () => this.#farewell(pool, since) ?? this.#changes(pool, since)),
    };
  }

  /** Applies all that another member had beyond this one's version. */
  apply(pool: string, { version, documents }: Changes): Promise<void> {
    return this.#in(pool, async () => {
      if (version > this.version) await this.#apply(version, documents);
    });
  }

  /** Somebody says that this node was removed by that version or before. */
  dismissed(pool: string, version: number): Promise<void> {
    return this.#in(pool, () => this.#leave(pool, Math.max(version, this.version + 1), []));
  }

  /** Whether this node was in that pool. */
  hasLeft(pool: string): boolean {
    return this.#farewell(pool, 0) !== null;
  }

  /**
   * A member has applied the version that removed it, which this node has not heard of. The others that had accepted it may
   * be too few without that member, which does not vote any more, to find out what was decided; it has kept it for them.
   */
  parted(pool: string, node: string, { version, documents }: Changes): Promise<void> {
    return this.#in(pool, async () => {
      const isFarewell = documents.some(({ key, value }) => key === peerKey(node) && value === null);
      if (isFarewell && version === this.version + 1) await this.#apply(version, documents);
    });
  }

  #farewell(pool: string | null, since: number): Changes | null {
    const left = pool === this.pool ? undefined : this.#state.left.find((one) => one.pool === pool);
    if (!left) return null;
    const { version, changes } = left;
    return { version, documents: since === version - 1 ? stamped(changes, version) : [], hasLeft: true };
  }

  #changes(pool: string | null, since: number): Changes {
    this.#requirePool(pool);
    return this.#documents.page(since, this.version);
  }

  /** Makes the pool, of this node alone; `peer` is its own document. Nothing may be pending: see `Coordinator`. */
  found(pool: string, peer: unknown): Promise<void> {
    return this.#in(null, async () => {
      this.#check(peerKey(this.self), peer);
      if (this.#state.accepted) throw new PoolError('a change of this node is not finished');
      // What was there before there were versions gets one each, so that a new member can take it page by page.
      await this.#reload();
      // Peers from before, of a GlusterFS pool whose files were adopted, are no members of this one.
      const before = this.#documents.live().filter(({ key }) => !key.startsWith('peer/'));
      const documents = [...before, { key: peerKey(this.self), value: peer, version: 0 }].map((document, i) => ({
        ...document,
        version: i + 1,
      }));
      await this.#save({ ...this.#state, pool, version: documents.length }, documents, true);
    });
  }

  /** Becomes a member with all that the pool has (`changes` since 0). Throws PoolError when this node may not, or is no member there. */
  async join(pool: string, { version, documents, hasLeft }: Changes): Promise<void> {
    // One that has left knows of one change at most, and this node may have joined through another meanwhile.
    if (hasLeft) throw new PoolError('the node that was asked for the state of that pool was removed from it');
    if (this.pool === pool) return this.apply(pool, { version, documents });
    return this.#in(null, async () => {
      await this.#reload();
      if (this.#documents.live().some(({ key }) => key.startsWith('volume/')))
        throw new PoolError('this node has volumes of its own');
      if (new PoolDocuments(documents).get(peerKey(this.self)) === null)
        throw new PoolError('this node is not a member of that pool');
      if (this.#state.left.some((left) => left.pool === pool && left.version >= version))
        throw new PoolError('this node was removed from that pool later');
      for (const { key, value } of documents) this.#check(key, value);
      await this.#save({ ...this.#state, pool, version, accepted: null }, documents, true);
    });
  }

  async #promise(ballot: Ballot, operation: string, lifeMs: number): Promise<LockReply> {
    const { promised } = this.#state;
    if (compareBallots(ballot, promised) < 0 || this.#lock.isOver(ballot) || this.#lock.isTakenFor(ballot))
      return { granted: false, promised: promised ?? ballot, lock: this.#lock.info() };
    if (compareBallots(ballot, promised) > 0) await this.#save({ ...this.#state, promised: ballot });
    this.#lock.take(ballot, operation, lifeMs);
    return { granted: true, version: this.version, accepted: this.#state.accepted };
  }

  async #accept(proposal: Proposal): Promise<AcceptReply> {
    const { promised, version } = this.#state;
    if (compareBallots(proposal.ballot, promised) < 0 || proposal.version !== version + 1)
      return { accepted: false, promised: promised ?? proposal.ballot, version };
    // What is accepted here may be decided by that, and must then be possible to apply everywhere.
    for (const { key, value } of proposal.changes) this.#check(key, value);
    this.#documents.checkMembership(proposal.changes);
    await this.#save({ ...this.#state, promised: proposal.ballot, accepted: proposal });
    return { accepted: true };
  }

  async #learn({ version, changes }: Proposal): Promise<void> {
    if (version === this.version + 1) await this.#apply(version, stamped(changes, version));
  }

  /** A proposal that is ahead of this node was made by somebody who has what is missing. */
  async #comeUp(pool: string | null, { version, ballot }: Proposal): Promise<void> {
    if (pool === null || pool !== this.pool || version <= this.version + 1 || ballot.node === this.self) return;
    await this.whenBehind(ballot.node, pool);
  }

  async #apply(version: number, documents: readonly StoredDocument[]): Promise<void> {
    for (const { key, value } of documents) this.#check(key, value);
    const { pool, accepted } = this.#state;
    if (pool !== null && this.#documents.with(documents).get(peerKey(this.self)) === null) {
      const last = documents.filter((document) => document.version === version);
      return this.#leave(
        pool,
        version,
        last.map(({ key, value }) => ({ key, value })),
      );
    }
    const isPast = accepted !== null && accepted.version <= version;
    await this.#save({ ...this.#state, version, accepted: isPast ? null : accepted }, documents);
  }

  /** Promises stay: they bind in whatever pool. */
  async #leave(pool: string, version: number, changes: readonly DocumentChange[]): Promise<void> {
    const others = this.#state.left.filter((one) => one.pool !== pool);
    const left = [...others, { pool, version, changes }].slice(-mostPoolsLeft);
    await this.#save({ ...newMemberState, promised: this.#state.promised, left }, [], true);
    this.#lock.break();
  }

  async #save(state: MemberState, documents: readonly StoredDocument[] = [], isWhole = false): Promise<void> {
    this.#isUnsure = true;
    await this.#storage.save({ state, documents, isWhole });
    const hasMoved = state.version !== this.version || state.pool !== this.pool;
    this.#state = state;
    if (isWhole) this.#documents = new PoolDocuments(documents);
    else if (documents.length > 0) this.#documents = this.#documents.with(documents);
    this.#isUnsure = false;
    if (hasMoved) this.#onApplied(state.version);
  }

  async #reload(): Promise<void> {
    const { state, documents } = await this.#storage.load();
    this.#state = state;
    this.#documents = new PoolDocuments(documents);
    this.#isUnsure = false;
  }

  #in<T>(pool: string | null, step: () => Promise<T>): Promise<T> {
    return this.#serially(() => {
      this.#requirePool(pool);
      return step();
    });
  }

  #requirePool(pool: string | null): void {
    if (pool !== this.pool) throw new PoolError('this node is not in that pool');
  }

  #serially<T>(step: () => Promise<T>): Promise<T> {
    const run = async () => {
      if (this.#isUnsure) await this.#reload();
      return step();
    };
    const result = this.#tail.then(run, run);
    this.#tail = result.catch(() => {});
    return result;
  }
}

function stamped(changes: readonly DocumentChange[], version: number): StoredDocument[] {
  return changes.map(({ key, value }) => ({ key, value, version }));
}
