/**
 * The changelog xattrs as numbers, and what follows from them. Pure; format and rules: docs/replicate.md,
 * GlusterFS's on-disk format sections 5.1 and 5.3.
 */
import type { Xattrs } from '@mortar/core';

/** Position of a transaction's kind in a changelog vector. */
export const kinds = ['data', 'metadata', 'entry'] as const;
export type Kind = (typeof kinds)[number];

/** Counters of missed operations: data, metadata, entry. */
export type Vector = readonly [number, number, number];
export const zeroVector: Vector = [0, 0, 0];
export const dirtyKey = 'trusted.afr.dirty';
/** Three big-endian 32-bit integers. */
const vectorSizeBytes = 12;
/**
 * A dirty counter of this and more: the machine went down under the transaction, and what the replica was told then may be lost.
 * The brick adds it when it starts (features/index); no client has that many transactions open.
 */
export const shakenCount = 0x10000;

/** A missing or short xattr reads as zeros, as in GlusterFS. */
export function decodeVector(bytes: Uint8Array | undefined): Vector {
  if (!bytes || bytes.length < vectorSizeBytes) return zeroVector;
  const view = new DataView(bytes.buffer, bytes.byteOffset, vectorSizeBytes);
  return [view.getInt32(0), view.getInt32(4), view.getInt32(8)];
}

export function encodeVector(vector: Vector): Uint8Array {
  const bytes = new Uint8Array(vectorSizeBytes);
  const view = new DataView(bytes.buffer);
  for (const [i, value] of vector.entries()) view.setInt32(i * 4, value);
  return bytes;
}

export function vectorOf(counts: Partial<Record<Kind, number>>): Vector {
  return [counts.data ?? 0, counts.metadata ?? 0, counts.entry ?? 0];
}

export function isZero(vector: Vector): boolean {
  return vector[0] === 0 && vector[1] === 0 && vector[2] === 0;
}

export function negated(vector: Vector): Vector {
  return [0 - vector[0], 0 - vector[1], 0 - vector[2]];
}

/** What one brick's xattrs say: whom it blames, and how many transactions were left open on it. */
export interface Changelog {
  /** By child: operations that child is believed to miss. */
  readonly blames: readonly Vector[];
  readonly dirty: Vector;
}

/** `keys[j]` is the xattr in which a brick blames child j. */
export function changelogOf(xattrs: Xattrs, keys: readonly string[]): Changelog {
  return { blames: keys.map((key) => decodeVector(xattrs[key])), dirty: decodeVector(xattrs[dirtyKey]) };
}

/** Changelogs by child; undefined where a child gave no answer. */
export type Matrix = readonly (Changelog | undefined)[];

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
   * tell who of them is right is away: names that are only added then may be some that were removed. Nobody is right until that one is back.
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

/**
 * Who is right, for one kind. Only children with an answer can be sources. `quorumCount`: with no unaccused child,
 * one that fewer than this many accuse is a source still, unless its machine went down under a
 * transaction (0 disables the rule).
 *
 * A dirty mark comes off a child only when the transaction is complete and durable on all that are not accused. So what is
 * neither accused nor dirty has all that was acknowledged, and what is dirty has it too and perhaps something that nobody
 * acknowledged: it is not believed beside a majority without. But a child whose machine died may have lost its mark with what
 * it marked: unless more are settled, the dirty ones are believed.
 */
export function judge(matrix: Matrix, kind: Kind, quorumCount = 0): Verdict {
  const at = kinds.indexOf(kind) as 0 | 1 | 2;
  const blame = (i: number, j: number) => matrix[i]?.blames[j]?.[at] ?? 0;
  const selfAccused = (i: number) => blame(i, i) !== 0;
  const isDirty = (i: number) => (matrix[i]?.dirty[at] ?? 0) !== 0;
  const children = matrix.map((_, i) => i);
  const dirtOf = (i: number) => matrix[i]?.dirty[at] ?? 0;
  const answering = children.filter((i) => matrix[i] !== undefined);
  // Who accuses himself was in the middle of a change: what he says of others is in doubt. Of names it counts, for then they are merged.
  const isHeard = (i: number, j: number) => (kind === 'entry' ? i !== j : !selfAccused(i));
  const accusers = (j: number) => answering.filter((i) => isHeard(i, j) && blame(i, j) !== 0).length;
  const silent = children.length - answering.length;
  let unaccused = answering.filter((j) => accusers(j) === 0 && !selfAccused(j));
  if (unaccused.length === 0 && quorumCount > 0) {
    // Who does not answer may be an accuser. One that was acknowledged by a quorum and lost it with its machine is accused by fewer.
    unaccused = answering.filter(
      (j) => accusers(j) + silent < quorumCount && !selfAccused(j) && dirtOf(j) < shakenCount,
    );
  }
  const sources = believed(unaccused, dirtOf);
  const sinks = children.filter((j) => {
    if (sources.includes(j)) return false;
    return (
      unaccused.includes(j) || sources.some((i) => blame(i, j) !== 0) || (matrix[j] !== undefined && selfAccused(j))
    );
  });
  const pending = answering.some((i) => isDirty(i) || matrix[i]!.blames.some((v) => v[at] !== 0));
  const isUnheard = kind === 'entry' && quorumCount > 0 && pending && unaccused.length === 0 && silent > 0;
  const isAlone =
    isUnheard || areAlone(children, unaccused, dirtOf, (j) => matrix[j] === undefined && accusers(j) === 0);
  const doubted = unaccused.filter((j) => !sources.includes(j));
  const isDisputed = unaccused.some((j) => accusers(j) > 0);
  const inDoubt = sources.some(isDirty);
  const accused = answering.filter((j) => !unaccused.includes(j));
  // Of a directory the data counter accuses as well: of any name.
  const knowsOf = (i: number, j: number) => blame(i, j) !== 0 || (matrix[i]?.blames[j]?.[0] ?? 0) !== 0;
  const isHarmless =
    kind === 'entry' &&
    silent + doubted.length === 0 &&
    !inDoubt &&
    !isDisputed &&
    sources.length > 0 &&
    accused.length > 0 &&
    !sources.some((i) => accused.some((j) => knowsOf(i, j)));
  return { sources, sinks, inDoubt, isAlone, isDisputed, isHarmless, doubted, pending };
}

/** What may be read: children that no answering child accuses and that are believed, as `judge` has it. */
export function readable(matrix: Matrix, kind: Kind): number[] {
  const at = kinds.indexOf(kind) as 0 | 1 | 2;
  const accused = new Set<number>();
  for (const log of matrix)
    for (const [j, vector] of (log?.blames ?? []).entries()) if (vector[at] !== 0) accused.add(j);
  const unaccused = matrix.flatMap((log, j) => (log && !accused.has(j) ? [j] : []));
  const dirtOf = (j: number) => matrix[j]!.dirty[at];
  const children = matrix.map((_, j) => j);
  const isAway = (j: number) => matrix[j] === undefined && !accused.has(j);
  return areAlone(children, unaccused, dirtOf, isAway) ? [] : believed(unaccused, dirtOf);
}

function areAlone(
  children: readonly number[],
  unaccused: readonly number[],
  dirtOf: (child: number) => number,
  isAway: (child: number) => boolean,
): boolean {
  if (children.length <= 2 || unaccused.length === 0 || 2 * unaccused.length > children.length) return false;
  return unaccused.every((child) => dirtOf(child) >= shakenCount) && children.some(isAway);
}

/**
 * Of children that nobody accuses: those without an open transaction if they are more, else the others. When they are as many,
 * one that is settled may have lost its mark and its data with its machine; the dirty ones have all that was acknowledged.
 * Not so those whose machine is known to have gone down: they are the last to be believed.
 */
function believed(unaccused: readonly number[], dirtOf: (child: number) => number): number[] {
  const settled = unaccused.filter((child) => dirtOf(child) === 0);
  if (2 * settled.length > unaccused.length) return settled;
  const whole = unaccused.filter((child) => dirtOf(child) !== 0 && dirtOf(child) < shakenCount);
  if (whole.length > 0) return whole;
  return settled.length > 0 ? settled : [...unaccused];
}
