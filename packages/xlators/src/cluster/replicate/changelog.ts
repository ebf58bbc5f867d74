/**
 * The changelog xattrs as numbers; what follows from them is `judgement.ts`. Pure; format: docs/replicate.md, GlusterFS's on-disk
 * format sections 5.1 and 5.3.
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
/**
 * A counter of this and more in which a replica accuses itself: heal made the object on it, and has not filled it yet. GlusterFS
 * takes it for any accusation of itself: it is to be healed. So much is added where it accuses others because it was told so then.
 */
export const newbornCount = 0x10000;

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

/** Whether child `i` was given the object and not its contents yet. */
export function isNewborn(matrix: Matrix, i: number, kind: Kind): boolean {
  return (matrix[i]?.blames[i]?.[kinds.indexOf(kind) as 0 | 1 | 2] ?? 0) >= newbornCount;
}

/** Whether whoever accuses by this counter has seen it, and was not only told when it was made. */
export function isWitnessed(count: number): boolean {
  return count % newbornCount !== 0;
}

/** Changelogs by child; undefined where a child gave no answer. */
export type Matrix = readonly (Changelog | undefined)[];
