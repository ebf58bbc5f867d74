/** Data to and from a file: cut into requests, copied only where it must be. */
import { freshBytes, type Reply, returnBytes, type Success } from '@mortar/core';
import type { CallOptions } from './client.ts';
import type { GraphFile, WriteHow } from './graph-file.ts';

/** Bytes of a request. */
export const maxTransfer = 1 << 20;
/** Pieces of one transfer that travel side by side. */
const window = 4;

type Piece = { ok: true; count: number } | { ok: false; errno: number };

/**
 * Runs the pieces of a range. What counts is whole from the start: a piece that came out short or failed ends it. The
 * failure is told if it is of the first byte.
 */
async function inPieces(size: number, work: (at: number, length: number) => Promise<Piece>): Promise<Piece> {
  if (size <= maxTransfer) return work(0, size);
  let done = 0;
  const under: { length: number; piece: Promise<Piece> }[] = [];
  let at = 0;
  try {
    for (;;) {
      for (; at < size && under.length < window; at += maxTransfer) {
        const length = Math.min(maxTransfer, size - at);
        const piece = work(at, length);
        // A signal ends all of them, and the first that is waited for tells of it: nobody may be left to hear the others.
        piece.catch(() => {});
        under.push({ length, piece });
      }
      const next = under.shift();
      if (!next) return { ok: true, count: done };
      const piece = await next.piece;
      if (piece.ok) done += piece.count;
      if (piece.ok && piece.count === next.length) continue;
      return piece.ok || done > 0 ? { ok: true, count: done } : piece;
    }
  } finally {
    // None may be under way when its caller is told, for it has the buffer.
    await Promise.allSettled(under.map((other) => other.piece));
  }
}

/** Reads into `into`; fewer bytes only at the end of the file. */
export function readInto(file: GraphFile, into: Uint8Array, position: number, options?: CallOptions): Promise<Piece> {
  return inPieces(into.length, async (at, length) => {
    const reply = await file.readv(position + at, length, options);
    if (!reply.ok) return reply;
    const data = reply.data.length > length ? reply.data.subarray(0, length) : reply.data;
    into.set(data, at);
    if (file.returnsReads) returnBytes(reply.data);
    return { ok: true, count: data.length };
  });
}

export interface Written {
  ok: true;
  count: number;
  /** The reply to the last piece that was written. */
  last: Success<'writev'> | null;
}

/** Writes all of `data` at `position`, or with `how.append` at the end. */
export async function writeFrom(
  file: GraphFile,
  data: Uint8Array,
  position: number,
  how: WriteHow = {},
): Promise<Written | { ok: false; errno: number }> {
  let last: Success<'writev'> | null = null;
  const write = async (at: number, length: number): Promise<Piece> => {
    const piece = length === data.length ? data : data.subarray(at, at + length);
    const reply: Reply<'writev'> = await file.writev(position + at, ownedBy(file, piece, how), how);
    if (!reply.ok) return reply;
    last = reply;
    return { ok: true, count: reply.written };
  };
  const piece = how.append ? await inTurn(data.length, write) : await inPieces(data.length, write);
  return piece.ok ? { ok: true, count: piece.count, last } : piece;
}

/** Appends go one after the other: each has to know where the one before ended. */
async function inTurn(size: number, work: (at: number, length: number) => Promise<Piece>): Promise<Piece> {
  let done = 0;
  do {
    const length = Math.min(maxTransfer, size - done);
    const piece = await work(done, length);
    if (!piece.ok) return done > 0 ? { ok: true, count: done } : piece;
    done += piece.count;
    if (piece.count < length) break;
  } while (done < size);
  return { ok: true, count: done };
}

/**
 * Data that may be looked at for as long as the graph likes: the caller's own only if it cannot change too early. Of what
 * cannot be left early that is asked when it is sent: the graph may be another one by then, and keep what this one does not.
 */
function ownedBy(
  file: GraphFile,
  data: Uint8Array,
  { signal, timeoutMs }: CallOptions,
): Uint8Array | (() => Uint8Array) {
  if (signal || timeoutMs !== undefined || file.client.isBounded) return copyOf(data);
  return () => (file.returnsWrites ? data : copyOf(data));
}

function copyOf(data: Uint8Array): Uint8Array {
  const copy = freshBytes(data.length);
  copy.set(data);
  return copy;
}

/** Several buffers as one: small ones are put together, which costs less than a request each. */
export function gathered(buffers: readonly Uint8Array[]): Uint8Array {
  if (buffers.length === 1) return buffers[0]!;
  const all = freshBytes(buffers.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const buffer of buffers) {
    all.set(buffer, at);
    at += buffer.length;
  }
  return all;
}
