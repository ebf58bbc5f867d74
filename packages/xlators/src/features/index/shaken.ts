/** Dirty marks of replicas whose machine went down under a change (docs/replicate.md, Marks). */
import type { ByteString, Xattrs } from '@mortar/core';

/** Added to each dirty counter that is not zero; a counter of this and more has it already. */
export const shakenCount = 0x10000;
const vectorSizeBytes = 12;

/** What to add to the dirty marks of a file. */
export function shaken(marks: Xattrs): Xattrs {
  const values: Xattrs = {};
  for (const [name, value] of Object.entries(marks)) {
    if (value.length !== vectorSizeBytes) continue;
    const now = new DataView(value.buffer, value.byteOffset, vectorSizeBytes);
    const by = new Uint8Array(vectorSizeBytes);
    for (let at = 0; at < vectorSizeBytes; at += 4) {
      const count = now.getInt32(at);
      if (count > 0 && count < shakenCount) new DataView(by.buffer).setInt32(at, shakenCount);
    }
    if (by.some((byte) => byte !== 0)) values[name] = by;
  }
  return values;
}

/** All names of a list that is read page by page; an error ends it. */
export function* eachPage(page: (after: ByteString) => ByteString[] | number): Generator<ByteString> {
  for (let after = ''; ; ) {
    const names = page(after);
    if (typeof names === 'number' || names.length === 0) return;
    yield* names;
    after = names.at(-1)!;
  }
}
