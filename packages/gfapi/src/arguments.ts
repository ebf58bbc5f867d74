/** The forms in which node's reads and writes are called. */
import type { CallOptions } from './client.ts';
import { argumentError } from './errors.ts';

export type BytesLike = string | NodeJS.ArrayBufferView;
/** What `writeFile` takes. */
export type Contents = BytesLike | Iterable<BytesLike> | AsyncIterable<BytesLike>;

export interface ReadOptions<B extends Uint8Array = Uint8Array> extends CallOptions {
  buffer?: B;
  offset?: number | null | undefined;
  length?: number | null | undefined;
  position?: number | bigint | null | undefined;
}

export type ReadArguments =
  | []
  | [options: ReadOptions]
  | [buffer: Uint8Array, options: ReadOptions]
  | [
      buffer: Uint8Array,
      offset?: number | null,
      length?: number | null,
      position?: number | bigint | null,
      options?: CallOptions,
    ];

const defaultReadBytes = 16384;

export interface Reading {
  buffer: Uint8Array;
  /** The part of it that is read into. */
  into: Uint8Array;
  position: number | null;
  options: CallOptions | undefined;
}

export function readArguments(args: ReadArguments): Reading {
  const [first, second, length, position, last] = args;
  if (first instanceof Uint8Array && (typeof second !== 'object' || second === null))
    return reading(first, { offset: second, length, position }, last);
  if (first instanceof Uint8Array) return reading(first, second as ReadOptions, second as ReadOptions);
  const options = first ?? {};
  return reading(options.buffer ?? Buffer.allocUnsafeSlow(defaultReadBytes), options, options);
}

function reading(buffer: Uint8Array, range: ReadOptions, options: CallOptions | undefined): Reading {
  return { buffer, into: partOf(buffer, range.offset, range.length), position: positionOf(range.position), options };
}

/** A part that lies in the buffer; RangeError else, as node's. */
function partOf(buffer: Uint8Array, offset: number | null | undefined, length: number | null | undefined): Uint8Array {
  const from = offset ?? 0;
  const count = length ?? buffer.length - from;
  if (!isWithin(from, buffer.length)) throw rangeError('offset', buffer.length, from);
  if (!isWithin(count, buffer.length - from)) throw rangeError('length', buffer.length - from, count);
  return from === 0 && count === buffer.length ? buffer : buffer.subarray(from, from + count);
}

const isWithin = (value: number, most: number): boolean => Number.isInteger(value) && value >= 0 && value <= most;

function rangeError(name: string, most: number, found: number): RangeError {
  const error = new RangeError(
    `The value of "${name}" is out of range. It must be >= 0 && <= ${most}. Received ${found}`,
  );
  (error as NodeJS.ErrnoException).code = 'ERR_OUT_OF_RANGE';
  return error;
}

/** Null: where the handle stands. */
export function positionOf(position: number | bigint | null | undefined): number | null {
  if (position === null || position === undefined) return null;
  const value = Number(position);
  if (value < 0) return null;
  if (!Number.isSafeInteger(value)) throw argumentError('position', 'a whole number below 2^53', position);
  return value;
}

export interface Writing {
  bytes: Uint8Array;
  position: number | null;
  options: CallOptions | undefined;
}

type WriteOptions = Omit<ReadOptions, 'buffer'>;

/** `(text, position, encoding, options)`, `(bytes, offset, length, position, options)` or `(bytes, options)`. */
export function writeArguments(data: Uint8Array | string, args: readonly unknown[]): Writing {
  if (typeof data === 'string') {
    const [position, encoding, options] = args as [number | null | undefined, BufferEncoding | undefined, CallOptions?];
    return { bytes: Buffer.from(data, encoding ?? 'utf8'), position: positionOf(position), options };
  }
  if (!(data instanceof Uint8Array)) throw argumentError('buffer', 'a string or Uint8Array', data);
  const [first] = args;
  if (typeof first === 'object' && first !== null) {
    const options = first as WriteOptions;
    return { bytes: partOf(data, options.offset, options.length), position: positionOf(options.position), options };
  }
  const [offset, length, position, options] = args as [number?, number?, (number | bigint | null)?, CallOptions?];
  return { bytes: partOf(data, offset, length), position: positionOf(position), options };
}

export function bytesOf(data: BytesLike, encoding: BufferEncoding): Uint8Array {
  if (typeof data === 'string') return Buffer.from(data, encoding);
  if (data instanceof Uint8Array) return data;
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  throw argumentError('data', 'a string, a buffer or an iterable of them', data);
}
