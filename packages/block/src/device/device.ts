/**
 * A block device: what everything that serves or uses blocks meets in. Offsets and sizes are bytes, numbers below 2^53;
 * replies are values, as with fops (docs/block.md).
 */
import { Errno } from '@mortar/core';

/** At once where nothing has to be waited for: a door answers those of one receive together, without a promise each. */
export type Answer<T> = T | Promise<T>;

export type Failure = { readonly ok: false; readonly errno: Errno };
export type Done = { readonly ok: true } | Failure;

/**
 * The data of a read, in order: as many bytes as were asked for. A piece may be the device's own memory, which later writes
 * change; whoever needs it as it is now copies it. What was lent (core's `lendBytes`) is given back by who got it. Pieces
 * of `zeroPiece` are known to be holes.
 */
export type ReadReply = { readonly ok: true; readonly pieces: readonly Uint8Array[] } | Failure;

/** What a range consists of. A hole takes no room; `zero` reads as zeroes. */
export interface Extent {
  readonly length: number;
  readonly hole: boolean;
  readonly zero: boolean;
}

/** At least one extent, from the start of the range; together at most as long as the range, less where finding out costs. */
export type StatusReply = { readonly ok: true; readonly extents: readonly Extent[] } | Failure;

export interface ZeroHow {
  /** The range need not take room afterwards. */
  readonly mayTrim: boolean;
  /** ENOTSUP (EOPNOTSUPP) at once, and nothing changed, unless it is quicker than writing. */
  readonly fast: boolean;
  /** On stable storage before the answer. */
  readonly fua: boolean;
}

/** What does not change as long as a device is open. */
export interface Traits {
  readonly readOnly: boolean;
  /** Offsets and lengths are multiples of it; 1 where anything goes. A power of 2. */
  readonly minimumBytes: number;
  /** What costs no reading before writing. */
  readonly preferredBytes: number;
  /** The longest read or write. */
  readonly maximumBytes: number;
  readonly rotational: boolean;
  /**
   * A write answers at once as a rule, so that a long one is best written in pieces as they come. Otherwise it is one
   * request of the device below.
   */
  readonly streams: boolean;
  /** The size can be changed. */
  readonly resizable: boolean;
}

export interface BlockDevice {
  readonly sizeBytes: number;
  readonly traits: Traits;
  read(offset: number, length: number): Answer<ReadReply>;
  /** `bytes` may be used by the device until it has answered, not longer. */
  write(offset: number, bytes: Uint8Array, fua: boolean): Answer<Done>;
  zero(offset: number, length: number, how: ZeroHow): Answer<Done>;
  /** The content is not needed: each byte then reads as it was or as zero. Advisory: it may do nothing. */
  trim(offset: number, length: number, fua: boolean): Answer<Done>;
  /** Every write that was acknowledged before, by whatever way it came, is on stable storage afterwards. */
  flush(): Answer<Done>;
  /** Not more than `extentsMax` extents. */
  status(offset: number, length: number, extentsMax: number): Answer<StatusReply>;
  /** The range is going to be read. */
  cache(offset: number, length: number): Answer<Done>;
  resize(sizeBytes: number): Answer<Done>;
  /** Keeps others out who could have it (another server of its volume) from now on; `force`: also one who has it. */
  hold?(force: boolean): Answer<Done>;
  /** Nobody uses it for now: gives up what keeps others out. The next request takes it again. */
  rest?(): Promise<void>;
  /** After the last request was answered. What was not flushed may be lost, as with any disk. */
  close(): Promise<void>;
}

/** The longest read and write, unless a device has less: NBD's usual limit. */
export const payloadMaxBytes = 32 * 1024 * 1024;

export const done: Done = { ok: true };

export function refuse(errno: Errno): Failure {
  return { ok: false, errno };
}

const zeroes = Buffer.alloc(1024 * 1024);

/** Up to 1 MiB of zeroes that belong to everybody: never written to. */
export function zeroPiece(length: number): Uint8Array {
  return zeroes.subarray(0, length);
}

/** Zeroes of any length. */
export function zeroPieces(length: number): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let left = length; left > 0; left -= zeroes.length) pieces.push(zeroPiece(Math.min(left, zeroes.length)));
  return pieces;
}

/** Whether a piece of a read is a hole. */
export function isHole(piece: Uint8Array): boolean {
  return piece.buffer === zeroes.buffer;
}

/** Continues with an answer, at once if it is there. */
export function after<T, U>(answer: Answer<T>, next: (value: T) => Answer<U>): Answer<U> {
  return answer instanceof Promise ? answer.then(next) : next(answer);
}

/** The first failure of several answers, else success. All are waited for: nothing is under way any more afterwards. */
export function allDone(answers: readonly Answer<Done>[]): Answer<Done> {
  const worst = (all: readonly Done[]): Done => all.find((one) => !one.ok) ?? done;
  if (answers.some((one) => one instanceof Promise)) return Promise.all(answers).then(worst);
  return worst(answers as readonly Done[]);
}

/** Steps one after the other until one fails. */
export function inTurn(steps: Iterable<() => Answer<Done>>): Answer<Done> {
  const iterator = steps[Symbol.iterator]();
  const go = (): Answer<Done> => {
    for (let step = iterator.next(); !step.done; step = iterator.next()) {
      const answer = step.value();
      if (answer instanceof Promise) return answer.then((one) => (one.ok ? go() : one));
      if (!answer.ok) return answer;
    }
    return done;
  };
  return go();
}

/** What a request of a range is refused for, in the order in which it is looked at. */
export function refusalOf(
  device: Pick<BlockDevice, 'sizeBytes' | 'traits'>,
  kind: 'read' | 'write' | 'trim',
  offset: number,
  length: number,
): Failure | null {
  const { readOnly, minimumBytes } = device.traits;
  if (kind !== 'read' && readOnly) return refuse(Errno.EPERM);
  if (!(offset >= 0 && length >= 0 && Number.isInteger(offset) && Number.isInteger(length)))
    return refuse(Errno.EINVAL);
  // No size is beyond 2^53: what is not a safe integer is beyond the end as well.
  if (offset > device.sizeBytes || length > device.sizeBytes - offset)
    return refuse(kind === 'write' ? Errno.ENOSPC : Errno.EINVAL);
  if (minimumBytes > 1 && (offset % minimumBytes !== 0 || length % minimumBytes !== 0)) return refuse(Errno.EINVAL);
  return null;
}
