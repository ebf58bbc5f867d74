/** Frames over a stream: parsed where they are received, sent together with all that one turn produced. */
import type { Stream } from '@mortar/rpc/stream.ts';
import { roomFor } from '../device/room.ts';
import { type Pinned, ReceiveBuffer } from '../nbd/receive-buffer.ts';
import { crc32c } from './crc32c.ts';
import {
  checksumBytes,
  type Decoded,
  extensionBytes,
  FrameFlag,
  framePayloadMaxBytes,
  headerBytes,
  putReply,
  putRequest,
  type ReplyFrame,
  type RequestFrame,
  readFrame,
} from './frame.ts';

export interface FrameSink {
  /**
   * `isOwn`: the payload was received into memory of its own (`roomFor`), and is whose who gets it. Else it may be used until
   * `unpin`, if it is asked for at once with `pin`, or else during the call only.
   */
  request(frame: RequestFrame, payload: Buffer, isOwn: boolean): void;
  /** `isOwn` as above. Else the payload is there during the call only. */
  reply(frame: ReplyFrame, payload: Buffer, isOwn: boolean): void;
  /** Bytes came: the other side is alive. */
  heard?(): void;
  /** Bytes left. */
  drained?(): void;
  /** Once. Null: the other side went in good order. */
  ended(why: string | null): void;
}

const blockBytes = 16 * 1024;
/** From this on a payload that has not come whole is received where it stays. */
const directMinBytes = 64 * 1024;
/** Behind one of those there will be another one: no more than this is received with its header, and copied. */
const behindDirectBytes = 4096;
/** So much does not wait for the end of the turn: the other side begins with it meanwhile, and here it is still in the processor's caches. */
const flushBytes = 256 * 1024;
const headMaxBytes = headerBytes + extensionBytes;
const none = Buffer.alloc(0);

type Whole = Extract<Decoded, { kind: 'request' | 'reply' }>;

/** A frame whose payload is being received into memory of its own. */
interface Direct {
  readonly decoded: Whole;
  readonly payload: Buffer;
  filled: number;
  /** Of the header, where checksums are agreed on. */
  readonly sum: number;
}

export class FrameStream {
  readonly stream: Stream;
  readonly #sink: FrameSink;
  readonly #receive = new ReceiveBuffer();
  /** Bytes that the frame at the start needs to be whole. */
  #wanted = headerBytes;
  /** Payloads beyond this end the connection. */
  payloadMaxBytes = framePayloadMaxBytes;
  /** Both sides put checksums on everything. */
  checked = false;
  #direct: Direct | null = null;
  /** The last frame was received in this way. */
  #wasDirect = false;
  #block = Buffer.allocUnsafeSlow(blockBytes);
  #used = 0;
  #chunks: Uint8Array[] = [];
  /** Of the payloads among them. */
  #chunkBytes = 0;
  #dones: (() => void)[] = [];
  #willFlush = false;
  #isEnded = false;
  #isParsing = false;

  constructor(stream: Stream, sink: FrameSink) {
    this.stream = stream;
    this.#sink = sink;
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  get queuedBytes(): number {
    return this.stream.queuedBytes;
  }

  /** A long payload is on its way. */
  get isMidway(): boolean {
    return this.#direct !== null && this.#direct.filled < this.#direct.payload.length;
  }

  start(): void {
    this.stream.start({
      space: () => {
        if (this.isMidway) return this.#direct!.payload.subarray(this.#direct!.filled);
        this.#receive.makeRoom(this.#wanted);
        const space = this.#receive.space();
        const isBehindDirect = this.#wasDirect && this.#receive.available === 0;
        return isBehindDirect ? space.subarray(0, behindDirectBytes) : space;
      },
      received: (count) => {
        if (this.isMidway) this.#direct!.filled += count;
        else this.#receive.filled(count);
        this.#sink.heard?.();
        this.#parse();
      },
      drained: () => this.#sink.drained?.(),
      closed: (error) =>
        this.#end(
          error ? error.message : this.#receive.available > 0 || this.#direct ? 'it ended within a frame' : null,
        ),
    });
  }

  /** Keeps the payload of the request that is being told. */
  pin(): Pinned {
    return this.#receive.pin();
  }

  unpin(pinned: Pinned): void {
    this.#receive.unpin(pinned);
  }

  #parse(): void {
    if (this.#isParsing) return;
    this.#isParsing = true;
    while (!this.#isEnded && this.#next());
    this.#isParsing = false;
    this.#flush();
  }

  #next(): boolean {
    if (this.#direct) return this.#nextDirect(this.#direct);
    const { bytes, start, available } = this.#receive;
    const decoded = readFrame(bytes, start, start + available);
    if (decoded.kind === 'more') {
      this.#wanted = headMaxBytes;
      return false;
    }
    if (decoded.kind === 'bad') return this.#fail(decoded.why);
    const { headBytes, bodyBytes, frame } = decoded;
    const isChecked = (frame.flags & FrameFlag.CHECKED) !== 0;
    const payloadBytes = isChecked ? bodyBytes - checksumBytes : bodyBytes;
    if (payloadBytes > this.payloadMaxBytes) return this.#fail(`a payload of ${payloadBytes} bytes`);
    if (this.checked && !isChecked) return this.#fail('a frame without the checksum that was agreed on');
    if (available < headBytes + bodyBytes) {
      if (payloadBytes >= directMinBytes) {
        const sum = isChecked ? crc32c(bytes.subarray(start, start + headBytes)) : 0;
        const payload = roomFor(payloadBytes);
        const filled = bytes.copy(payload, 0, start + headBytes, start + available);
        this.#receive.consume(headBytes + filled);
        this.#direct = { decoded, payload, filled, sum };
        return this.#nextDirect(this.#direct);
      }
      this.#wanted = headBytes + bodyBytes;
      return false;
    }
    this.#wanted = headerBytes;
    const end = start + headBytes + payloadBytes;
    if (isChecked && crc32c(bytes.subarray(start, end)) !== bytes.readUInt32LE(end))
      return this.#fail('a frame with a wrong checksum');
    const payload = payloadBytes === 0 ? none : bytes.subarray(start + headBytes, end);
    this.#receive.consume(headBytes + bodyBytes);
    this.#wasDirect = false;
    this.#tell(decoded, payload, false);
    return true;
  }

  #nextDirect({ decoded, payload, filled, sum }: Direct): boolean {
    this.#wanted = headerBytes;
    if (filled < payload.length) return false;
    if ((decoded.frame.flags & FrameFlag.CHECKED) !== 0) {
      const { bytes, start, available } = this.#receive;
      this.#wanted = checksumBytes;
      if (available < checksumBytes) return false;
      if (crc32c(payload, sum) !== bytes.readUInt32LE(start)) return this.#fail('a frame with a wrong checksum');
      this.#receive.consume(checksumBytes);
      this.#wanted = headerBytes;
    }
    this.#direct = null;
    this.#wasDirect = true;
    this.#tell(decoded, payload, true);
    return true;
  }

  #tell(decoded: Whole, payload: Buffer, isOwn: boolean): void {
    if (decoded.kind === 'request') this.#sink.request(decoded.frame, payload, isOwn);
    else this.#sink.reply(decoded.frame, payload, isOwn);
  }

  #fail(why: string): false {
    this.destroy(why);
    return false;
  }

  /** `done` when the pieces are not needed any more, also if the connection ends before they are sent. */
  sendRequest(frame: RequestFrame, pieces: readonly Uint8Array[] = [], done?: () => void): void {
    const at = this.#room();
    const flags = this.checked ? frame.flags | FrameFlag.CHECKED : frame.flags;
    this.#send(at, putRequest(this.#block, at, flags === frame.flags ? frame : { ...frame, flags }), pieces, done);
  }

  sendReply(frame: ReplyFrame, pieces: readonly Uint8Array[] = [], done?: () => void): void {
    const at = this.#room();
    const flags = this.checked ? frame.flags | FrameFlag.CHECKED : frame.flags;
    this.#send(at, putReply(this.#block, at, flags === frame.flags ? frame : { ...frame, flags }), pieces, done);
  }

  #room(): number {
    if (this.#used + headMaxBytes + checksumBytes > blockBytes) {
      this.#block = Buffer.allocUnsafeSlow(blockBytes);
      this.#used = 0;
    }
    return this.#used;
  }

  #send(at: number, size: number, pieces: readonly Uint8Array[], done: (() => void) | undefined): void {
    if (this.#isEnded) {
      done?.();
      return;
    }
    this.#used = at + size;
    const head = this.#block.subarray(at, at + size);
    this.#chunks.push(head);
    for (const piece of pieces) {
      if (piece.length === 0) continue;
      this.#chunks.push(piece);
      this.#chunkBytes += piece.length;
    }
    if (this.checked) {
      let sum = crc32c(head);
      for (const piece of pieces) sum = crc32c(piece, sum);
      this.#block.writeUInt32LE(sum, this.#used);
      this.#chunks.push(this.#block.subarray(this.#used, this.#used + checksumBytes));
      this.#used += checksumBytes;
    }
    if (done) this.#dones.push(done);
    if (this.#chunkBytes >= flushBytes) {
      this.#flush();
      return;
    }
    if (this.#willFlush || this.#isParsing) return;
    this.#willFlush = true;
    // What the whole turn of the loop has to send leaves in one system call.
    setImmediate(() => {
      this.#willFlush = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#chunks.length === 0 || this.#isEnded) return;
    const chunks = this.#chunks;
    const dones = this.#dones;
    this.#chunks = [];
    this.#chunkBytes = 0;
    this.#dones = [];
    this.stream.write(chunks, () => {
      for (const done of dones) done();
    });
  }

  /** What was sent still leaves. */
  close(): void {
    if (this.#isEnded) return;
    this.#flush();
    this.stream.close();
  }

  destroy(why: string): void {
    if (this.#isEnded) return;
    this.#end(why);
    this.stream.destroy();
  }

  #end(why: string | null): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    const dones = this.#dones;
    this.#dones = [];
    this.#chunks = [];
    for (const done of dones) done();
    this.#receive.end();
    this.#direct = null;
    this.#sink.ended(why);
  }
}
