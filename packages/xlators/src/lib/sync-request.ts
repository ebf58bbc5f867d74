/**
 * `storage.sync`, an ipc operation: the answer comes when all the objects it names are on disk. Data: 16 bytes a gfid; the
 * answer: a byte an object, 0 or the errno. A storage without it answers EOPNOTSUPP.
 */
import { type Gfid, gfidFromBytes, writeGfid } from '@mortar/core';

export const syncOperation = 'storage.sync';
/** Most objects of one request. */
export const syncMax = 256;
const gfidBytes = 16;

export function encodeSync(gfids: readonly Gfid[]): Buffer {
  const data = Buffer.alloc(gfids.length * gfidBytes);
  for (const [i, gfid] of gfids.entries()) writeGfid(gfid, data, i * gfidBytes);
  return data;
}

/** Null: not such a request. */
export function decodeSync(data: Uint8Array | undefined): Gfid[] | null {
  if (data === undefined || data.length === 0 || data.length % gfidBytes !== 0) return null;
  if (data.length > syncMax * gfidBytes) return null;
  return Array.from({ length: data.length / gfidBytes }, (_, i) => gfidFromBytes(data, i * gfidBytes));
}

/** `errnos`: 0 or an errno, by object. */
export function encodeSynced(errnos: readonly number[]): Buffer {
  return Buffer.from(errnos);
}

/** Null: not an answer about `count` objects. */
export function decodeSynced(data: Uint8Array | undefined, count: number): number[] | null {
  return data?.length === count ? [...data] : null;
}
