/**
 * The transmission phase: requests are parsed in place in the receive buffer and given to the device; what it answers at once
 * is answered together. Everything that a client can make grow is bounded: requests under way, and the bytes that they and
 * their replies hold. A client over the bound, also one that does not read, is not read from; nobody else notices.
 */
import { Errno } from '@mortar/core';
import type { Stream, StreamSink } from '@mortar/rpc/stream.ts';
import type { Answer, BlockDevice, Done, ReadReply } from '../device/device.ts';
import { RequestHeader, readRequest } from './codec.ts';
import { Command, extendedRequestBytes, CommandFlag as Flag, requestBytes } from './constants.ts';
import { LongWrite } from './long-write.ts';
import type { Agreement } from './negotiation.ts';
import { type Pinned, ReceiveBuffer, receiveBytes } from './receive-buffer.ts';
import { type Asked, giveBack, Replies } from './replies.ts';
import { objection, perform, statusOf } from './requests.ts';

export interface TransmissionLimits {
  /** Requests under way. */
  readonly requestsMax: number;
  /** Bytes of their payloads, and of replies that the client has not taken. One request is always let through. */
  readonly heldBytesMax: number;
}

export const usualLimits: TransmissionLimits = { requestsMax: 256, heldBytesMax: 16 * 1024 * 1024 };

/** Behind a payload that was received where it stays there will be another one: no more than this is received with its header, and copied. */
const behindDirectBytes = 4096;

/** Turns work off to the end of this turn of the loop. */
export type Later = (callback: () => void) => void;

export interface TransmissionOptions {
  readonly agreement: Agreement;
  readonly stream: Stream;
  readonly limits?: TransmissionLimits;
  readonly later: Later;
  /** Once; `why` is null when the client said goodbye or closed the connection between requests. */
  readonly ended: (why: string | null) => void;
}

export class Transmission implements StreamSink {
  readonly #agreement: Agreement;
  readonly #device: BlockDevice;
  readonly #stream: Stream;
  readonly #limits: TransmissionLimits;
  readonly #later: Later;
  readonly #ended: (why: string | null) => void;
  readonly #buffer = new ReceiveBuffer();
  readonly #header = new RequestHeader();
  readonly #headerBytes: number;
  readonly #replies: Replies;
  #write: LongWrite | null = null;
  /** The write whose payload the stream was told to receive into. */
  #direct: LongWrite | null = null;
  /** The last request was received in this way. */
  #wasDirect = false;
  /** Bytes of a payload that nobody wants. */
  #skip = 0;
  /** How long the next request is in the buffer, as far as it is known. */
  #wanted = 0;
  #requests = 0;
  #heldBytes = 0;
  #isPaused = false;
  #isFlushing = false;
  /** No more requests are taken: what is under way is still answered. */
  #isClosing = false;
  /** The connection is gone. */
  #isOver = false;
  #isEnded = false;
  #why: string | null = null;

  constructor({ agreement, stream, limits = usualLimits, later, ended }: TransmissionOptions) {
    this.#agreement = agreement;
    this.#device = agreement.opened.device;
    this.#stream = stream;
    this.#limits = limits;
    this.#later = later;
    this.#ended = ended;
    this.#headerBytes = agreement.extended ? extendedRequestBytes : requestBytes;
    this.#replies = new Replies(agreement.extended ? 'extended' : agreement.structured ? 'structured' : 'simple');
  }

  /** For the state dump. */
  get underWay(): { requests: number; bytes: number } {
    return { requests: this.#requests, bytes: this.#heldBytes };
  }

  /** Begins; `rest`: what came with the last option. */
  start(rest: Buffer): void {
    // One byte more: there is always room to receive.
    this.#buffer.makeRoom(rest.length + 1);
    this.#buffer.space().set(rest);
    this.#buffer.filled(rest.length);
    // The stream asks at once where to put the first bytes: from here on the buffer stays in its place until they come.
    this.#stream.start(this);
    this.#takeAll();
    this.#flush();
  }

  /** Answers what is under way, then ends. */
  finish(): void {
    this.#close(null);
  }

  space(): Uint8Array {
    const write = this.#write;
    // Straight to where it is needed, once there is nothing else in between.
    const room = this.#buffer.available === 0 ? write?.room : null;
    this.#direct = room ? write : null;
    if (room) return room;
    const space = this.#buffer.space();
    return this.#wasDirect && this.#buffer.available === 0 ? space.subarray(0, behindDirectBytes) : space;
  }

  received(count: number): void {
    const direct = this.#direct;
    if (direct) {
      direct.received(count);
      this.#wasDirect = true;
      if (direct.isWhole && !this.#isClosing) this.#endWrite(direct);
    } else this.#buffer.filled(count);
    this.#takeAll();
    this.#buffer.makeRoom(this.#wanted);
    this.#flush();
  }

  drained(): void {}

  closed(error: Error | null): void {
    const isMidway = this.#buffer.available > 0 || this.#write !== null || this.#skip > 0;
    this.#why ??= error ? error.message : isMidway ? 'it was cut off in a request' : null;
    this.#isClosing = true;
    this.#isOver = true;
    giveBack(this.#replies.take());
    this.#finishIfIdle();
  }

  /** Over the bound nothing is taken any more; as one request is always let through, that ends. */
  #isFull(): boolean {
    const { requestsMax, heldBytesMax } = this.#limits;
    return this.#requests >= requestsMax || this.#heldBytes + this.#replies.bytes >= heldBytesMax;
  }

  /** Takes requests from the buffer until it has no whole one, or the bound is reached. */
  #takeAll(): void {
    const buffer = this.#buffer;
    try {
      while (!this.#isClosing && !this.#isFull() && this.#step());
    } catch (error) {
      this.#bug(error);
    }
    if (this.#isClosing) buffer.consume(buffer.available);
    const isFull = !this.#isClosing && this.#isFull();
    if (isFull === this.#isPaused) return;
    this.#isPaused = isFull;
    if (isFull) this.#stream.pause();
    else this.#stream.resume();
  }

  /** Takes what can be taken; false when bytes are missing. */
  #step(): boolean {
    const buffer = this.#buffer;
    this.#wanted = 0;
    if (this.#skip > 0) {
      const count = Math.min(this.#skip, buffer.available);
      buffer.consume(count);
      this.#skip -= count;
      return this.#skip === 0;
    }
    if (this.#write) return this.#takePayload(this.#write);
    if (buffer.available < this.#headerBytes) {
      this.#wanted = this.#headerBytes;
      return false;
    }
    if (!readRequest(buffer.bytes, buffer.start, this.#agreement.extended, this.#header)) {
      this.#close('what came is no request');
      return false;
    }
    return this.#request();
  }

  #request(): boolean {
    const header = this.#header;
    this.#wasDirect = false;
    const buffer = this.#buffer;
    const { extended } = this.#agreement;
    const hasPayload = extended ? (header.flags & Flag.PAYLOAD_LEN) !== 0 : header.type === Command.WRITE;
    if (hasPayload && header.length > this.#device.traits.maximumBytes) {
      this.#close(`a payload of ${header.length} bytes`);
      return false;
    }
    if (header.type === Command.DISC) {
      this.#close(null);
      return false;
    }
    const flags = extended ? header.flags & ~Flag.PAYLOAD_LEN : header.flags;
    let errno = objection(this.#agreement, header.type, flags);
    // Of commands with extended headers a write, and no other, has a payload.
    if (errno === 0 && hasPayload !== (header.type === Command.WRITE)) errno = Errno.EINVAL;
    if (errno !== 0) {
      buffer.consume(this.#headerBytes);
      this.#replies.failed(header, errno, this.#hasDataReply(header.type));
      if (hasPayload) this.#skip = header.length;
      return true;
    }
    if (header.type === Command.WRITE) return this.#beginWrite(flags);
    buffer.consume(this.#headerBytes);
    if (header.type === Command.READ) this.#read(flags);
    else if (header.type === Command.BLOCK_STATUS) this.#status(flags);
    else this.#other(flags);
    return true;
  }

  #hasDataReply(type: number): boolean {
    return type === Command.READ || type === Command.BLOCK_STATUS;
  }

  #read(flags: number): void {
    const { offset, length } = this.#header;
    const whole = (flags & Flag.DF) !== 0;
    const answer = this.#device.read(offset, length);
    if (!(answer instanceof Promise)) {
      this.#answerRead(this.#header, answer, whole);
      return;
    }
    const asked = this.#asked();
    this.#wait(answer, length, (reply) => this.#answerRead(asked, reply, whole));
  }

  #answerRead(asked: Asked, reply: ReadReply, whole: boolean): void {
    if (reply.ok) this.#replies.read(asked, reply.pieces, whole);
    else this.#replies.failed(asked, reply.errno, true);
  }

  #status(flags: number): void {
    const { offset, length } = this.#header;
    const answer = statusOf(this.#device, flags, offset, length);
    const asked = this.#asked();
    const reply = (one: Awaited<typeof answer>) => {
      if (one.ok) this.#replies.status(asked, one.extents);
      else this.#replies.failed(asked, one.errno, true);
    };
    if (answer instanceof Promise) this.#wait(answer, 0, reply);
    else reply(answer);
  }

  #other(flags: number): void {
    const { type, offset, length } = this.#header;
    this.#settle(perform(this.#device, this.#agreement.opened.mayResize, type, flags, offset, length), 0);
  }

  /**
   * Answers the request in the header with success or failure; `release` when the device has done with its payload: after a
   * failure somebody may still have it.
   */
  #settle(answer: Answer<Done>, heldBytes: number, release?: () => void): void {
    if (!(answer instanceof Promise)) {
      this.#answerDone(this.#header, answer);
      if (answer.ok) release?.();
      return;
    }
    const asked = this.#asked();
    this.#wait(answer, heldBytes, (one) => {
      if (one.ok) release?.();
      this.#answerDone(asked, one);
    });
  }

  #answerDone(asked: Asked, answer: Done): void {
    if (answer.ok) this.#replies.done(asked);
    else this.#replies.failed(asked, answer.errno, false);
  }

  /** The header serves the next request: what outlives this one is copied. */
  #asked(): Asked {
    const { cookieHigh, cookieLow, offset } = this.#header;
    return { cookieHigh, cookieLow, offset };
  }

  #wait<T>(answer: Promise<T>, heldBytes: number, reply: (value: T) => void): void {
    this.#requests++;
    this.#heldBytes += heldBytes;
    const settled = () => {
      this.#requests--;
      this.#heldBytes -= heldBytes;
      this.#flushLater();
    };
    answer.then(
      (value) => {
        reply(value);
        settled();
      },
      (error: unknown) => {
        this.#bug(error);
        settled();
      },
    );
  }

  /** A device does not throw: this is a bug of one. What became of the request is not known: nothing is answered. */
  #bug(error: unknown): void {
    this.#close(`a request failed unexpectedly: ${error instanceof Error ? error.stack : error}`);
  }

  #beginWrite(flags: number): boolean {
    const header = this.#header;
    const buffer = this.#buffer;
    const { length } = header;
    const fua = (flags & Flag.FUA) !== 0;
    const whole = this.#headerBytes + length;
    if (buffer.available >= whole) {
      const from = buffer.start + this.#headerBytes;
      buffer.consume(whole);
      const answer = this.#device.write(header.offset, buffer.bytes.subarray(from, from + length), fua);
      if (answer instanceof Promise) this.#settlePinned(answer, length);
      else this.#answerDone(header, answer);
      return true;
    }
    const { streams } = this.#device.traits;
    // What fits the buffer is waited for there.
    if (whole <= receiveBytes / 4 || (!streams && whole <= receiveBytes / 2)) {
      this.#wanted = whole;
      return false;
    }
    buffer.consume(this.#headerBytes);
    const underWay = (answer: Promise<Done>, bytes: number) => this.#wait(answer, bytes, () => undefined);
    this.#write = new LongWrite({ device: this.#device, asked: this.#asked(), length, fua, buffer, underWay });
    return true;
  }

  #settlePinned(answer: Promise<Done>, length: number): void {
    const pinned: Pinned = this.#buffer.pin();
    this.#settle(answer, length, () => this.#buffer.unpin(pinned));
  }

  #takePayload(write: LongWrite): boolean {
    if (this.#buffer.available === 0) return false;
    write.take();
    if (!write.isWhole) return false;
    this.#endWrite(write);
    return true;
  }

  #endWrite(write: LongWrite): void {
    this.#write = null;
    Object.assign(this.#header, write.asked);
    try {
      this.#settle(write.finish(), write.heldBytes, () => write.release());
    } catch (error) {
      this.#bug(error);
    }
  }

  #flushLater(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    this.#later(() => {
      this.#isFlushing = false;
      if (!this.#isOver) this.#takeAll();
      this.#flush();
    });
  }

  #flush(): void {
    const { bytes } = this.#replies;
    if (bytes > 0) {
      const batch = this.#replies.take();
      if (this.#isOver) giveBack(batch);
      else {
        this.#heldBytes += bytes;
        this.#stream.write(batch.chunks, () => {
          this.#heldBytes -= bytes;
          giveBack(batch);
          if (this.#isPaused) this.#flushLater();
        });
      }
    }
    this.#finishIfIdle();
  }

  #close(why: string | null): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.#why = why;
    this.#write = null;
    this.#skip = 0;
    this.#flushLater();
  }

  #finishIfIdle(): void {
    if (!this.#isClosing || this.#requests > 0 || this.#isEnded) return;
    if (!this.#isOver) {
      // Its end comes back as `closed`.
      this.#stream.close();
      return;
    }
    this.#isEnded = true;
    this.#buffer.end();
    this.#ended(this.#why);
  }
}
