/** The seam between agreement (who decides and keeps the documents) and sites (how nodes reach each other). */
import type { Pool } from './types.ts';

/** A call of `Member` by name, as it travels. */
export const memberCallNames = ['lock', 'accept', 'learn', 'unlock', 'holder', 'changes'] as const;
export type MemberCallName = (typeof memberCallNames)[number];

/** Agreement on this node. */
export interface PoolParts {
  readonly pool: Pool;
  /** Null: this node is in no pool. */
  readonly poolId: string | null;
  /** Serves a member's call; checks the parameters. */
  answer(pool: string, name: MemberCallName, params: unknown): Promise<unknown>;
  /** Makes a pool of this node alone; `peer` is its own document. */
  found(pool: string, peer: unknown): Promise<void>;
  /** Takes everything from a member of a pool that has this node as a member already. */
  join(node: string, pool: string): Promise<void>;
  /** This node was removed by that version. */
  removed(pool: string, version: number): Promise<void>;
  /** Whether this node was in that pool: who knows its id may ask since when it is not. */
  hasLeft(pool: string): boolean;
  /** Whether that node was a member of this pool and is none any more. */
  hasRemoved(node: string): boolean;
  /** Takes from a member what was missed. */
  catchUp(node: string): Promise<void>;
}

/** What agreement needs of the rest. */
export interface PoolSurroundings {
  /** Uuid of this node. */
  readonly self: string;
  /** Rejects when the node cannot be reached. */
  call(node: string, pool: string, name: MemberCallName, params: unknown): Promise<unknown>;
  /** To be called after each version that was applied here. */
  applied(): void;
  /** To be called when the lock was taken from an operation of this node. */
  broken(): void;
}
