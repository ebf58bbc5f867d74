/**
 * A lease: a fenced whole-file (or whole-directory) write lock on a quorum of the replicas, kept while it is used and
 * given up when another client wants it or it idles. Everything that changes a file runs under its lease, so replicas
 * apply the same changes in the same order (docs/replicate.md).
 */
import { Fd, type Gfid, type Inode, type Xattrs } from '@mortar/core';
import { dirtyKey, encodeVector, isZero, type Kind, kinds, type Matrix, vectorOf } from './changelog.ts';
import { judge, type Rules, type Verdict } from './judgement.ts';
import { KnownNames } from './known-names.ts';
import { Ordering } from './ordering.ts';
import type { ReplicaSet } from './replica-set.ts';

/** The lock on one child. */
export interface Hold {
  fence: number;
  /** Dirty marks raised on this child, to be taken off at release. */
  dirty: [number, number, number];
  /** By kind: whom it blames since a change under this lease, for being away. */
  readonly raised: Record<Kind, readonly number[]>;
  /** Kinds of what it changed under this lease: lost, if its machine dies before it is on disk. */
  readonly did: Set<Kind>;
}

const nobody: readonly number[] = [];

export function holdOf(fence: number): Hold {
  return { fence, dirty: [0, 0, 0], raised: { data: nobody, metadata: nobody, entry: nobody }, did: new Set() };
}

export class Lease {
  readonly gfid: Gfid;
  readonly owner: string;
  /** By child; absent: not a participant (down, refused, or failed since). */
  readonly holds = new Map<number, Hold>();
  /** Former participants. */
  readonly left = new Map<number, Hold>();
  /** Of these: who may hold the lock still, and is unlocked at the end. */
  readonly locked = new Set<number>();
  /** Children that were there and did not grant it. */
  shutOut: readonly number[] = [];
  /** The changelog as the participants had it when the lease was got. */
  readonly matrix: Matrix;
  /** By kind: absent children whose blame is written on the participants. */
  readonly blamed: Record<Kind, Set<number>> = { data: new Set(), metadata: new Set(), entry: new Set() };
  /** By kind: participants that those who are believed accuse since, for they were not. */
  readonly settled: Record<Kind, Set<number>> = { data: new Set(), metadata: new Set(), entry: new Set() };
  /** Kinds of which something was changed, or may have been. */
  readonly touched = new Set<Kind>();
  /** Children whose dirty mark must outlive the lease: they did what the quorum did not. */
  readonly suspect = new Set<number>();
  readonly ordering = new Ordering();
  /** Of a directory. */
  readonly names: KnownNames;
  /** When all participants last did what was asked of them, by the monotonic clock. */
  heardMs: number;
  /** Operations in flight. */
  users = 0;
  /** When the last of them ended, also under the lease before; and how long it was then until the next one. */
  usedAtMs = Number.NEGATIVE_INFINITY;
  pauseMs = Number.POSITIVE_INFINITY;
  /** Another client waits, or a child came back: no new users. */
  recalled = false;
  /** Somebody was waiting already when it was granted: it ends with its first users. */
  contended = false;
  /** A name of the file was removed: it may be gone altogether. */
  lostName = false;
  /** Something was changed that is not known to be on disk. */
  unsynced = false;
  readonly inode: Inode;
  /** Resolves when it is off the bricks. */
  readonly ended: Promise<void>;
  leaving = false;
  #end: () => void = () => {};
  #fd: Fd | undefined;
  readonly #verdicts = new Map<number, Verdict>();

  /** `isNew`: got together with the creation of what it is on. */
  constructor(gfid: Gfid, owner: string, matrix: Matrix, inode: Inode, nowMs: number, isNew = false) {
    this.gfid = gfid;
    this.owner = owner;
    this.matrix = matrix;
    this.inode = inode;
    this.heardMs = nowMs;
    this.names = new KnownNames(isNew);
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  /** Goes on without a child. */
  leaveOut(child: number): void {
    const hold = this.holds.get(child);
    if (!hold) return;
    this.holds.delete(child);
    this.left.set(child, hold);
    this.locked.add(child);
  }

  /** A participant, or one that left meanwhile, changed something. */
  did(child: number, kind: Kind): void {
    (this.holds.get(child) ?? this.left.get(child))?.did.add(kind);
    this.unsynced = true;
  }

  /** What `preOp` raised is not on this child. */
  didNotMark(child: number, kind: Kind): void {
    const hold = this.holds.get(child) ?? this.left.get(child);
    if (!hold) return;
    hold.dirty[kinds.indexOf(kind) as 0 | 1 | 2] = 0;
    hold.raised[kind] = nobody;
  }

  end(): void {
    this.#fd?.release();
    this.#end();
  }

  /** To sync it by, where nobody has it open. */
  get fd(): Fd {
    this.#fd ??= new Fd(this.gfid);
    return this.#fd;
  }

  /** Nobody was accused and nothing open when it was granted. */
  get isUnmarked(): boolean {
    return this.matrix.every((log) => log !== undefined && isZero(log.dirty) && log.blames.every(isZero));
  }

  get participants(): number[] {
    return [...this.holds.keys()].sort((a, b) => a - b);
  }

  /** The token of a child, also of one that left: whether it is good still is the brick's to say. */
  fenceOf(child: number): number {
    return (this.holds.get(child) ?? this.left.get(child))!.fence;
  }

  /** What follows from the changelog; worked out once, since every change asks for it several times. The arbiter is always the same. */
  verdict(kind: Kind, rules: Rules): Verdict {
    const at = kinds.indexOf(kind) + kinds.length * (rules.quorumCount ?? 0);
    const known = this.#verdicts.get(at);
    if (known) return known;
    const verdict = judge(this.matrix, kind, rules);
    this.#verdicts.set(at, verdict);
    return verdict;
  }

  /** Participants that hold the truth of a kind; empty: split-brain. */
  sources(kind: Kind, rules: Rules): readonly number[] {
    return this.verdict(kind, rules).sources;
  }
}

/** The dirty mark and the blame that go before an operation; empty when they are on disk already. */
export function preOp(lease: Lease, child: number, kind: Kind, set: ReplicaSet): Xattrs {
  const values: Xattrs = {};
  const at = kinds.indexOf(kind) as 0 | 1 | 2;
  const one = encodeVector(vectorOf({ [kind]: 1 }));
  const hold = lease.holds.get(child)!;
  if (hold.dirty[at] === 0) {
    values[dirtyKey] = one;
    hold.dirty[at] = 1;
  }
  const missing = absentees(lease, set).filter((absent) => !lease.blamed[kind].has(absent));
  for (const absent of missing) values[set.pendingKeys[absent]!] = one;
  if (missing.length > 0) hold.raised[kind] = [...hold.raised[kind], ...missing];
  const { believed, doubted } = beliefs(lease, kind, set);
  // All will be dirty now: who is right is told by blame from here on, by those who are. Nobody knows which names these were.
  if (believed.includes(child))
    for (const other of doubted.filter((one) => !lease.settled[kind].has(one)))
      values[set.pendingKeys[other]!] = encodeVector(vectorOf({ [kind]: 1, ...(kind === 'entry' ? { data: 1 } : {}) }));
  return values;
}

/**
 * Participants that nobody accuses, by whether they were believed when the lease was got. Who was not lost a change with its machine,
 * or made one that the others did not.
 */
export function beliefs(lease: Lease, kind: Kind, { arbiter }: Rules): { believed: number[]; doubted: number[] } {
  const { sources, doubted } = lease.verdict(kind, { arbiter });
  const isThere = (child: number) => lease.holds.has(child);
  return { believed: sources.filter(isThere), doubted: doubted.filter(isThere) };
}

/** Children that the lease does not cover. */
export function absentees(lease: Lease, set: ReplicaSet): number[] {
  return set.children.flatMap((_, child) => (lease.holds.has(child) ? [] : [child]));
}

/**
 * Whether nobody reads what a few of the participants did: with all of them there and no blame anywhere it stands, dirty, against
 * those that did nothing, and is not believed. So it may be done once more, also when others have changed the same meanwhile.
 */
export function isHidden(leases: readonly Lease[], set: ReplicaSet): boolean {
  return leases.every((lease) => lease.isUnmarked && lease.holds.size === set.count);
}
