import type { ByteString } from '@mortar/core';

/**
 * Where a listing goes on behind a name: a number from 1 to 2^53 - 1 that depends on the name alone. Two 32-bit lanes,
 * each multiplied and mixed by every byte, so that names in sequence scatter.
 */
export function nameOffset(name: ByteString): number {
  let a = 0x9e3779b1 | 0;
  let b = 0x85ebca77 | 0;
  for (let i = 0; i < name.length; i++) {
    const byte = name.charCodeAt(i);
    a = Math.imul(a ^ byte, 0x01000193);
    b = Math.imul(b ^ byte, 0xc2b2ae3d);
    a ^= b >>> 15;
    b ^= a >>> 13;
  }
  a = Math.imul(a ^ (a >>> 16), 0x27d4eb2f);
  b = Math.imul(b ^ (b >>> 15), 0x165667b1);
  const high = (a ^ (a >>> 15)) & 0x1fffff;
  const low = (b ^ (b >>> 13)) >>> 0;
  return high * 2 ** 32 + low || 1;
}
