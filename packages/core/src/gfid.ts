import type { Random } from './ports.ts';

/** A file's identity through the whole volume: the canonical lower-case text of 16 bytes. */
export type Gfid = string & { readonly __gfid: true };

export const nullGfid = '00000000-0000-0000-0000-000000000000' as Gfid;
export const rootGfid = '00000000-0000-0000-0000-000000000001' as Gfid;

const pattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const hexOfByte = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));
/** Where the two digits of byte i stand in the text. */
const digitAt = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34] as const;
const nibble = new Uint8Array(128);
for (let i = 0; i < 16; i++) nibble[i.toString(16).charCodeAt(0)] = i;

export function isGfid(text: string): text is Gfid {
  return pattern.test(text);
}

/** The gfid in 16 bytes at `offset`. */
export function gfidFromBytes(bytes: Uint8Array, offset = 0): Gfid {
  const hex = (i: number) => hexOfByte[bytes[offset + i]!]!;
  return `${hex(0)}${hex(1)}${hex(2)}${hex(3)}-${hex(4)}${hex(5)}-${hex(6)}${hex(7)}-${hex(8)}${hex(9)}-${hex(10)}${hex(11)}${hex(12)}${hex(13)}${hex(14)}${hex(15)}` as Gfid;
}

/** Writes the 16 bytes of a gfid at `offset`. */
export function writeGfid(gfid: Gfid, bytes: Uint8Array, offset = 0): void {
  for (let i = 0; i < 16; i++) {
    const at = digitAt[i]!;
    bytes[offset + i] = (nibble[gfid.charCodeAt(at)]! << 4) | nibble[gfid.charCodeAt(at + 1)]!;
  }
}

export function gfidBytes(gfid: Gfid): Buffer {
  const bytes = Buffer.allocUnsafe(16);
  writeGfid(gfid, bytes);
  return bytes;
}

/** A fresh random gfid (RFC 4122 version 4). */
export function newGfid(random: Random): Gfid {
  const bytes = random.bytes(16);
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return gfidFromBytes(bytes);
}
