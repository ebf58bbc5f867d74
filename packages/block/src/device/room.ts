/** Memory for one payload, of any length, that serves again when it is given back (`returnBytes`). */
import { freshBytes, lendBytes, returnBytes } from '@mortar/core';

/** From one of the sizes that `freshBytes` has again and again; what is smaller or larger than those is not rounded up. */
const roundedMinBytes = 32 * 1024;
const roundedMaxBytes = 1024 * 1024;

/** Uninitialised. The kernel cuts long transfers where it likes: few of them are of a size that is a power of 2. */
export function roomFor(bytes: number): Buffer {
  if (bytes < roundedMinBytes || bytes > roundedMaxBytes) return freshBytes(bytes);
  const whole = freshBytes(2 ** Math.ceil(Math.log2(bytes)));
  return whole.length === bytes ? whole : lendBytes(whole.subarray(0, bytes), () => returnBytes(whole));
}
