/** What follows from the marks of all replicas: who is right, who is to be healed, what may be read. Pure; rules: docs/replicate.md. */
import { isNewborn, isWitnessed, type Kind, kinds, type Matrix, shakenCount } from './changelog.ts';

export interface Verdict {
  /** Children that hold the truth; empty: split-brain, unless nobody is accused. */
  readonly sources: readonly number[];
  /** Children that a source accuses, and those with an open transaction where others have none. */
  readonly sinks: readonly number[];
  /** Every source has an open transaction: each has all that was acknowledged, but they may differ in what was not. */
  readonly inDoubt: boolean;
  /**
   * A minority is left unaccused, its machine went down in the middle of a transaction, and another child that nobody accuses is
   * away: what the others missed may have been lost here, and be there. Or, of names, all who answer are accused, and one that may
   * tell who of them is right is away: names that are only added then may be some that were removed. Of anything so, if one was made anew
   * and accuses another: that one missed something, and who accuses may have little else. Nobody is right until that one is back.
   */
  readonly isAlone: boolean;
  /** The sources are accused too, by fewer than can have made an acknowledged change without them. */
  readonly isDisputed: boolean;
  /**
   * Of names: some are accused, but those who are right accuse none of them, have nothing open, and nobody is away. Who has what was
   * acknowledged accuses whom it passed by, so these missed nothing of it, least of all a removal: what they alone have is kept.
   */
  readonly isHarmless: boolean;
  /** Sinks that nobody accuses: their dirty mark, or the want of one, speaks against them. */
  readonly doubted: readonly number[];
  /** Whether any counter of this kind is non-zero anywhere. */
  readonly pending: boolean;
}

/** What decides beside the marks. */
export interface Rules {
  /** Replicas that make a quorum; 0 or absent: an acknowledged change may rest on fewer. */
  readonly quorumCount?: number;
  /** The child that has names and attributes and no data: it accuses and bears witness, and nobody's data come from it. */
  readonly arbiter?: number | undefined;
}

/** One kind's counters of a matrix. */
class Counters {
  readonly children: readonly number[];
  readonly answering: readonly number[];
  /** The arbiter, of a kind that it has no part in. */
  readonly witness: number | undefined;
  readonly #matrix: Matrix;
  readonly #isWhole: boolean;
  readonly #kind: Kind;
  readonly #at: 0 | 1 | 2;

  constructor(matrix: Matrix, kind: Kind, arbiter: number | undefined) {
    this.#matrix = matrix;
    this.#kind = kind;
    this.#at = kinds.indexOf(kind) as 0 | 1 | 2;
    this.children = matrix.map((_, i) => i);
    this.answering = this.children.filter((i) => matrix[i] !== undefined);
    this.#isWhole = this.answering.length === matrix.length;
    this.witness = kind === 'data' ? arbiter : undefined;
  }

  blame(i: number, j: number): number {
    return this.#matrix[i]?.blames[j]?.[this.#at] ?? 0;
  }

  dirt(i: number): number {
    return this.#matrix[i]?.dirty[this.#at] ?? 0;
  }

  isSelfAccused(i: number): boolean {
    return this.blame(i, i) !== 0;
  }

  isNewborn(i: number): boolean {
    return isNewborn(this.#matrix, i, this.#kind);
  }

  /**
   * Who accuses himself was in the middle of a change: what he says of others is in doubt. Of names it counts, for then they are merged,
   * and so does what one says that was made anew: whom it passed by missed something.
   */
  accusers(j: number): number {
    const isHeard = (i: number) => this.#kind === 'entry' || !this.isSelfAccused(i) || this.isNewborn(i);
    return this.answering.filter((i) => i !== j && isHeard(i) && this.speaksAgainst(i, j)).length;
  }

  /** Whether it accuses; where all are there not if it was only told: who told it speaks for himself. */
  speaksAgainst(i: number, j: number): boolean {
    const count = this.blame(i, j);
    if (count === 0) return false;
    return i === j || !this.#isWhole || isWitnessed(count);
  }

  /**
   * Who may accuse it as well: who does not answer, and who was made anew since: who is to be healed by a quorum, and has seen nothing. Not
   * every one of these says so itself, for GlusterFS's heal does not mark it; but then it took part in no change that was left open. Of
   * names one that was made anew has not to be feared: where nobody is right they are merged, and that would undo removals.
   */
  unheard(j: number, quorumCount: number): number {
    const isNew = (i: number) =>
      this.#kind !== 'entry' &&
      i !== j &&
      this.accusers(i) >= quorumCount &&
      (this.isNewborn(i) || this.dirt(i) === 0) &&
      this.children.every((other) => !isWitnessed(this.blame(i, other)));
    return this.children.filter((i) => !this.answering.includes(i) || isNew(i)).length;
  }

  /** Of a directory the data counter accuses as well: of any name. */
  knowsOf(i: number, j: number): boolean {
    return this.blame(i, j) !== 0 || (this.#matrix[i]?.blames[j]?.[0] ?? 0) !== 0;
  }

  get isPending(): boolean {
    return this.answering.some((i) => this.dirt(i) !== 0 || this.#matrix[i]!.blames.some((v) => v[this.#at] !== 0));
  }
}

/**
 * Who is right, for one kind. Only children with an answer can be sources. With no unaccused child, one that fewer than a quorum
 * accuse is a source still, unless its machine went down under a transaction.
 *
 * A dirty mark comes off a child only when the transaction is complete and durable on all that are not accused. So what is
 * neither accused nor dirty has all that was acknowledged, and what is dirty has it too and perhaps something that nobody
 * acknowledged: it is not believed beside a majority without. But a child whose machine died may have lost its mark with what
 * it marked: unless more are settled, the dirty ones are believed.
 */
export function judge(matrix: Matrix, kind: Kind, { quorumCount = 0, arbiter }: Rules = {}): Verdict {
  const counters = new Counters(matrix, kind, arbiter);
  const { children, answering } = counters;
  const silent = children.length - answering.length;
  const unaccused = acquitted(counters, quorumCount);
  const isAway = (j: number) => matrix[j] === undefined && counters.accusers(j) === 0;
  const isMerged = kind === 'entry' && quorumCount > 0 && counters.isPending;
  const isUnheard =
    unaccused.length === 0 && silent > 0 && (isMerged || answering.some((child) => counters.isNewborn(child)));
  const isAlone = isUnheard || areAlone(counters, unaccused, isAway);
  const sources = believed(counters, unaccused);
  const sinks = children.filter((j) => {
    if (sources.includes(j)) return false;
    return (
      unaccused.includes(j) ||
      sources.some((i) => counters.blame(i, j) !== 0) ||
      (matrix[j] !== undefined && counters.isSelfAccused(j))
    );
  });
  const doubted = unaccused.filter((j) => !sources.includes(j));
  const isDisputed = unaccused.some((j) => counters.accusers(j) > 0);
  const inDoubt = sources.some((j) => counters.dirt(j) !== 0);
  const accused = answering.filter((j) => !unaccused.includes(j));
  const isHarmless =
    kind === 'entry' &&
    silent + doubted.length === 0 &&
    !inDoubt &&
    !isDisputed &&
    sources.length > 0 &&
    accused.length > 0 &&
    !sources.some((i) => accused.some((j) => counters.knowsOf(i, j)));
  return { sources, sinks, inDoubt, isAlone, isDisputed, isHarmless, doubted, pending: counters.isPending };
}

/** Whom nobody accuses; with no such child those that too few accuse to have made an acknowledged change without them. */
function acquitted(counters: Counters, quorumCount: number): number[] {
  const { answering, witness } = counters;
  const unaccused = answering.filter((j) => counters.accusers(j) === 0 && !counters.isSelfAccused(j));
  if (quorumCount === 0 || unaccused.some((j) => j !== witness)) return unaccused;
  const few = answering.filter(
    (j) =>
      j !== witness &&
      counters.accusers(j) + counters.unheard(j, quorumCount) < quorumCount &&
      !counters.isSelfAccused(j) &&
      counters.dirt(j) < shakenCount,
  );
  return [...few, ...unaccused];
}

/** What may be read: children that no answering child accuses and that are believed, as `judge` has it. */
export function readable(matrix: Matrix, kind: Kind, arbiter?: number): number[] {
  const counters = new Counters(matrix, kind, arbiter);
  const { answering } = counters;
  const isAccused = (j: number) => answering.some((i) => counters.speaksAgainst(i, j));
  const unaccused = answering.filter((j) => !isAccused(j));
  const isAway = (j: number) => matrix[j] === undefined && !isAccused(j);
  return areAlone(counters, unaccused, isAway) ? [] : believed(counters, unaccused);
}

/**
 * A minority that may lack what another has who is away: it is all that is left, and its machines went down under a transaction. Of
 * data beside an arbiter, which can give nobody what was lost, also one that has nothing open where the arbiter has: it may have lost its mark.
 */
function areAlone(counters: Counters, unaccused: readonly number[], isAway: (child: number) => boolean): boolean {
  const { children, witness } = counters;
  const holders = unaccused.filter((child) => child !== witness);
  if (holders.length === 0 || !children.some((child) => child !== witness && isAway(child))) return false;
  if (holders.every((child) => counters.dirt(child) >= shakenCount) && children.length > 2)
    return witness !== undefined || 2 * unaccused.length <= children.length;
  return witness !== undefined && isOnly(witness, mostTrusted(counters, unaccused));
}

/** Of children that nobody accuses those that are right; never the arbiter alone if any of them has data. */
function believed(counters: Counters, unaccused: readonly number[]): number[] {
  const { witness } = counters;
  const trusted = mostTrusted(counters, unaccused);
  if (witness === undefined || !isOnly(witness, trusted)) return trusted;
  // What it has nothing open for may be lost on those who have the data: but nobody else has it either.
  const holders = unaccused.filter((child) => child !== witness);
  return [...mostTrusted(counters, holders), witness];
}

function isOnly(child: number, among: readonly number[]): boolean {
  return among.length === 1 && among[0] === child;
}

/**
 * Those without an open transaction if they are more, else the others. When they are as many,
 * one that is settled may have lost its mark and its data with its machine; the dirty ones have all that was acknowledged.
 * Not so those whose machine is known to have gone down: they are the last to be believed.
 */
function mostTrusted(counters: Counters, unaccused: readonly number[]): number[] {
  const settled = unaccused.filter((child) => counters.dirt(child) === 0);
  if (2 * settled.length > unaccused.length) return settled;
  const whole = unaccused.filter((child) => counters.dirt(child) !== 0 && counters.dirt(child) < shakenCount);
  if (whole.length > 0) return whole;
  return settled.length > 0 ? settled : [...unaccused];
}
