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

/** Documents changed after a version, each as it is now. */
export interface Changes {
  readonly version: number;
  readonly documents: readonly { readonly key: string; readonly value: unknown; readonly version: number }[];
}

/** How a member is asked; rejects when it cannot be reached in time. */
export interface Member {
  lock(ballot: Ballot, operation: string, lifeMs: number): Promise<LockReply>;
  accept(proposal: Proposal): Promise<AcceptReply>;
  learn(proposal: Proposal): Promise<void>;
  unlock(ballot: Ballot): Promise<void>;
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
  /** Whether this is the only member. */
  readonly isAlone: boolean;
}
