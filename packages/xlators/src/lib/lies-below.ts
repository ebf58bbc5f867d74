/**
 * A question to the storage, asked as an extended attribute of an object: whether a name of it lies in a directory or
 * below (of the directory itself: yes). What cannot tell refuses with EOPNOTSUPP.
 */
import { type ByteString, type Gfid, isGfid } from '@mortar/core';

const prefix = 'glusterfs.lies-below:';

/** `nameless`: it has lost its last name and is only open still. */
export type Place = 'below' | 'elsewhere' | 'nameless';

const places: readonly Place[] = ['elsewhere', 'below', 'nameless'];

export function liesBelowXattr(directory: Gfid): ByteString {
  return prefix + directory;
}

/** The directory that is asked for; null if that is not the question. */
export function directoryAskedFor(xattr: ByteString): Gfid | null {
  if (!xattr.startsWith(prefix)) return null;
  const gfid = xattr.slice(prefix.length);
  return isGfid(gfid) ? gfid : null;
}

export function encodePlace(place: Place): Uint8Array {
  return Uint8Array.of(places.indexOf(place));
}

export function decodePlace(value: Uint8Array | undefined): Place | undefined {
  return value?.length === 1 ? places[value[0]!] : undefined;
}
