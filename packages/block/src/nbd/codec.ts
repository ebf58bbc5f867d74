/** Bytes of NBD messages, in and out; nothing else. */
import { Errno } from '@mortar/core';
import {
  extendedReplyMagic,
  extendedRequestMagic,
  optionMagic,
  optionReplyMagic,
  requestMagic,
  serverMagic,
  simpleReplyMagic,
  structuredReplyMagic,
} from './constants.ts';

/** A request's header. One object serves all requests of a connection: what outlives the next one is copied. */
export class RequestHeader {
  flags = 0;
  type = 0;
  /** The client's cookie: 64 bits that come back as they are. */
  cookieHigh = 0;
  cookieLow = 0;
  /** Beyond 2^53 no longer exact, which no device is large enough for. */
  offset = 0;
  length = 0;
}

function u64(bytes: Buffer, at: number): number {
  return bytes.readUInt32BE(at) * 2 ** 32 + bytes.readUInt32BE(at + 4);
}

/** Writes an unsigned integer below 2^53 as 64 bits. */
export function putU64(bytes: Buffer, value: number, at: number): void {
  bytes.writeUInt32BE(Math.floor(value / 2 ** 32), at);
  bytes.writeUInt32BE(value >>> 0, at + 4);
}

/** False when the bytes at `at` are no request: the stream is lost then. */
export function readRequest(bytes: Buffer, at: number, extended: boolean, into: RequestHeader): boolean {
  if (bytes.readUInt32BE(at) !== (extended ? extendedRequestMagic : requestMagic)) return false;
  into.flags = bytes.readUInt16BE(at + 4);
  into.type = bytes.readUInt16BE(at + 6);
  into.cookieHigh = bytes.readUInt32BE(at + 8);
  into.cookieLow = bytes.readUInt32BE(at + 12);
  into.offset = u64(bytes, at + 16);
  into.length = extended ? u64(bytes, at + 24) : bytes.readUInt32BE(at + 24);
  return true;
}

export interface Cookie {
  readonly cookieHigh: number;
  readonly cookieLow: number;
}

export function putSimpleReply(bytes: Buffer, at: number, error: number, cookie: Cookie): void {
  bytes.writeUInt32BE(simpleReplyMagic, at);
  bytes.writeUInt32BE(error, at + 4);
  bytes.writeUInt32BE(cookie.cookieHigh, at + 8);
  bytes.writeUInt32BE(cookie.cookieLow, at + 12);
}

export function putStructuredHeader(
  bytes: Buffer,
  at: number,
  flags: number,
  type: number,
  cookie: Cookie,
  length: number,
): void {
  bytes.writeUInt32BE(structuredReplyMagic, at);
  bytes.writeUInt16BE(flags, at + 4);
  bytes.writeUInt16BE(type, at + 6);
  bytes.writeUInt32BE(cookie.cookieHigh, at + 8);
  bytes.writeUInt32BE(cookie.cookieLow, at + 12);
  bytes.writeUInt32BE(length, at + 16);
}

/** `offset`: of the request. */
export function putExtendedHeader(
  bytes: Buffer,
  at: number,
  flags: number,
  type: number,
  cookie: Cookie,
  offset: number,
  length: number,
): void {
  bytes.writeUInt32BE(extendedReplyMagic, at);
  bytes.writeUInt16BE(flags, at + 4);
  bytes.writeUInt16BE(type, at + 6);
  bytes.writeUInt32BE(cookie.cookieHigh, at + 8);
  bytes.writeUInt32BE(cookie.cookieLow, at + 12);
  putU64(bytes, offset, at + 16);
  putU64(bytes, length, at + 24);
}

/** The errors that NBD knows: a client treats others as EINVAL. */
export function nbdError(errno: Errno): number {
  switch (errno) {
    case Errno.EPERM:
    case Errno.EROFS:
    case Errno.EACCES:
      return Errno.EPERM;
    case Errno.ENOSPC:
    case Errno.EDQUOT:
    case Errno.EFBIG:
      return Errno.ENOSPC;
    case Errno.ENOMEM:
    case Errno.EINVAL:
    case Errno.EOVERFLOW:
    case Errno.EOPNOTSUPP:
    case Errno.ESHUTDOWN:
      return errno;
    default:
      return Errno.EIO;
  }
}

/** What a server says first. */
export function greeting(handshakeFlags: number): Buffer {
  const bytes = Buffer.alloc(18);
  bytes.writeBigUInt64BE(serverMagic, 0);
  bytes.writeBigUInt64BE(optionMagic, 8);
  bytes.writeUInt16BE(handshakeFlags, 16);
  return bytes;
}

export function isOptionMagic(bytes: Buffer): boolean {
  return bytes.readBigUInt64BE(0) === optionMagic;
}

export function optionReply(option: number, type: number, ...data: Uint8Array[]): Buffer {
  const payload = Buffer.concat(data);
  const head = Buffer.alloc(20);
  head.writeBigUInt64BE(optionReplyMagic, 0);
  head.writeUInt32BE(option, 8);
  head.writeUInt32BE(type, 12);
  head.writeUInt32BE(payload.length, 16);
  return Buffer.concat([head, payload]);
}

/** The end of EXPORT_NAME: size, flags, and 124 zeroes that nobody needs. */
export function exportNameReply(sizeBytes: number, flags: number, withZeroes: boolean): Buffer {
  const bytes = Buffer.alloc(withZeroes ? 134 : 10);
  putU64(bytes, sizeBytes, 0);
  bytes.writeUInt16BE(flags, 8);
  return bytes;
}

export function u16Bytes(...values: number[]): Buffer {
  const bytes = Buffer.alloc(2 * values.length);
  values.forEach((value, i) => void bytes.writeUInt16BE(value, 2 * i));
  return bytes;
}

export function u32Bytes(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  values.forEach((value, i) => void bytes.writeUInt32BE(value, 4 * i));
  return bytes;
}

export function u64Bytes(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  putU64(bytes, value, 0);
  return bytes;
}

/** Reads fields one after the other; null as soon as one does not fit. */
class Fields {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  u16(): number | null {
    if (this.left < 2) return null;
    this.#at += 2;
    return this.#bytes.readUInt16BE(this.#at - 2);
  }

  u32(): number | null {
    if (this.left < 4) return null;
    this.#at += 4;
    return this.#bytes.readUInt32BE(this.#at - 4);
  }

  /** Text behind its length, as UTF-8. */
  text(): string | null {
    const length = this.u32();
    if (length === null || length > this.left) return null;
    this.#at += length;
    return this.#bytes.toString('utf8', this.#at - length, this.#at);
  }
}

export interface InfoRequest {
  readonly name: string;
  readonly wanted: ReadonlySet<number>;
}

/** Data of INFO and GO; null when it is malformed. */
export function readInfoRequest(data: Buffer): InfoRequest | null {
  const fields = new Fields(data);
  const name = fields.text();
  const count = fields.u16();
  if (name === null || count === null || fields.left !== 2 * count) return null;
  const wanted = new Set<number>();
  for (let i = 0; i < count; i++) wanted.add(fields.u16()!);
  return { name, wanted };
}

export interface ContextRequest {
  readonly name: string;
  readonly queries: readonly string[];
}

/** Data of LIST_META_CONTEXT and SET_META_CONTEXT; null when it is malformed. */
export function readContextRequest(data: Buffer): ContextRequest | null {
  const fields = new Fields(data);
  const name = fields.text();
  const count = fields.u32();
  if (name === null || count === null || count * 4 > fields.left) return null;
  const queries: string[] = [];
  for (let i = 0; i < count; i++) {
    const query = fields.text();
    if (query === null) return null;
    queries.push(query);
  }
  return fields.left === 0 ? { name, queries } : null;
}
