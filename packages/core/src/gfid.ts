import type { Random } from './ports.ts';

/** A file's identity through the whole volume: the canonical lower-case text of 16 bytes. */
export type Gfid = string & { readonly __gfid: true };

export const nullGfid = '00000000-0000-0000-0000-000000000000' as Gfid;
export const rootGfid = '00000000-0000-0000-0000-000000000001' as Gfid;

const pattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const digitCode = Uint8Array.from('0123456789abcdef', (digit) => digit.charCodeAt(0));
/** Where the two digits of byte i stand in the text. */
const digitAt = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34] as const;
const nibble = new Uint8Array(128);
for (let i = 0; i < 16; i++) nibble[i.toString(16).charCodeAt(0)] = i;

export function isGfid(text: string): text is Gfid {
  return pattern.test(text);
}

/** The text is written here, then read as one string: a sum of its parts would take twice the memory for as long as it lives. */
const written = Buffer.from('00000000-0000-0000-0000-000000000000', 'latin1');

/** The gfid in 16 bytes at `offset`. */
export function gfidFromBytes(bytes: Uint8Array, offset = 0): Gfid {
  for (let i = 0; i < 16; i++) {
    const byte = bytes[offset + i]!;
    const at = digitAt[i]!;
    written[at] = digitCode[byte >>> 4]!;
    written[at + 1] = digitCode[byte & 15]!;
  }
  return written.toString('latin1') as Gfid;
}

/** The 32 bits of a gfid from byte `first` on, a multiple of 2, as a big-endian number. */
export function gfidWord(gfid: Gfid, first: number): number {
  let word = 0;
  for (let i = first; i < first + 4; i++) {
    const at = digitAt[i]!;
    word = (word << 8) | (nibble[gfid.charCodeAt(at)]! << 4) | nibble[gfid.charCodeAt(at + 1)]!;
  }
  return word >>> 0;
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
