/** What a connection sends: frames gathered over a tick and written together, how much of it waits, and when that is too much. */
import type { Clock, Counter, Metrics, Timer } from '@mortar/core/ports.ts';
import type { FrameLimits } from './frame.ts';
import { FrameTooLarge, Output } from './output.ts';
import type { Stream } from './stream.ts';

export interface SendStats {
  bytesSent: number;
  framesSent: number;
}

/** Told when too much waits to be sent, and when little does again: who does not read is not read from. */
export interface Choked {
  pauseReading(): void;
  resumeReading(): void;
}

export interface SendQueueOptions {
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly stats: SendStats;
  /** Above this many bytes in the stream it is choked, until a quarter is left. */
  readonly queuedBytesMax: number;
}

/** Writes the meta part and returns the payload's pieces, which must not change until sent. */
export type Encode = (output: Output) => readonly Uint8Array[] | null;

/** How long a frame that nobody waits for may wait for company. */
const laterMs = 5;

export class SendQueue {
  readonly #stream: Stream;
  readonly #choked: Choked;
  readonly #clock: Clock;
  readonly #metrics: Metrics;
  readonly #stats: SendStats;
  readonly #queuedBytesMax: number;
  readonly #bytesOut: Counter;
  readonly #output = new Output();
  #isClosed = false;
  #flushScheduled = false;
  #laterTimer: Timer | null = null;
  #isChoked = false;
  /** As it was when somebody asked whether it is stuck. */
  #seen = { takenBytes: 0, underWayBytes: 0 };
  #waiters: (() => void)[] = [];

  constructor(stream: Stream, choked: Choked, options: SendQueueOptions) {
    this.#stream = stream;
    this.#choked = choked;
    this.#clock = options.clock;
    this.#metrics = options.metrics;
    this.#stats = options.stats;
    this.#queuedBytesMax = options.queuedBytesMax;
    this.#bytesOut = options.metrics.counter('rpc_sent_bytes_total');
  }

  /** Bytes gathered or queued and not yet sent. */
  get queuedBytes(): number {
    return this.#stream.queuedBytes + this.#output.pendingBytes;
  }

  /** Whether it is choked, and the peer's side has taken nothing since this was asked the last time. */
  isStuck(): boolean {
    const { queuedBytes, underWayBytes = 0 } = this.#stream;
    const seen = this.#seen;
    this.#seen = { takenBytes: this.#stats.bytesSent - queuedBytes, underWayBytes };
    const { takenBytes } = this.#seen;
    return this.#isChoked && takenBytes === seen.takenBytes && underWayBytes === seen.underWayBytes;
  }

  /** A frame that goes at the end of this tick. Throws FrameTooLarge, and what `encode` throws; nothing is sent then, nor when it is closed. */
  put(
    limits: FrameLimits,
    flags: number,
    op: number,
    id: number,
    status: number,
    cookieLow: number,
    cookieHigh: number,
    encode: Encode,
    done?: (payload: Uint8Array) => void,
  ): void {
    this.#encodeFrame(limits, flags, op, id, status, cookieLow, cookieHigh, encode, done);
    if (this.#flushScheduled || this.#isClosed) return;
    this.#flushScheduled = true;
    process.nextTick(this.flush);
  }

  /** As `put`, for one that nobody waits for: it goes with the next frame, or by itself a little later. */
  putLater(limits: FrameLimits, flags: number, op: number, encode: Encode): void {
    this.#encodeFrame(limits, flags, op, 0, 0, 0, 0, encode);
    if (this.#flushScheduled || this.#laterTimer || this.#isClosed) return;
    this.#laterTimer = this.#clock.after(laterMs, () => {
      this.#laterTimer = null;
      this.flush();
    });
  }

  #encodeFrame(
    limits: FrameLimits,
    flags: number,
    op: number,
    id: number,
    status: number,
    cookieLow: number,
    cookieHigh: number,
    encode: Encode,
    done?: (payload: Uint8Array) => void,
  ): void {
    if (this.#isClosed) return;
    const output = this.#output;
    output.beginFrame();
    try {
      const payloads = encode(output);
      output.endFrame(limits, flags, op, id, status, cookieLow, cookieHigh, payloads, done);
    } catch (error) {
      if (!(error instanceof FrameTooLarge)) output.abandonFrame();
      throw error;
    }
    this.#stats.framesSent++;
  }

  /** Gives the stream what was gathered. */
  readonly flush = (): void => {
    this.#flushScheduled = false;
    const output = this.#output;
    const bytes = output.pendingBytes;
    if (this.#isClosed || bytes === 0) return;
    this.#bytesOut.add(bytes);
    this.#stats.bytesSent += bytes;
    output.inFlight++;
    const chunks = output.take();
    const afterwards = output.takeAfterwards();
    const written = () => {
      for (const done of afterwards) done();
      this.#written();
    };
    this.#stream.write(chunks, afterwards.length > 0 ? written : this.#written);
    if (!this.#isChoked && this.#stream.queuedBytes > this.#queuedBytesMax) {
      this.#isChoked = true;
      this.#metrics.counter('rpc_choked_total').add();
      this.#choked.pauseReading();
    }
  };

  readonly #written = (): void => {
    this.#output.inFlight--;
    this.drained();
  };

  /** The stream has sent something. */
  drained(): void {
    if (this.#stream.queuedBytes > this.#queuedBytesMax / 4) return;
    if (this.#isChoked) {
      this.#isChoked = false;
      this.#choked.resumeReading();
    }
    this.#wake();
  }

  /** Resolves when little waits to be sent, or it is closed. */
  async untilDrained(): Promise<void> {
    while (!this.#isClosed && this.queuedBytes > this.#queuedBytesMax)
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
  }

  /** Takes nothing more, and gives the stream nothing more. */
  close(): void {
    this.#isClosed = true;
    this.#laterTimer?.cancel();
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiters.splice(0)) wake();
  }
}
