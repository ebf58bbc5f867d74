/** The 32-bit sum that GlusterFS's nodes compare volumes by (format: glusterd store, section 3). */

const bufferBytes = 1024;
const seed = [0xba, 0xbe, 0xb0, 0x0b];

/** Adds the bytes to a sum; 0 begins one. */
export function sum(bytes: Uint8Array, from = 0): number {
  const b: number[] = [from & 0xff, (from >>> 8) & 0xff, (from >>> 16) & 0xff, from >>> 24];
  for (let at = 0; at < bytes.length; at += bufferBytes) addBuffer(b, bytes.subarray(at, at + bufferBytes));
  return ((b[0]! | (b[1]! << 8) | (b[2]! << 16) | (b[3]! << 24)) >>> 0) as number;
}

function addBuffer(b: number[], buffer: Uint8Array): void {
  const n = buffer.length;
  if (!b.some(Boolean)) b.splice(0, 4, ...seed);
  const mix = (index: number, byte: number, shift: number) => {
    b[index] = (b[index]! ^ (byte << shift)) & 0xff;
  };
  for (let i = 0; i < n - 4; i += 4) for (let t = 0; t < 4; t++) mix(t, buffer[i + t]!, t);
  // One to four bytes are left, seen from the end.
  for (let t = 0; t <= n % 4; t++) mix(t, buffer[n - 4 + t] ?? 0, t);
}

/** What `vols/V/cksum` says: the sum over the lines of `info`, sorted. */
export function infoChecksum(info: string): number {
  const lines = info.split('\n').filter((line) => line !== '');
  const sorted = lines.map((line) => Buffer.from(`${line}\n`)).sort(Buffer.compare);
  return sum(Buffer.concat(sorted));
}

/** What nodes exchange about a volume. */
export function volumeChecksum(info: string): number {
  const own = infoChecksum(info);
  return sum(Buffer.from(`info=${own}\n`), own);
}
