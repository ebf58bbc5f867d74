/**
 * Encodes replies and collects them: all that one receive (or one turn of the loop) produced leave in one system call.
 * Headers are cut from a common block and joined where they adjoin; payloads go out from where they are.
 */
import { type Errno, returnBytes } from '@mortar/core';
import { type Extent, isHole } from '../device/device.ts';
import { type Cookie, nbdError, putExtendedHeader, putSimpleReply, putStructuredHeader, putU64 } from './codec.ts';
import {
  Allocation,
  allocationContextId,
  Chunk,
  extendedReplyBytes,
  replyFlagDone,
  simpleReplyBytes,
  structuredReplyBytes,
} from './constants.ts';

/** What a reply has to say of its request. */
export interface Asked extends Cookie {
  readonly offset: number;
}

export interface Batch {
  readonly chunks: readonly Uint8Array[];
  readonly bytes: number;
  /** Payloads that were lent. */
  readonly lent: readonly Uint8Array[];
}

export type Style = 'simple' | 'structured' | 'extended';

const blockBytes = 16 * 1024;

export class Replies {
  readonly #style: Style;
  readonly #headBytes: number;
  #block = Buffer.allocUnsafeSlow(blockBytes);
  #used = 0;
  /** Start of the headers in the block that are not in `#chunks` yet. */
  #open = 0;
  #chunks: Uint8Array[] = [];
  #lent: Uint8Array[] = [];
  #bytes = 0;

  constructor(style: Style) {
    this.#style = style;
    this.#headBytes = style === 'extended' ? extendedReplyBytes : structuredReplyBytes;
  }

  /** Bytes that wait to be taken. */
  get bytes(): number {
    return this.#bytes;
  }

  /** What has been collected since the last time. */
  take(): Batch {
    this.#closeHeaders();
    const batch = { chunks: this.#chunks, bytes: this.#bytes, lent: this.#lent };
    this.#chunks = [];
    this.#lent = [];
    this.#bytes = 0;
    return batch;
  }

  /** Of anything but a read or a status that succeeded. */
  done(asked: Asked): void {
    if (this.#style === 'extended') this.#chunk(asked, Chunk.NONE, 0, 0, replyFlagDone);
    else this.#simple(asked, 0);
  }

  /** `structured`: of a request whose success has a payload. */
  failed(asked: Asked, errno: Errno, structured: boolean): void {
    const error = nbdError(errno);
    if (this.#style === 'simple' || (this.#style === 'structured' && !structured)) {
      this.#simple(asked, error);
      return;
    }
    const at = this.#chunk(asked, Chunk.ERROR, 6, 6, replyFlagDone);
    this.#block.writeUInt32BE(error, at);
    this.#block.writeUInt16BE(0, at + 4);
  }

  /** `whole`: one chunk, holes as zeroes. */
  read(asked: Asked, pieces: readonly Uint8Array[], whole: boolean): void {
    if (this.#style === 'simple') {
      this.#simple(asked, 0);
      for (const piece of pieces) this.#payload(piece);
    } else if (pieces.length === 0) this.#chunk(asked, Chunk.NONE, 0, 0, replyFlagDone);
    else this.#readChunks(asked, pieces, whole);
  }

  #readChunks(asked: Asked, pieces: readonly Uint8Array[], whole: boolean): void {
    let offset = asked.offset;
    for (let i = 0; i < pieces.length; ) {
      const hole = !whole && isHole(pieces[i]!);
      let length = 0;
      let end = i;
      while (end < pieces.length && (whole || isHole(pieces[end]!) === hole)) length += pieces[end++]!.length;
      const flags = end === pieces.length ? replyFlagDone : 0;
      const at = hole
        ? this.#chunk(asked, Chunk.OFFSET_HOLE, 12, 12, flags)
        : this.#chunk(asked, Chunk.OFFSET_DATA, 8, 8 + length, flags);
      putU64(this.#block, offset, at);
      if (hole) this.#block.writeUInt32BE(length, at + 8);
      else for (let j = i; j < end; j++) this.#payload(pieces[j]!);
      offset += length;
      i = end;
    }
  }

  status(asked: Asked, extents: readonly Extent[]): void {
    const extended = this.#style === 'extended';
    const size = extended ? 8 + 16 * extents.length : 4 + 8 * extents.length;
    const payload = Buffer.allocUnsafeSlow(size);
    payload.writeUInt32BE(allocationContextId, 0);
    if (extended) payload.writeUInt32BE(extents.length, 4);
    extents.forEach(({ length, hole, zero }, i) => {
      const flags = (hole ? Allocation.HOLE : 0) | (zero ? Allocation.ZERO : 0);
      if (extended) {
        putU64(payload, length, 8 + 16 * i);
        putU64(payload, flags, 16 + 16 * i);
      } else {
        payload.writeUInt32BE(length, 4 + 8 * i);
        payload.writeUInt32BE(flags, 8 + 8 * i);
      }
    });
    this.#chunk(asked, extended ? Chunk.BLOCK_STATUS_EXT : Chunk.BLOCK_STATUS, 0, size, replyFlagDone);
    this.#payload(payload);
  }

  #simple(asked: Asked, error: number): void {
    // Making room may begin a new block.
    const at = this.#room(simpleReplyBytes);
    putSimpleReply(this.#block, at, error, asked);
  }

  /** A chunk's header with `fixed` more bytes of room, whose place is returned; `length` is that of the chunk's payload. */
  #chunk(asked: Asked, type: number, fixed: number, length: number, flags: number): number {
    const at = this.#room(this.#headBytes + fixed);
    if (this.#style === 'extended') putExtendedHeader(this.#block, at, flags, type, asked, asked.offset, length);
    else putStructuredHeader(this.#block, at, flags, type, asked, length);
    return at + this.#headBytes;
  }

  #room(size: number): number {
    if (this.#used + size > blockBytes) {
      this.#closeHeaders();
      this.#block = Buffer.allocUnsafeSlow(blockBytes);
      this.#used = 0;
      this.#open = 0;
    }
    const at = this.#used;
    this.#used += size;
    this.#bytes += size;
    return at;
  }

  #closeHeaders(): void {
    if (this.#used > this.#open) this.#chunks.push(this.#block.subarray(this.#open, this.#used));
    this.#open = this.#used;
  }

  #payload(piece: Uint8Array): void {
    this.#closeHeaders();
    this.#chunks.push(piece);
    this.#lent.push(piece);
    this.#bytes += piece.length;
  }
}

/** The bytes of a batch have been sent, or never will be. */
export function giveBack({ lent }: Batch): void {
  for (const bytes of lent) returnBytes(bytes);
}
