/** What a member keeps on disk, and the port that keeps it. */
import type { Ballot, DocumentChange, Proposal } from './types.ts';

export interface MemberState {
  /** Id of the pool; null: this node is in none. */
  readonly pool: string | null;
  readonly version: number;
  readonly promised: Ballot | null;
  /** For the next version. */
  readonly accepted: Proposal | null;
  readonly left: readonly PoolLeft[];
}

/** A pool that this node was removed from. What it had accepted there is forgotten, so no older state of it takes it in again. */
export interface PoolLeft {
  readonly pool: string;
  /** The one that removed it. */
  readonly version: number;
  /** What that version changed, for members that have not heard of it; none if this node was only told that it is gone. */
  readonly changes: readonly DocumentChange[];
}

/** A document with the version that changed it last; null: removed. */
export interface StoredDocument {
  readonly key: string;
  readonly value: unknown;
  readonly version: number;
}

export interface PoolBatch {
  readonly state: MemberState;
  /** Put in place of what was there. A value of null leaves a tombstone. */
  readonly documents: readonly StoredDocument[];
  /** Everything else of the pool goes, tombstones too. */
  readonly isWhole?: boolean;
}

export interface PoolStorage {
  /** As the last batch left it. */
  load(): Promise<{ readonly state: MemberState; readonly documents: readonly StoredDocument[] }>;
  /** All of it or nothing, on disk when it resolves; if it rejects, either. */
  save(batch: PoolBatch): Promise<void>;
}

export const newMemberState: MemberState = { pool: null, version: 0, promised: null, accepted: null, left: [] };
/** Of `left`: the oldest are dropped beyond. */
export const mostPoolsLeft = 64;
