/** What the parts of the pool share (docs/pool.md). Everything here goes over the wire or to disk as JSON. */

/** Ordered by round, then by node; no two nodes ever use the same. */
export interface Ballot {
  readonly round: number;
  /** Uuid of the node that uses it. */
  readonly node: string;
}

/** One document's new value; null: removed. Keys: `globals`, `volume/NAME`, `peer/UUID`. */
export interface DocumentChange {
  readonly key: string;
  readonly value: unknown;
}

export interface Proposal {
  /** The version that it makes. */
  readonly version: number;
  readonly ballot: Ballot;
  readonly changes: readonly DocumentChange[];
}

export interface LockInfo {
  /** Uuid of the holder. */
  readonly node: string;
  /** For people: `volume start v`. */
  readonly operation: string;
  readonly ageMs: number;
  readonly expiresInMs: number;
}

export type LockReply =
  | { readonly granted: true; readonly version: number; readonly accepted: Proposal | null }
  | { readonly granted: false; readonly promised: Ballot; readonly lock: LockInfo | null };

export type AcceptReply =
  | { readonly accepted: true }
  | { readonly accepted: false; readonly promised: Ballot; readonly version: number };

export interface HolderReply {
  readonly lock: LockInfo | null;
}

/** A holder as several members know it. */
export interface Holding extends LockInfo {
  /** How many members know of it. */
  readonly members: number;
}

/** Documents changed after a version, each as it is now. */
export interface Changes {
  readonly version: number;
  readonly documents: readonly { readonly key: string; readonly value: unknown; readonly version: number }[];
  /** Who was asked is no member any more since that version; it has kept that change at most, for who lacks no more. */
  readonly hasLeft?: boolean | undefined;
}

/** How a member is asked; rejects when it cannot be reached in time. */
export interface Member {
  lock(ballot: Ballot, operation: string, lifeMs: number): Promise<LockReply>;
  accept(proposal: Proposal): Promise<AcceptReply>;
  learn(proposal: Proposal): Promise<void>;
  unlock(ballot: Ballot): Promise<void>;
  /** Who has the lock there; `isBroken`: it is taken from them. */
  holder(isBroken: boolean): Promise<HolderReply>;
  /** `since`: the asker's version. */
  changes(since: number): Promise<Changes>;
}

/** The pool as operations use it. */
export interface Pool {
  readonly version: number;
  /**
   * Runs `work` under the cluster lock; `propose` in it commits one change by agreement and resolves when it is decided and
   * applied here. OperationError without a majority, or naming the holder when the lock is taken.
   */
  transact<T>(
    operation: string,
    work: (propose: (changes: readonly DocumentChange[]) => Promise<void>) => Promise<T>,
  ): Promise<T>;
  /** Who has the lock, as all members that answer know it; several if some could not be told of its end. */
  holders(): Promise<Holding[]>;
  /**
   * Takes the lock from whoever has it: when this resolves, nothing is committed any more by who had it. OperationError
   * without a majority. Who had it, and the ballot below which no proposal is decided any more.
   */
  breakLock(): Promise<{ holders: Holding[]; ballot: Ballot }>;
  /** To be done before a member that has lost its disk joins again; rejects when it may not. */
  readmit(node: string): Promise<void>;
  /** Whether this is the only member. */
  readonly isAlone: boolean;
}
