/**
 * Whose file data is. The data of a write is the caller's and of use to the callee until its reply; the data that a read
 * gives is the caller's for good. Copies and fresh memory cost more than anything else in a large request, hence both
 * may be lent (docs/payloads.md): a caller that promises to give back (`returnBytes`) may get bytes that the callee goes
 * on using, and the data of a write lies in memory that is used again after an `ok` reply.
 */

type Lent = Uint8Array & { [onReturn]?: (() => void) | undefined };
const onReturn = Symbol('onReturn');

/** Marks `bytes` as lent: who is given them calls `returnBytes` when he has done with them, or has them for good. */
export function lendBytes<T extends Uint8Array>(bytes: T, returned: () => void): T {
  (bytes as Lent)[onReturn] = returned;
  return bytes;
}

/** The caller of a read has done with its data, and knows that nobody else has it. Bytes that were not lent are nobody's. */
export function returnBytes(bytes: Uint8Array): void {
  const returned = (bytes as Lent)[onReturn];
  if (!returned) return;
  (bytes as Lent)[onReturn] = undefined;
  returned();
}
