/**
 * A change that travels with the request for its lease: one round trip instead of two (docs/replicate.md, The first change
 * of a lease). Whatever else becomes of it, it is done again under the lease, so it must be one that may be done twice.
 */
import {
  type Args,
  type Call,
  compoundStep,
  type FopName,
  locOf,
  type RawReply,
  type RawStep,
  type Reply,
  withXdata,
  type Xdata,
} from '@mortar/core';
import type { Change } from './change.ts';
import { dirtyKey, encodeVector, kinds, vectorOf } from './changelog.ts';
import type { Lease } from './lease.ts';
import type { ReplicaSet, Replies } from './replica-set.ts';

/** A change for whose lease nobody has asked yet. */
export class Rider<N extends FopName = FopName> {
  readonly #change: Change<N>;
  readonly #set: ReplicaSet;
  /** By child that has the mark: what it answered to the operation. */
  readonly #replies = new Map<number, Reply<N> | undefined>();
  #isSpent = false;

  constructor(change: Change<N>, set: ReplicaSet) {
    this.#change = change;
    this.#set = set;
  }

  /** Bricks ask whether he may: the request for the lease is made in his name. */
  get caller(): Pick<Call, 'uid' | 'gid' | 'groups' | 'pid'> {
    const { uid, gid, groups, pid } = this.#change.call;
    return { uid, gid, groups, pid };
  }

  /** Behind the lock: the dirty mark, and the operation. None if it has travelled before. */
  steps(child: number): RawStep[] {
    if (this.#isSpent) return [];
    const { fop, fd, kind, under, args } = this.#change;
    const xdata = { underGrant: true };
    const mark = {
      operation: 'add32' as const,
      values: { [dirtyKey]: encodeVector(vectorOf({ [kind]: 1 })) },
      xdata,
    };
    const given: Args<N> & { xdata?: Xdata } = args(child, []);
    return [
      fd ? compoundStep('fxattrop', { fd, ...mark }) : compoundStep('xattrop', { loc: locOf(under[0]!), ...mark }),
      compoundStep(fop, withXdata(given, xdata)),
    ];
  }

  /** The lease is there; what came of the steps, by participant. Their marks are the lease's to take off. */
  arrived(lease: Lease, replies: ReadonlyMap<number, readonly RawReply[]>): void {
    if (this.#isSpent) return;
    this.#isSpent = true;
    const { kind } = this.#change;
    for (const [child, [mark, operation]] of replies) {
      if (!mark?.ok) continue;
      lease.holds.get(child)!.dirty[kinds.indexOf(kind) as 0 | 1 | 2] = 1;
      this.#replies.set(child, operation as Reply<N> | undefined);
      // Whoever goes now may lose it: the end of the lease has to know that there is something to lose.
      if (operation?.ok) lease.did(child, kind);
    }
    if (!this.#isWhole && !this.#isNowhere) for (const child of this.#replies.keys()) lease.suspect.add(child);
  }

  /**
   * What all replicas answered, if all did it. Then it is done, under the lease that came with it: under a later one others
   * may have changed the same, and who was there may be away.
   */
  get replies(): Replies<N> | undefined {
    return this.#isWhole ? this.#set.children.map((_, child) => this.#replies.get(child)) : undefined;
  }

  get #isWhole(): boolean {
    return this.#set.children.every((_, child) => this.#replies.get(child)?.ok);
  }

  /** All that came to it refused it, and alike. */
  get #isNowhere(): boolean {
    const errnos = new Set([...this.#replies.values()].map((reply) => (reply && !reply.ok ? reply.errno : 0)));
    return errnos.size === 1 && !errnos.has(0);
  }
}
