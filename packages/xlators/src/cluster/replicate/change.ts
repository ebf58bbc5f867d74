/** A change of a file or of names, as a transaction carries it out; and what came of it. */
import type { Args, ByteString, Call, compoundStep, Failure, Fd, FopName, Gfid, Success } from '@mortar/core';
import type { Kind } from './changelog.ts';
import type { Lease } from './lease.ts';
import type { Claim } from './ordering.ts';
import type { Replies } from './replica-set.ts';

export interface Change<N extends FopName> {
  readonly fop: N;
  readonly call: Call;
  /** The open file it goes through: it may have no name any more. */
  readonly fd?: Fd;
  readonly kind: Kind;
  /** What is locked and marked: the file itself, or the directory (or two) whose names change. */
  readonly under: readonly Gfid[];
  /** For each of `under`: what must not be changed by two of our own operations at once. */
  readonly claims: readonly (readonly Claim[])[];
  readonly args: (child: number, absent: readonly number[]) => Args<N>;
  /** Arguments that depend on the state under the lease; takes the place of `args`. */
  readonly prepare?: (lease: Lease, leases: readonly Lease[]) => Promise<Args<N> | Failure>;
  /** It may be done twice, says all in its arguments, and nothing has to be known for it: it may travel with the request for its lease. */
  readonly rides?: boolean;
  /** entry changes: the names touched in each directory of `under`, for granular heal. */
  readonly names?: readonly (readonly ByteString[])[];
  /** What the children answered, as the set takes it: one that did it to something else has failed. */
  readonly agreed?: (replies: Replies<N>) => Replies<N>;
  /** Takes the change back on children that did it when a quorum did not. Whether that came off: only then it may be tried again. */
  readonly undo?: (children: readonly number[], call: Call, replies: Replies<N>, lease: Lease) => Promise<boolean>;
  /** A child that was not waited for has answered after all. */
  readonly late?: (child: number) => void;
  /** Some brick did it, or may have done it because its answer was lost: `after` may hold there whatever the outcome. */
  readonly reached?: () => void;
  /** More steps on the same brick after the operation, e.g. the lock on the new file. */
  readonly after?: (child: number) => readonly ReturnType<typeof compoundStep>[];
}

export interface Outcome<N extends FopName> {
  readonly reply: Success<N>;
  readonly replies: Replies<N>;
  /** Children that did it. */
  readonly done: readonly number[];
  readonly absent: readonly number[];
  /** By child: replies to the `after` steps. */
  readonly extra: readonly (readonly { readonly ok: boolean }[] | undefined)[];
}
