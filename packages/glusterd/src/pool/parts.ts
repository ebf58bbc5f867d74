/** The seam between agreement (who decides and keeps the documents) and sites (how nodes reach each other). */
import type { Changes, Member, Pool } from './types.ts';

/** Agreement on this node. */
export interface PoolParts {
  readonly pool: Pool;
  /** This node's own part in decisions: what other members ask of it. */
  readonly member: Member;
  /** Replaces the documents of this node, which is alone, by all of a pool. */
  join(changes: Changes): Promise<void>;
  /** The documents of the pool go; the node is alone. */
  leave(): Promise<void>;
  /** A member can be reached (again): what was missed is taken from it. Never rejects for a peer's sake. */
  catchUp(member: Member): Promise<void>;
}

/** What agreement needs of the rest: who the members are at the moment, this node not among them. */
export interface PoolSurroundings {
  others(): readonly { readonly uuid: string; readonly member: Member }[];
}
