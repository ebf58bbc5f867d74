/** What the answer of one child to its part of a transaction means. */
import {
  Errno,
  type Failure,
  type FopName,
  fail,
  loseBytes,
  type Reply,
  returnBytes,
  type Success,
} from '@mortar/core';
import { isAbsence } from './replica-set.ts';

/** Why a compound was not carried out to its end. */
export function failureIn(reply: Reply<'compound'> | undefined): Failure | undefined {
  const last = reply?.ok ? (reply.replies.at(-1) ?? fail(Errno.EIO)) : (reply ?? fail(Errno.ENOTCONN));
  return last.ok ? undefined : (last as Failure);
}

export function isLost(reply: { ok: boolean } | undefined): boolean {
  return (
    reply !== undefined &&
    !reply.ok &&
    (isAbsence((reply as Failure).errno) || (reply as Failure).errno === Errno.ESTALE)
  );
}

/** The child answers, and has refused: its disk did not fail on the way, and it did no part of it. */
export function didNothing(failure: Failure): boolean {
  return (
    !isAbsence(failure.errno) && failure.errno !== Errno.EIO && failure.errno !== Errno.ESTALE && failure !== shortWrite
  );
}

/** The child says that it did nothing, because it may not or cannot hold more. */
export function isRefusal(errno: Errno): boolean {
  return errno === Errno.ENOSPC || errno === Errno.EDQUOT || errno === Errno.EFBIG || errno === Errno.EROFS;
}

/** The answer to what `data` was sent with: after an error it may still be on its way. */
export function withoutData<R extends { readonly ok: boolean }>(reply: R, data: Uint8Array | undefined): R {
  if (data) (reply.ok ? returnBytes : loseBytes)(data);
  return reply;
}

/** Of a brick that wrote a part, and has neither what was there before nor what the others have. */
export const shortWrite = fail(Errno.ENOSPC);

/** `bytes` were to be written. A brick whose disk is full writes what fits: it does not have what the others have. */
export function whole<N extends FopName>(reply: Reply<N>, bytes: number): Reply<N> {
  return reply.ok && bytes > 0 && (reply as Success<'writev'>).written < bytes ? shortWrite : reply;
}
