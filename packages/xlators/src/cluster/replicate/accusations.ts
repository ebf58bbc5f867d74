/**
 * Who is told on disk to have missed a change, or to have made one that does not stand; and what has to be on disk before that is
 * said. docs/replicate.md, steps 5 and 6 of the transaction.
 */
import {
  type Args,
  compoundStep,
  type Failure,
  FileType,
  type FopName,
  locOf,
  type RawStep,
  type Reply,
  type Xattrs,
} from '@mortar/core';
import { failureIn, isRefusal, shortWrite } from './answers.ts';
import type { Change } from './change.ts';
import { encodeVector, type Kind, kinds, vectorOf } from './changelog.ts';
import type { InodeContexts } from './inode-context.ts';
import { bearers, wholeAmong } from './lasting.ts';
import type { Lease } from './lease.ts';
import { failureOf, type ReplicaSet, type Replies } from './replica-set.ts';

export interface AccusationHost {
  readonly set: ReplicaSet;
  readonly contexts: InodeContexts;
  /** Whether names are recorded for heal. */
  readonly granular: boolean;
  /** Whether what the promise rests on is on the disk before a caller hears of success. */
  readonly ensureDurability: boolean;
  warn(text: string): void;
}

export class Accusations {
  readonly #host: AccusationHost;
  readonly #set: ReplicaSet;

  constructor(host: AccusationHost) {
    this.#host = host;
    this.#set = host.set;
  }

  /** Who holds the truth of a kind. */
  sources(kind: Kind, leases: readonly Lease[]): readonly number[] {
    return leases[0]!.sources(kind, this.#set);
  }

  /** Whether a change that only `done` made is the set's: a quorum made it, among them one that holds the truth. Names, also if nobody does. */
  stands(kind: Kind, leases: readonly Lease[], done: readonly number[]): boolean {
    if (!this.#set.suffices(done)) return false;
    const isHeld = (lease: Lease) => {
      const sources = lease.sources(kind, this.#set);
      return sources.length === 0 || done.some((child) => sources.includes(child));
    };
    if (kind === 'entry') return leases.every(isHeld);
    const sources = this.sources(kind, leases);
    return done.some((child) => sources.includes(child) && (kind !== 'data' || this.#set.holdsData(child)));
  }

  /** The step that makes marks durable. */
  sync<N extends FopName>(change: Change<N>, lease: Lease): RawStep[] {
    if (!this.#host.ensureDurability) return [];
    const isDirectory = this.#host.contexts.inode(lease.gfid).type === FileType.directory || change.kind === 'entry';
    return [compoundStep(isDirectory ? 'fsyncdir' : 'fsync', { fd: change.fd ?? lease.fd, dataOnly: false })];
  }

  /** Writes on those that did it that the others missed it, and goes on without them. Returns who of them did not write it. */
  async blame<N extends FopName>(
    change: Change<N>,
    leases: readonly Lease[],
    done: readonly number[],
    failed: readonly number[],
    replies: Replies<N>,
  ): Promise<ReadonlyMap<number, Failure>> {
    for (const child of failed) {
      const { errno } = replies[child] as Failure;
      this.#host.warn(
        `${change.fop} on ${change.under.join(', ')}: child ${child} failed with errno ${errno} where others succeeded; it is marked for healing`,
      );
    }
    const refused = new Map<number, Failure>();
    let marked = done;
    // Where the change does not stand, whoever did it must not accuse those who may hold the truth.
    for (let missing = failed; missing.length > 0 && this.stands(change.kind, leases, marked); ) {
      const refusals = await this.#accuse(change, leases, marked, missing);
      for (const [child, failure] of refusals) refused.set(child, failure);
      marked = marked.filter((child) => !refusals.has(child));
      // Who could not write it would pass for clean beside whom it should accuse: it is blamed as well.
      missing = [...refusals.keys()];
    }
    return refused;
  }

  /** Where few of those that did it are believed, it is on their disks first. A failure where it is on none. */
  async makeLast<N extends FopName>(
    change: Change<N>,
    leases: readonly Lease[],
    done: readonly number[],
  ): Promise<Failure | undefined> {
    if (!this.#host.ensureDurability) return undefined;
    const holders = change.kind === 'data' ? done.filter((child) => this.#set.holdsData(child)) : done;
    for (const lease of leases) {
      const bearing = bearers(holders, lease.sources(change.kind, this.#set), (children) =>
        this.#set.suffices(children),
      );
      if (bearing.length === 0) continue;
      const replies = await this.#set.wind(bearing, 'compound', change.call, () => ({
        steps: this.sync(change, lease),
      }));
      const failures = bearing.flatMap((child) => failureIn(replies[child]) ?? []);
      if (failures.length === bearing.length) return failureOf(failures);
      // It may lose what it could not make durable: it keeps its mark, and the next lease finds out.
      for (const child of bearing.filter((one) => failureIn(replies[one]))) lease.suspect.add(child);
      if (failures.length > 0) lease.recalled = true;
    }
    return undefined;
  }

  /**
   * A change that the caller is told did not happen, and that those who refused it do not have, who hold the truth without it: they
   * accuse those who made it. Their dirty marks alone would tell nobody who reads from them already, and make them the ones that are
   * believed beside few that have none.
   */
  async disown<N extends FopName>(
    change: Change<N>,
    leases: readonly Lease[],
    done: readonly number[],
    failed: readonly number[],
    replies: Replies<N>,
  ): Promise<void> {
    const refusing = failed.filter((child) => isRefusal((replies[child] as Failure).errno));
    if (change.kind === 'entry') return;
    // Of others nobody knows whether they did it, or a part of it.
    const isKnown = refusing.length === failed.length && refusing.every((child) => replies[child] !== shortWrite);
    const known = isKnown ? wholeAmong(refusing, leases[0]!.matrix, change.kind, this.#set) : [];
    const whole = change.kind !== 'data' || known.some((child) => this.#set.holdsData(child)) ? known : [];
    if (whole.length === 0 && !this.stands(change.kind, leases, refusing)) return;
    const at = kinds.indexOf(change.kind) as 0 | 1 | 2;
    const one = encodeVector(vectorOf({ [change.kind]: 1 }));
    for (const lease of leases) {
      const unnamed = (child: number) => done.filter((other) => lease.matrix[child]!.blames[other]![at] === 0);
      this.#host.contexts.exclude(lease.gfid, change.kind, done);
      const accusing = (whole.length > 0 ? whole : refusing).filter((child) => unnamed(child).length > 0);
      // What was acknowledged rests on them alone from here on: it is on their disks before that is said.
      await this.#writeMarks(
        change,
        lease,
        accusing,
        (child) => ({
          operation: 'add32' as const,
          values: Object.fromEntries(unnamed(child).map((other) => [this.#set.pendingKeys[other]!, one])),
          xdata: { fence: lease.fenceOf(child) },
        }),
        this.sync(change, lease),
      );
    }
  }

  /** Through the open file if there is one: it may have no name any more. What is told by blame alone must not be lost with a machine. */
  #writeMarks<N extends FopName>(
    change: Change<N>,
    lease: Lease,
    children: readonly number[],
    mark: (child: number) => Omit<Args<'fxattrop'>, 'fd'>,
    before: readonly RawStep[] = [],
  ): Promise<readonly (Reply<'compound'> | undefined)[]> {
    const { fd, call } = change;
    return this.#set.wind(children, 'compound', call, (child) => ({
      steps: [
        ...before,
        fd
          ? compoundStep('fxattrop', { fd, ...mark(child) })
          : compoundStep('xattrop', { loc: locOf(lease.gfid), ...mark(child) }),
        ...this.sync(change, lease),
      ],
    }));
  }

  /** Blame for `missing` on `children`; which of these did not write it, and why. */
  async #accuse<N extends FopName>(
    change: Change<N>,
    leases: readonly Lease[],
    children: readonly number[],
    missing: readonly number[],
  ): Promise<ReadonlyMap<number, Failure>> {
    const refused = new Map<number, Failure>();
    for (const lease of leases) {
      const unnamed = missing.filter((child) => !lease.blamed[change.kind].has(child));
      for (const child of missing) lease.leaveOut(child);
      this.#host.contexts.exclude(lease.gfid, change.kind, missing);
      lease.recalled = true;
      const one = encodeVector(vectorOf({ [change.kind]: 1 }));
      const values: Xattrs = Object.fromEntries(unnamed.map((child) => [this.#set.pendingKeys[child]!, one]));
      const names = this.#host.granular ? change.names?.[change.under.indexOf(lease.gfid)] : undefined;
      for (const child of unnamed) lease.blamed[change.kind].add(child);
      const xdata = (child: number) => ({
        fence: lease.fenceOf(child),
        ...(names ? { pendingNames: [...names] } : {}),
      });
      const replies = await this.#writeMarks(change, lease, children, (child) => ({
        operation: 'add32' as const,
        values,
        xdata: xdata(child),
      }));
      for (const child of children) {
        const failure = failureIn(replies[child]);
        if (failure) refused.set(child, failure);
      }
    }
    return refused;
  }
}
