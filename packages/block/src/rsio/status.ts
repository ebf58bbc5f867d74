/** The payload of a reply to STATUS: 12 bytes an extent, its length (u64) and what it is (u32: 1 hole, 2 zero). */
import type { Extent } from '../device/device.ts';

const extentBytes = 12;

export function encodeExtents(extents: readonly Extent[]): Buffer {
  const bytes = Buffer.alloc(extents.length * extentBytes);
  for (const [i, { length, hole, zero }] of extents.entries()) {
    bytes.writeBigUInt64LE(BigInt(length), i * extentBytes);
    bytes.writeUInt32LE((hole ? 1 : 0) | (zero ? 2 : 0), i * extentBytes + 8);
  }
  return bytes;
}

/** Null: that is no such payload, or not of this range. */
export function decodeExtents(bytes: Buffer, lengthMax: number): Extent[] | null {
  if (bytes.length === 0 || bytes.length % extentBytes !== 0) return null;
  const extents: Extent[] = [];
  let left = lengthMax;
  for (let at = 0; at < bytes.length; at += extentBytes) {
    const length = Number(bytes.readBigUInt64LE(at));
    const flags = bytes.readUInt32LE(at + 8);
    if (length === 0 || length > left || flags > 3) return null;
    left -= length;
    extents.push({ length, hole: (flags & 1) !== 0, zero: (flags & 2) !== 0 });
  }
  return extents;
}
