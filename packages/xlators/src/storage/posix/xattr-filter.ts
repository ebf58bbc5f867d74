/** Which extended attributes belong to the file system itself (ondisk format, section 4.9). */
import type { ByteString } from '@mortar/core';

const internalPrefixes = [
  'trusted.gfid',
  'trusted.glusterfs.',
  'trusted.afr.',
  'trusted.ec.',
  'trusted.pgfid.',
  'trusted.bit-rot.',
  'trusted.gfs.squota.',
];

/** Internal attributes are not listed, and only the file system's own calls change them. */
export function isInternalXattr(name: ByteString): boolean {
  return name.startsWith('trusted.') && internalPrefixes.some((prefix) => name.startsWith(prefix));
}

/** Kept by this translator alone, on whose behalf soever a call comes: they are the identity of the object. */
export function isOwnXattr(name: ByteString): boolean {
  return name === 'trusted.gfid' || name.startsWith('trusted.gfid2path.') || name === 'trusted.glusterfs.volume-id';
}

/** A test for the names and `prefix*` patterns that a lookup wants. */
export function wanted(patterns: readonly ByteString[]): { names: ByteString[]; prefixes: ByteString[] } {
  const names: ByteString[] = [];
  const prefixes: ByteString[] = [];
  for (const pattern of patterns) {
    if (pattern.endsWith('*')) prefixes.push(pattern.slice(0, -1));
    else names.push(pattern);
  }
  return { names, prefixes };
}
