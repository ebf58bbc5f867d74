/**
 * The transmission phase: requests are parsed in place in the receive buffer and served; what the device answers at once
 * is answered together. Everything that a client can make grow is bounded: requests under way, and the bytes that they and
 * their replies hold. A client over the bound, also one that does not read, is not read from; nobody else notices.
 */
import { Errno } from '@mortar/core';
import type { Stream, StreamSink } from '@mortar/rpc/stream.ts';
import type { BlockDevice, Done } from '../device/device.ts';
import { RequestHeader, readRequest } from './codec.ts';
import { Command, extendedRequestBytes, CommandFlag as Flag, requestBytes } from './constants.ts';
import { LongWrite } from './long-write.ts';
import type { Agreement } from './negotiation.ts';
import { type Pinned, ReceiveBuffer, receiveBytes } from './receive-buffer.ts';
import { giveBack } from './replies.ts';
import { objection } from './requests.ts';
import { kept, Service } from './service.ts';

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
  readonly #service: Service;
  #write: LongWrite | null = null;
  /** The write whose payload the stream was told to receive into. */
  #direct: LongWrite | null = null;
  /** The last request was received in this way. */
  #wasDirect = false;
  /** Bytes of a payload that nobody wants. */
  #skip = 0;
  /** How long the next request is in the buffer, as far as it is known. */
  #wanted = 0;
  /** Of replies that the client has not taken. */
  #unsentBytes = 0;
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
    this.#service = new Service(agreement, { settled: () => this.#flushLater(), bug: (error) => this.#bug(error) });
  }

  /** For the state dump. */
  get underWay(): { requests: number; bytes: number } {
    return { requests: this.#service.requests, bytes: this.#service.heldBytes + this.#unsentBytes };
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
    giveBack(this.#service.replies.take());
    this.#finishIfIdle();
  }

  /** Over the bound nothing is taken any more; as one request is always let through, that ends. */
  #isFull(): boolean {
    const { requestsMax, heldBytesMax } = this.#limits;
    const { requests, heldBytes, replies } = this.#service;
    return requests >= requestsMax || heldBytes + this.#unsentBytes + replies.bytes >= heldBytesMax;
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
      this.#service.refuse(header, errno);
      if (hasPayload) this.#skip = header.length;
      return true;
    }
    if (header.type === Command.WRITE) return this.#beginWrite(flags);
    buffer.consume(this.#headerBytes);
    this.#service.serve(header, flags);
    return true;
  }

  /** A device does not throw: this is a bug of one. */
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
      if (answer instanceof Promise) this.#answerPinned(answer, length);
      else this.#service.answer(header, answer, 0);
      return true;
    }
    const { streams } = this.#device.traits;
    // What fits the buffer is waited for there.
    if (whole <= receiveBytes / 4 || (!streams && whole <= receiveBytes / 2)) {
      this.#wanted = whole;
      return false;
    }
    buffer.consume(this.#headerBytes);
    const underWay = (answer: Promise<Done>, bytes: number) => this.#service.wait(answer, bytes, () => undefined);
    this.#write = new LongWrite({ device: this.#device, asked: kept(header), length, fua, buffer, underWay });
    return true;
  }

  #answerPinned(answer: Promise<Done>, length: number): void {
    const pinned: Pinned = this.#buffer.pin();
    this.#service.answer(this.#header, answer, length, () => this.#buffer.unpin(pinned));
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
    try {
      this.#service.answer(write.asked, write.finish(), write.heldBytes, () => write.release());
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
    const { replies } = this.#service;
    const { bytes } = replies;
    if (bytes > 0) {
      const batch = replies.take();
      if (this.#isOver) giveBack(batch);
      else {
        this.#unsentBytes += bytes;
        this.#stream.write(batch.chunks, () => {
          this.#unsentBytes -= bytes;
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
    if (!this.#isClosing || this.#service.requests > 0 || this.#isEnded) return;
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
