/**
 * Where a name stands in a listing: a 40-bit hash of its bytes (docs/directory-listing.md). Every replica computes the
 * same, so the hash is part of the protocol: it must not change.
 */
import type { ByteString } from '@mortar/core';

/** 0 is the start, 1 and 2 are `.` and `..`; the rest is kept free. */
export const firstNameOffset = 16;
/** Above it there is room for names whose hashes collide at the very end. */
export const lastNameOffset = 2 ** 40 - 4097;
const span = lastNameOffset - firstNameOffset + 1;

function finish(h: number): number {
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/**
 * Two 32-bit lanes over the bytes, each multiplied and rotated for every byte (constants of MurmurHash3), crossed and
 * finished; 8 bits of one and 32 of the other.
 */
export function nameOffset(name: ByteString): number {
  let a = 0x9747b28c ^ name.length;
  let b = 0x5bd1e995 ^ name.length;
  for (let i = 0; i < name.length; i++) {
    const byte = name.charCodeAt(i);
    a = Math.imul(a ^ byte, 0xcc9e2d51);
    a = (a << 15) | (a >>> 17);
    b = Math.imul(b ^ byte, 0x1b873593);
    b = (b << 13) | (b >>> 19);
  }
  const low = finish(a ^ (b >>> 11));
  const high = finish(b ^ low);
  return firstNameOffset + (((high & 0xff) * 2 ** 32 + low) % span);
}
