/**
 * Frames of the RSIO-style protocol (docs/block.md): 16 bytes before the payload of a usual request or reply. Little-endian,
 * fixed places. Pure: bytes to objects and back.
 *
 *     request   0 type   1 flags   2 device (u16)   4 tag (u32)    8 offset (40 bits)   13 length (24 bits), units of 512 bytes
 *     reply     0 type   1 flags   2 device (u16)   4 tag (u32)    8 errno (u32)        12 payload length (u32), bytes
 *
 * A request whose range is not in units of 512 bytes, or too far or too long for its fields, is marked `extended`: then 16 more
 * bytes follow, offset and length in bytes (u64 each), and the fields of the first 16 are zero. `checked` puts a CRC32C (u32) of
 * header and payload behind the payload.
 */

export const FrameType = {
  HELLO: 1,
  JOIN: 2,
  LIST: 3,
  OPEN: 4,
  CLOSE: 5,
  READ: 6,
  WRITE: 7,
  FLUSH: 8,
  TRIM: 9,
  ZERO: 10,
  STATUS: 11,
  RESIZED: 12,
  /** Of a device at the server, by those who may: rsio/administration.ts. */
  ADMINISTER: 13,
  PING: 14,
  /** Bytes to and fro, to measure a way: a payload, and `offset` bytes in the answer. */
  PROBE: 15,
} as const;
export type FrameType = (typeof FrameType)[keyof typeof FrameType];

export const FrameFlag = {
  /** A reply to the request with this tag. */
  REPLY: 1 << 0,
  EXTENDED: 1 << 1,
  CHECKED: 1 << 2,
  /** Of a write, zero, trim: on stable storage before the reply. */
  FUA: 1 << 3,
  /** Sent again: the session knows whether it was done. */
  AGAIN: 1 << 4,
  /** Of a zero: the range need not take room. Of a status: one extent. Of a read: a hole may be answered as such, of its reply: it is one. */
  OPTION: 1 << 5,
} as const;

const flagsKnown = 0x3f;
/** What is said of the header itself. */
const wireFlags = FrameFlag.REPLY | FrameFlag.EXTENDED;
const typeMax = FrameType.PROBE;
export const headerBytes = 16;
export const extensionBytes = 16;
export const checksumBytes = 4;
export const unitBytes = 512;
/** The longest payload; larger requests are split. */
export const framePayloadMaxBytes = 16 * 1024 * 1024;
const offsetUnitsMax = 2 ** 40 - 1;
const lengthUnitsMax = 2 ** 24 - 1;

/** Types whose length is that of a payload that follows the request; all others have none or one of control data. */
const carriesPayload: ReadonlySet<number> = new Set([
  FrameType.HELLO,
  FrameType.JOIN,
  FrameType.LIST,
  FrameType.OPEN,
  FrameType.WRITE,
  FrameType.ADMINISTER,
  FrameType.PROBE,
]);

export interface RequestFrame {
  readonly type: FrameType;
  /** Of FrameFlag, without REPLY and EXTENDED. */
  readonly flags: number;
  /** The session's number of an open device; 0 for what concerns none. */
  readonly device: number;
  readonly tag: number;
  /** Bytes. */
  readonly offset: number;
  readonly length: number;
}

export interface ReplyFrame {
  readonly type: FrameType;
  readonly flags: number;
  readonly device: number;
  readonly tag: number;
  /** 0: it was done. */
  readonly errno: number;
  readonly length: number;
}

/** A header that was read: how long it is, and what follows it. */
export type Decoded =
  | { readonly kind: 'request'; readonly frame: RequestFrame; readonly headBytes: number; readonly bodyBytes: number }
  | { readonly kind: 'reply'; readonly frame: ReplyFrame; readonly headBytes: number; readonly bodyBytes: number }
  /** More bytes are needed to know. */
  | { readonly kind: 'more' }
  /** The stream is lost: why. */
  | { readonly kind: 'bad'; readonly why: string };

function fitsShort({ offset, length }: RequestFrame): boolean {
  if (offset % unitBytes !== 0 || length % unitBytes !== 0) return false;
  return offset / unitBytes <= offsetUnitsMax && length / unitBytes <= lengthUnitsMax;
}

function putU64(bytes: Buffer, value: number, at: number): void {
  bytes.writeUInt32LE(value >>> 0, at);
  bytes.writeUInt32LE(Math.floor(value / 2 ** 32), at + 4);
}

function u64(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at + 4) * 2 ** 32 + bytes.readUInt32LE(at);
}

function putHead(bytes: Buffer, at: number, frame: RequestFrame | ReplyFrame, flags: number): void {
  bytes[at] = frame.type;
  bytes[at + 1] = flags;
  bytes.writeUInt16LE(frame.device, at + 2);
  bytes.writeUInt32LE(frame.tag, at + 4);
}

/** Writes the header; its length, 16 or 32 bytes. */
export function putRequest(bytes: Buffer, at: number, frame: RequestFrame): number {
  const isShort = fitsShort(frame);
  putHead(bytes, at, frame, isShort ? frame.flags : frame.flags | FrameFlag.EXTENDED);
  bytes.writeUIntLE(isShort ? frame.offset / unitBytes : 0, at + 8, 5);
  bytes.writeUIntLE(isShort ? frame.length / unitBytes : 0, at + 13, 3);
  if (isShort) return headerBytes;
  putU64(bytes, frame.offset, at + headerBytes);
  putU64(bytes, frame.length, at + headerBytes + 8);
  return headerBytes + extensionBytes;
}

/** Writes the header; its length. */
export function putReply(bytes: Buffer, at: number, frame: ReplyFrame): number {
  putHead(bytes, at, frame, frame.flags | FrameFlag.REPLY);
  bytes.writeUInt32LE(frame.errno, at + 8);
  bytes.writeUInt32LE(frame.length, at + 12);
  return headerBytes;
}

/** Reads the header at `at`; `end`: how far there are bytes. */
export function readFrame(bytes: Buffer, at: number, end: number): Decoded {
  if (end - at < headerBytes) return { kind: 'more' };
  const number = bytes[at]!;
  const flags = bytes[at + 1]!;
  if (number === 0 || number > typeMax) return { kind: 'bad', why: `there is no frame of type ${number}` };
  const type = number as FrameType;
  if ((flags & ~flagsKnown) !== 0) return { kind: 'bad', why: `flags 0x${flags.toString(16)} are not known` };
  return (flags & FrameFlag.REPLY) !== 0 ? readReply(bytes, at, type, flags) : readRequest(bytes, at, end, type, flags);
}

/** What stands behind a header, with the checksum where there is one. */
function bodyOf(length: number, flags: number): number {
  return length + ((flags & FrameFlag.CHECKED) !== 0 ? checksumBytes : 0);
}

function readReply(bytes: Buffer, at: number, type: FrameType, flags: number): Decoded {
  if ((flags & FrameFlag.EXTENDED) !== 0) return { kind: 'bad', why: 'a reply is never extended' };
  const length = bytes.readUInt32LE(at + 12);
  if (length > framePayloadMaxBytes) return { kind: 'bad', why: `a reply of ${length} bytes` };
  const frame: ReplyFrame = {
    type,
    flags: flags & ~wireFlags,
    device: bytes.readUInt16LE(at + 2),
    tag: bytes.readUInt32LE(at + 4),
    errno: bytes.readUInt32LE(at + 8),
    length,
  };
  return { kind: 'reply', frame, headBytes: headerBytes, bodyBytes: bodyOf(length, flags) };
}

function readRequest(bytes: Buffer, at: number, end: number, type: FrameType, flags: number): Decoded {
  const extended = (flags & FrameFlag.EXTENDED) !== 0;
  const headBytes = extended ? headerBytes + extensionBytes : headerBytes;
  if (end - at < headBytes) return { kind: 'more' };
  const offset = extended ? u64(bytes, at + headerBytes) : bytes.readUIntLE(at + 8, 5) * unitBytes;
  const length = extended ? u64(bytes, at + headerBytes + 8) : bytes.readUIntLE(at + 13, 3) * unitBytes;
  if (extended && (bytes.readUInt32LE(at + 8) !== 0 || bytes.readUInt32LE(at + 12) !== 0))
    return { kind: 'bad', why: 'an extended request has its range twice' };
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length))
    return { kind: 'bad', why: 'a range beyond 2^53' };
  // Object spreads cost more than all else here.
  const frame: RequestFrame = {
    type,
    flags: flags & ~wireFlags,
    device: bytes.readUInt16LE(at + 2),
    tag: bytes.readUInt32LE(at + 4),
    offset,
    length,
  };
  const payload = carriesPayload.has(type) ? length : 0;
  if (payload > framePayloadMaxBytes || (type === FrameType.READ && length > framePayloadMaxBytes))
    return { kind: 'bad', why: `a request of ${length} bytes` };
  return { kind: 'request', frame, headBytes, bodyBytes: bodyOf(payload, flags) };
}
