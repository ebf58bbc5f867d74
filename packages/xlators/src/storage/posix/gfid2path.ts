/**
 * `trusted.gfid2path.<hash>`: one on every non-directory for each of its names (ondisk format, section 2). The value
 * is `<parent gfid>/<name>`, the hash its XXH64.
 */
import { type ByteString, type Gfid, isGfid } from '@mortar/core';
import { xxh64 } from './xxh64.ts';

export const gfid2pathPrefix = 'trusted.gfid2path.';

export interface PathRecord {
  xattr: string;
  value: Uint8Array;
}

export function pathRecord(parent: Gfid, name: ByteString): PathRecord {
  const value = Buffer.from(`${parent}/${name}`, 'latin1');
  return { xattr: gfid2pathPrefix + xxh64(value), value };
}

/** The parent and name in a record's value; null if it is none. */
export function parsePathRecord(value: Uint8Array): { parent: Gfid; name: ByteString } | null {
  const text = Buffer.from(value.buffer, value.byteOffset, value.length).toString('latin1');
  const parent = text.slice(0, 36);
  if (!isGfid(parent) || text[36] !== '/' || text.length < 38) return null;
  return { parent, name: text.slice(37) };
}
