/** The counter at the copy of a directory that decides its xattrs: below zero while a change may not be on all. Pure. */

export function decodeCounter(bytes: Uint8Array | undefined): number {
  if (!bytes || bytes.length < 4) return 0;
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getInt32(0);
}

export function encodeCounter(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}
