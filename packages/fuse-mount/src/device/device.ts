/** One /dev/fuse descriptor: requests from the kernel as they come, replies as they are ready. */
import { write as writeInPool } from 'node:fs';
import { Errno } from '@mortar/core';
import { ioctl, keepFreedMemory, read, write, writeTwo, writev } from '@mortar/libc';
import { backingCloseRequest, backingMap, backingNumber, backingOpenRequest } from '../protocol/backing.ts';
import type { Channel } from '../session/session.ts';
import { Expectation } from './expectation.ts';
import { openPipe, type Pipe } from './pipe.ts';
import { type ReceiveBufferOptions, ReceiveBuffers } from './receive-buffers.ts';

/** Requests taken in one turn before timers and other sockets get theirs. */
const drainMax = 64;
/** Notifications that wait for their turn; beyond it they are dropped, and timeouts do their work. */
const noticesMax = 16384;

/** Buffers of requests and payloads come and go; of what was freed so much stays for the next ones. */
const freedBytesKept = 64 * 1024 * 1024;

export interface DeviceEvents {
  /** True: the buffer must be left alone. */
  request(bytes: Buffer, length: number): boolean;
  /** Whether more requests may be taken now. */
  ready(): boolean;
  /** The event loop woke: time has passed. */
  turn(): void;
  /** Whether the last request has been answered. */
  settled(): boolean;
  /** The mount has ended (undefined), or the descriptor failed. */
  ended(error: NodeJS.ErrnoException | undefined): void;
}

export class FuseDevice implements Channel {
  readonly #fd: number;
  #events: DeviceEvents | null = null;
  readonly #buffers: ReceiveBuffers;
  /** Where libuv reads; it asks for the next one as soon as `#received` returns, hence it has its own. Null: kept. */
  #loopBuffer: Buffer | null = null;
  /** Where `#drain` reads. */
  #drainBuffer: Buffer | null = null;
  #pipe: Pipe | null = null;
  #open = true;
  #budget = 0;
  /** The last request was left to be answered before the next is taken. */
  #awaiting = false;
  /** Whether requests are answered in the turn in which they come. */
  readonly #hopes = new Expectation(1);
  /** Whether more requests wait behind one: a read in vain costs a fifth of what a turn of the loop does. */
  readonly #more = new Expectation(4);
  readonly #notices: Buffer[] = [];
  noticesDropped = 0;

  /** Takes over the descriptor. */
  constructor(fd: number, maxWrite: number, buffers?: ReceiveBufferOptions) {
    this.#fd = fd;
    this.#buffers = new ReceiveBuffers(maxWrite, buffers);
  }

  async start(events: DeviceEvents): Promise<void> {
    this.#events = events;
    keepFreedMemory(freedBytesKept, 4 * this.#buffers.bytesEach);
    this.#pipe = await openPipe(this.#fd, {
      buffer: () => {
        this.#loopBuffer ??= this.#buffers.take();
        return this.#loopBuffer;
      },
      received: (length) => this.#received(length),
      ended: (error) => this.#ended(error),
    });
  }

  write(bytes: Uint8Array, length: number): number {
    return this.#open ? write(this.#fd, bytes, 0, length) : -Errno.ENODEV;
  }

  writeTwo(bytes: Uint8Array, length: number, payload: Uint8Array): number {
    return this.#open ? writeTwo(this.#fd, bytes, length, payload) : -Errno.ENODEV;
  }

  /** As `writeTwo`, with a payload in pieces. */
  writeAll(bytes: Uint8Array, length: number, pieces: readonly Uint8Array[]): number {
    return this.#open ? writev(this.#fd, [bytes.subarray(0, length), ...pieces]) : -Errno.ENODEV;
  }

  openBacking(fd: number): number {
    return this.#open ? ioctl(this.#fd, backingOpenRequest, backingMap(fd)) : -Errno.ENODEV;
  }

  closeBacking(id: number): void {
    // Ends with the descriptor else.
    if (this.#open) ioctl(this.#fd, backingCloseRequest, backingNumber(id));
  }

  spare(): boolean {
    return this.#buffers.spare;
  }

  done(bytes: Buffer, reusable: boolean): void {
    this.#buffers.giveBack(bytes, reusable);
  }

  /**
   * Writes a notification from a thread of the pool, one after the other: the kernel may make it wait for pages or
   * directories that are locked by requests which this thread has yet to answer.
   */
  notify(message: Buffer): void {
    if (!this.#open || this.#notices.length >= noticesMax) {
      this.noticesDropped++;
      return;
    }
    this.#notices.push(message);
    if (this.#notices.length === 1) this.#nextNotice();
  }

  #nextNotice(): void {
    const message = this.#notices[0];
    if (!message) return;
    if (!this.#open) {
      this.#notices.length = 0;
      return;
    }
    writeInPool(this.#fd, message, 0, message.length, null, () => {
      // An error only says that the kernel had nothing cached.
      this.#notices.shift();
      this.#nextNotice();
    });
  }

  pause(): void {
    this.#pipe?.pause();
  }

  resume(): void {
    if (this.#open) this.#pipe?.resume();
  }

  close(): void {
    this.#pipe?.close();
  }

  /**
   * libuv reads one request each time it wakes; the rest of the queue is taken here. While requests are answered within
   * the turn they came in (a cache, memory), the next one is taken when the last has been answered, so that its caller
   * goes on meanwhile. If an answer has to wait (a brick), the turn ends and libuv wakes us for the next request; once
   * that is usual, the queue is taken without waiting for answers.
   */
  #received(length: number): void {
    if (this.#awaiting) this.#hopes.met(false);
    this.#awaiting = false;
    this.#budget = drainMax;
    const events = this.#events!;
    events.turn();
    if (events.request(this.#loopBuffer!, length)) this.#loopBuffer = null;
    if (!events.ready()) this.pause();
    else if (!events.settled() && this.#hopes.likely()) this.#awaiting = true;
    else this.#drain();
  }

  /** To be called when a request was answered that was the last one taken. */
  answered(): void {
    if (!this.#awaiting) return;
    this.#awaiting = false;
    this.#hopes.met(true);
    this.#drain();
  }

  #drain(): void {
    const events = this.#events!;
    while (this.#open) {
      if (!events.ready()) {
        this.pause();
        return;
      }
      if (--this.#budget <= 0 || !this.#more.likely()) return;
      this.#drainBuffer ??= this.#buffers.take();
      const length = read(this.#fd, this.#drainBuffer);
      this.#more.met(length > 0);
      if (length <= 0) {
        this.#drained(length);
        return;
      }
      if (events.request(this.#drainBuffer, length)) this.#drainBuffer = null;
      if (!events.settled() && this.#hopes.likely()) {
        this.#awaiting = true;
        return;
      }
    }
  }

  #drained(result: number): void {
    // ENOENT: the request was taken back before it was read. The loop finds out about the rest by itself.
    if (result === -Errno.ENODEV || result === -Errno.ECONNABORTED) this.close();
  }

  #ended(error: NodeJS.ErrnoException | undefined): void {
    if (!this.#open) return;
    this.#open = false;
    const usual = error === undefined || error.code === 'ENODEV' || error.code === 'ECONNABORTED';
    this.#events?.ended(usual ? undefined : error);
  }
}
