/**
 * One connection: frames in and out over a stream, the handshake gate, one flush a tick, back-pressure, life signs.
 * It knows nothing of fops or methods: a ConnectionHandler does.
 */
import type { Clock, Counter, Log, Metrics, Timer } from '@mortar/core/ports.ts';
import type { ByteReader } from './byte-reader.ts';
import {
  Channel,
  Control,
  channelShift,
  FrameError,
  type FrameLimits,
  flagsOf,
  type Header,
  headerBytes,
  helloLimits,
  Kind,
} from './frame.ts';
import { FrameReader } from './frame-reader.ts';
import { LifeSigns } from './life-signs.ts';
import { nullLog, nullMetrics } from './null-ports.ts';
import { type Choked, type Encode, SendQueue } from './send-queue.ts';
import type { PeerIdentity, Stream } from './stream.ts';

export type CloseCode =
  | 'closed'
  | 'goodbye'
  | 'peer-closed'
  | 'stream-error'
  | 'bad-frame'
  | 'ping-timeout'
  | 'handshake-timeout'
  | 'refused'
  | 'replaced'
  | 'stale'
  | 'bug';

export interface CloseReason {
  readonly code: CloseCode;
  readonly message: string;
}

export interface ConnectionHandler {
  /** A frame of the connection's channel, after the handshake. May throw FrameError. `meta` is valid during the call. */
  frame(header: Header, meta: ByteReader, payload: Buffer): void;
  /** The first frame of a client, or the server's answer to it. May throw FrameError. */
  hello(header: Header, meta: ByteReader): void;
  closed(reason: CloseReason): void;
}

export interface ConnectionOptions {
  clock: Clock;
  log?: Log;
  metrics?: Metrics;
  /** Origin of log lines. */
  name: string;
  channel: Channel;
  limits: FrameLimits;
  isServer: boolean;
  /** A peer silent for longer is gone; 0: never. */
  pingTimeoutMs?: number;
  helloTimeoutMs?: number;
  /** Above this many bytes waiting to be sent, a server reads nothing more. */
  queuedBytesMax?: number;
}

const defaultHelloTimeoutMs = 10_000;
const defaultQueuedBytesMax = 8 << 20;
const defaultPingTimeoutMs = 42_000;
/** Life signs are looked at so many times in a ping timeout. */
const looksInTimeout = 4;
const goodbyeLingerMs = 1000;
/**
 * A client reads on, however much it has to send: answers make no more of that, and what its requests hold is bounded. Two that both wait until
 * the other one reads would wait for ever.
 */
const readsOn: Choked = { pauseReading: () => undefined, resumeReading: () => undefined };

export interface ConnectionStats {
  bytesReceived: number;
  bytesSent: number;
  framesReceived: number;
  framesSent: number;
}

export class Connection {
  readonly peer: PeerIdentity;
  readonly stats: ConnectionStats = { bytesReceived: 0, bytesSent: 0, framesReceived: 0, framesSent: 0 };
  readonly #stream: Stream;
  readonly #handler: ConnectionHandler;
  readonly #options: ConnectionOptions;
  readonly #log: Log;
  readonly #metrics: Metrics;
  readonly #bytesIn: Counter;
  readonly #reader: FrameReader;
  readonly #queue: SendQueue;
  readonly #queuedBytesMax: number;
  readonly #fopFlags: number;
  #phase: 'hello' | 'deciding' | 'open' | 'closed' = 'hello';
  #limits: FrameLimits = helloLimits;
  readonly #lifeSigns: LifeSigns;
  #pauses = 0;
  #heard = true;
  #lastHeardMs: number;
  #lastLookMs: number;
  #timer: Timer | null = null;
  #pingTimeoutMs: number;

  constructor(stream: Stream, handler: ConnectionHandler, options: ConnectionOptions) {
    this.peer = stream.peer;
    this.#stream = stream;
    this.#handler = handler;
    this.#options = options;
    this.#log = options.log ?? nullLog;
    this.#metrics = options.metrics ?? nullMetrics;
    this.#bytesIn = this.#metrics.counter('rpc_received_bytes_total');
    this.#pingTimeoutMs = options.pingTimeoutMs ?? defaultPingTimeoutMs;
    this.#queuedBytesMax = options.queuedBytesMax ?? defaultQueuedBytesMax;
    this.#fopFlags = options.channel << channelShift;
    this.#queue = new SendQueue(stream, options.isServer ? this : readsOn, {
      clock: options.clock,
      metrics: this.#metrics,
      stats: this.stats,
      queuedBytesMax: this.#queuedBytesMax,
    });
    this.#reader = new FrameReader(helloLimits, (header, meta, payload) => this.#dispatch(header, meta, payload));
    this.#lifeSigns = new LifeSigns(options.clock, () => this.#sendPing());
    this.#lastHeardMs = this.#lastLookMs = options.clock.nowMs();
    this.#timer = options.clock.after(options.helloTimeoutMs ?? defaultHelloTimeoutMs, () =>
      this.close({ code: 'handshake-timeout', message: 'the peer did not finish the handshake in time' }),
    );
    stream.start({
      space: () => this.#reader.space(),
      received: (count) => this.#received(count),
      drained: () => this.#queue.drained(),
      closed: (error) => this.#ended(error),
    });
  }

  get isOpen(): boolean {
    return this.#phase === 'open';
  }

  /** Bytes gathered or queued and not yet sent. */
  get queuedBytes(): number {
    return this.#queue.queuedBytes;
  }

  /** The handshake is through: the channel's frames and limits apply. */
  opened(): void {
    if (this.#phase === 'closed') return;
    this.#phase = 'open';
    this.#limits = this.#options.limits;
    this.#reader.limits = this.#limits;
    this.#timer?.cancel();
    this.#watch();
  }

  /**
   * Sends one frame of the connection's channel. `encode` writes the meta part and returns the payload's pieces, which
   * must not change until sent. Throws FrameTooLarge, and what `encode` throws; nothing is sent then.
   */
  send(
    kind: Kind,
    op: number,
    id: number,
    extraFlags: number,
    status: number,
    cookieLow: number,
    cookieHigh: number,
    encode: Encode,
    done?: (payload: Uint8Array) => void,
  ): void {
    const flags = kind | this.#fopFlags | extraFlags;
    this.#queue.put(this.#limits, flags, op, id, status, cookieLow, cookieHigh, encode, done);
  }

  /** As `send`, for a notice that nobody waits for: it goes with the next frame, or by itself a little later. */
  sendLater(kind: Kind, op: number, encode: Encode): void {
    this.#queue.putLater(this.#limits, kind | this.#fopFlags, op, encode);
  }

  sendControl(kind: Kind, op: number, extraFlags: number, status: number, meta: Uint8Array | null): void {
    this.#queue.put(helloLimits, flagsOf(kind, Channel.control) | extraFlags, op, 0, status, 0, 0, (output) => {
      if (meta) output.raw(meta);
      return null;
    });
  }

  /** Resolves when little is waiting to be sent, or the connection is closed. For senders of notices in bulk. */
  drained(): Promise<void> {
    return this.#queue.untilDrained();
  }

  /** Stops reading until `resumeReading` was called as often: the peer has to wait. */
  pauseReading(): void {
    if (this.#pauses++ === 0 && this.#phase !== 'closed') this.#stream.pause();
  }

  resumeReading(): void {
    if (--this.#pauses > 0 || this.#phase === 'closed') return;
    this.#heard = true;
    this.#lifeSigns.heard();
    this.#stream.resume();
  }

  #received(count: number): void {
    this.#heard = true;
    this.#lifeSigns.heard();
    this.stats.bytesReceived += count;
    this.#bytesIn.add(count);
    try {
      this.#reader.received(count);
    } catch (error) {
      this.#violated(error);
    }
  }

  #dispatch(header: Header, meta: ByteReader, payload: Buffer): boolean {
    try {
      this.stats.framesReceived++;
      if (header.channel === Channel.control) this.#control(header, meta);
      else if (this.#phase !== 'open') throw new FrameError('handshake', 'a request before the handshake');
      else if (header.channel !== this.#options.channel) throw new FrameError('channel', 'a frame of another channel');
      else this.#handler.frame(header, meta, payload);
    } catch (error) {
      this.#violated(error);
    }
    return this.#phase !== 'closed';
  }

  #control(header: Header, meta: ByteReader): void {
    if (header.payloadBytes > 0 || header.metaBytes > helloLimits.metaBytes)
      throw new FrameError('payload', 'a control frame that is too large');
    const expected = this.#options.isServer ? Kind.request : Kind.reply;
    if (this.#phase === 'hello') {
      if (header.op !== Control.hello || header.kind !== expected)
        throw new FrameError('handshake', 'the first frame is no handshake');
      this.#phase = 'deciding';
      this.#handler.hello(header, meta);
    } else if (this.#phase !== 'open') throw new FrameError('handshake', 'a frame while the handshake is decided');
    else if (header.op === Control.ping && header.kind === Kind.request) this.#pong();
    else if (header.op === Control.ping && header.kind === Kind.reply) return;
    else if (header.op === Control.goodbye && header.kind === Kind.notice)
      this.close({ code: 'goodbye', message: 'the peer said goodbye' });
    else throw new FrameError('handshake', `unknown control message ${header.op}`);
  }

  /** A peer that pings without reading the answers may not fill our memory. */
  #pong(): void {
    if (this.queuedBytes < this.#queuedBytesMax) this.sendControl(Kind.reply, Control.ping, 0, 0, null);
  }

  #violated(error: unknown): void {
    if (error instanceof FrameError) {
      this.#metrics.counter('rpc_bad_frames_total', { reason: error.reason }).add();
      this.#log.write(
        'WARNING',
        this.#options.name,
        `closing the connection with ${this.peer.address || this.peer.kind}: bad frame (${error.reason}): ${error.message}`,
      );
      this.close({ code: 'bad-frame', message: error.message }, true);
      return;
    }
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.#metrics.counter('rpc_bugs_total').add();
    this.#log.write('ERROR', this.#options.name, `closing the connection after an unexpected error: ${text}`);
    this.close({ code: 'bug', message: String(error) }, true);
  }

  #ended(error: Error | null): void {
    const message = error ? error.message : 'the peer closed the connection';
    this.close({ code: error ? 'stream-error' : 'peer-closed', message }, true);
  }

  /** Ends the connection; what was sent before still goes out unless `isAbrupt`. */
  close(reason: CloseReason, isAbrupt = false): void {
    if (this.#phase === 'closed') return;
    if (!isAbrupt) this.#queue.flush();
    this.#phase = 'closed';
    this.#queue.close();
    this.#reader.stop();
    this.#timer?.cancel();
    this.#timer = null;
    this.#lifeSigns.end(false);
    if (isAbrupt || reason.code === 'ping-timeout') this.#stream.destroy();
    else this.#closeGently();
    this.#handler.closed(reason);
  }

  /** A peer that does not read gets a moment, then the rest is dropped. */
  #closeGently(): void {
    const stream = this.#stream;
    stream.close();
    if (stream.queuedBytes > 0) this.#options.clock.after(goodbyeLingerMs, () => stream.destroy());
  }

  goodbye(): void {
    if (this.#phase === 'open') this.sendControl(Kind.notice, Control.goodbye, 0, 0, null);
    this.close({ code: 'closed', message: 'closed by this side' });
  }

  /**
   * Whether the peer gives a sign of life within so many milliseconds; at once where it has owed one for as long. One that is not read from cannot.
   * A closed connection has none.
   */
  isAlive(withinMs: number): Promise<boolean> {
    if (this.#phase !== 'open' || this.#pauses > 0) return Promise.resolve(this.#phase === 'open');
    return this.#lifeSigns.within(withinMs);
  }

  #sendPing(): void {
    this.sendControl(Kind.request, Control.ping, 0, 0, null);
  }

  /** Holds at once, also for a peer that is silent already. */
  setPingTimeout(timeoutMs: number): void {
    if (timeoutMs === this.#pingTimeoutMs) return;
    this.#pingTimeoutMs = timeoutMs;
    if (this.#phase !== 'open') return;
    this.#timer?.cancel();
    this.#timer = null;
    this.#watch();
  }

  #watch(): void {
    const timeoutMs = this.#pingTimeoutMs;
    if (timeoutMs <= 0) return;
    const lookMs = timeoutMs / looksInTimeout;
    const { clock } = this.#options;
    this.#lastHeardMs = this.#lastLookMs = clock.nowMs();
    const look = (): void => {
      const nowMs = clock.nowMs();
      // This process itself was stopped or busy: what the peer sent meanwhile is not read yet.
      const wasLate = nowMs - this.#lastLookMs > 2 * lookMs;
      this.#lastLookMs = nowMs;
      // Who is not read from cannot be heard, but takes what is sent to him if he lives.
      const isWaitedFor = this.#pauses > 0 && !this.#queue.isStuck();
      if (this.#heard || wasLate || isWaitedFor) this.#lastHeardMs = nowMs;
      if (nowMs - this.#lastHeardMs >= timeoutMs) {
        this.#metrics.counter('rpc_ping_timeouts_total').add();
        this.close({ code: 'ping-timeout', message: `the peer has been silent for ${timeoutMs} ms` });
        return;
      }
      if (!this.#heard) this.#sendPing();
      this.#heard = false;
      this.#timer = clock.after(lookMs, look);
    };
    this.#timer = clock.after(lookMs, look);
  }
}

/** What a frame costs on the wire beyond its parts. */
export const frameOverheadBytes = headerBytes;
