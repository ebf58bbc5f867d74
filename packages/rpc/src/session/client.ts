/**
 * A brick as its client sees it: one session that outlives connections. Requests that were on their way when a
 * connection broke are sent again when the session was resumed, and fail with ENOTCONN when it was not.
 */
import type { Call } from '@mortar/core/call.ts';
import type { Args, FopName, Reply } from '@mortar/core/fops.ts';
import type { Timer } from '@mortar/core/ports.ts';
import type { ByteReader } from '../byte-reader.ts';
import { type CloseReason, Connection } from '../connection.ts';
import { Channel, Control, errorFlag, FrameError, fopLimits, type Header, Kind, sequenceOf } from '../frame.ts';
import {
  decodeRefusal,
  decodeWelcome,
  encodeHello,
  type Hello,
  protocolVersions,
  type Refusal,
  type Welcome,
} from '../hello.ts';
import { nullLog, nullMetrics } from '../null-ports.ts';
import type { Stream } from '../stream.ts';
import type { ClientSessionOptions } from './client-options.ts';
import { ClientRequests, notConnected } from './client-requests.ts';
import { clientSessionLimits } from './limits.ts';
import { readUpcall, SessionNotice } from './notices.ts';
import { Reconnecting } from './reconnecting.ts';
import { Told } from './told.ts';

export class ClientSession {
  #options: ClientSessionOptions;
  readonly #reconnecting: Reconnecting;
  readonly #requests: ClientRequests;
  #connection: Connection | null = null;
  #state: 'stopped' | 'connecting' | 'attaching' | 'up' = 'stopped';
  /** Fds that were closed: no more than the brick lets a session have open. */
  readonly #released = new Told();
  #sessionId = '';
  #graceMs = 0;
  #graceTimer: Timer | null = null;
  #totals = { bytesSent: 0, bytesReceived: 0 };

  constructor(options: ClientSessionOptions) {
    this.#options = options;
    this.#requests = new ClientRequests({
      clock: options.clock,
      metrics: options.metrics ?? nullMetrics,
      fds: options.fds,
      limits: { ...clientSessionLimits, ...options.limits },
      timeoutMs: options.requestTimeoutMs ?? 0,
    });
    this.#reconnecting = new Reconnecting({
      ...options,
      log: options.log ?? nullLog,
      connecting: () => options.events.connecting?.(),
      connected: (stream) => this.#open(stream),
      gone: () => this.giveUp(),
      down: (message) => options.events.down?.(message),
    });
  }

  /** The ping timeout holds at once, the other from the next request on. */
  configure(timeouts: { pingTimeoutMs: number; requestTimeoutMs: number }): void {
    this.#options = { ...this.#options, ...timeouts };
    this.#requests.timeoutMs = timeouts.requestTimeoutMs;
    this.#connection?.setPingTimeout(timeouts.pingTimeoutMs);
  }

  get isUp(): boolean {
    return this.#state === 'up';
  }

  get stats() {
    const now = this.#connection?.stats;
    return {
      bytesSent: this.#totals.bytesSent + (now?.bytesSent ?? 0),
      bytesReceived: this.#totals.bytesReceived + (now?.bytesReceived ?? 0),
      pending: this.#requests.size,
      queued: this.#requests.queued,
    };
  }

  start(): void {
    if (this.#state !== 'stopped') return;
    this.#state = 'connecting';
    this.#reconnecting.start();
  }

  /** A request would have needed the brick: it is tried soon. Does nothing while it is connected. */
  needed(): void {
    this.#reconnecting.needed();
  }

  /** Somebody says that the brick is there, or waits for it: it is tried now. Resolves when that has ended, well or not. */
  asked(): Promise<void> {
    return this.#reconnecting.asked();
  }

  /** Says goodbye: the brick releases at once what this session holds. */
  stop(): void {
    if (this.#state === 'stopped') return;
    this.#state = 'stopped';
    this.#reconnecting.stop();
    const connection = this.#connection;
    this.#connection = null;
    this.#requests.goBy(null);
    connection?.goodbye();
    this.#sessionId = '';
    this.#released.clear();
    this.#failAll();
  }

  /** Sends one fop. Resolves with the brick's reply or with ENOTCONN, ETIMEDOUT, ENOBUFS, EMSGSIZE; rejects on a bug. */
  fop<N extends FopName>(fop: N, call: Call, args: Args<N>, isRecovery = false): Promise<Reply<N>> {
    if (this.#state !== 'up' && !(isRecovery && this.#state === 'attaching')) {
      this.#reconnecting.needed();
      return Promise.resolve(notConnected);
    }
    return this.#requests.start(fop, call, args, isRecovery);
  }

  /** Tells the brick that an fd is closed; once the session goes on, if it does. */
  release(id: number): void {
    if (!this.#connection?.isOpen) {
      if (this.#sessionId !== '') this.#released.owe(id);
      return;
    }
    this.#released.told(id, this.#requests.next);
    this.#connection.sendLater(Kind.notice, SessionNotice.release, (output) => {
      output.u32(id);
      return null;
    });
  }

  #frame(header: Header, meta: ByteReader, payload: Buffer): void {
    if (header.kind === Kind.notice && header.op === SessionNotice.upcall) {
      this.#options.events.upcall?.(readUpcall(meta));
      return;
    }
    if (header.kind !== Kind.reply) throw new FrameError('channel', 'a brick sends replies and upcalls only');
    this.#released.answered(sequenceOf(header));
    this.#requests.answer(header, meta, payload);
  }

  #connectionOptions() {
    const { clock, log, metrics, name, frameLimits, pingTimeoutMs } = this.#options;
    return {
      clock,
      ...(log ? { log } : {}),
      ...(metrics ? { metrics } : {}),
      name,
      channel: Channel.fop,
      limits: frameLimits ?? fopLimits,
      isServer: false,
      ...(pingTimeoutMs === undefined ? {} : { pingTimeoutMs }),
    };
  }

  #handler() {
    return {
      hello: (header: Header, meta: ByteReader) => this.#answered(header, meta.raw(meta.left)),
      frame: (header: Header, meta: ByteReader, payload: Buffer) => this.#frame(header, meta, payload),
      closed: (reason: CloseReason) => this.#closed(reason),
    };
  }

  #open(stream: Stream): void {
    const connection = new Connection(stream, this.#handler(), this.#connectionOptions());
    this.#connection = connection;
    const hello: Hello = {
      ...this.#options.identity,
      protocols: protocolVersions,
      kind: 'session',
      sessionId: this.#sessionId,
      features: [],
    };
    connection.sendControl(Kind.request, Control.hello, 0, 0, encodeHello(hello));
  }

  #answered(header: Header, bytes: Buffer): void {
    if ((header.flags & errorFlag) !== 0) {
      const refusal: Refusal = decodeRefusal(bytes);
      this.#connection?.close({ code: 'refused', message: `refused: ${refusal.reason}` });
      this.#options.events.refused?.(refusal);
      return;
    }
    void this.#attached(decodeWelcome(bytes));
  }

  async #attached(welcome: Welcome): Promise<void> {
    const connection = this.#connection;
    if (!connection) return;
    if (welcome.resumed && welcome.sessionId !== this.#sessionId) {
      // Given up while the welcome travelled: its requests were told to have failed, its locks and fds are nobody's.
      connection.close({ code: 'stale', message: 'the session was given up meanwhile' });
      return;
    }
    connection.opened();
    this.#requests.goBy(connection);
    this.#state = 'attaching';
    this.#graceTimer?.cancel();
    this.#graceTimer = null;
    if (welcome.resumed) this.#requests.resendLocks();
    else {
      this.#failAll();
      this.#released.clear();
    }
    this.#sessionId = welcome.sessionId;
    this.#graceMs = welcome.graceMs;
    try {
      await this.#options.events.attached?.(welcome);
    } catch (error) {
      connection.close({ code: 'bug', message: `taking up the session failed: ${(error as Error).message}` });
      return;
    }
    if (this.#connection !== connection) return;
    this.#state = 'up';
    this.#reconnecting.succeeded();
    this.#requests.resend();
    for (const id of this.#released.takeOwed()) this.release(id);
    this.#options.events.up?.();
  }

  #closed(reason: CloseReason): void {
    const connection = this.#connection;
    if (!connection) return;
    this.#connection = null;
    this.#released.disconnected();
    this.#requests.goBy(null);
    this.#totals.bytesSent += connection.stats.bytesSent;
    this.#totals.bytesReceived += connection.stats.bytesReceived;
    if (this.#state === 'stopped') return;
    this.#state = 'connecting';
    // Who only looks does not wait any longer for a brick that was silent for all of the ping timeout.
    if (reason.code === 'ping-timeout') this.#requests.failReads();
    if (this.#requests.size > 0 && !this.#graceTimer)
      this.#graceTimer = this.#options.clock.after(this.#graceMs, () => this.giveUp());
    this.#reconnecting.failed(reason.message);
  }

  /** Requests fail, and because nobody waits for their answers any more, the next connection begins a new session. */
  giveUp(): void {
    this.#sessionId = '';
    this.#released.clear();
    this.#failAll();
  }

  #failAll(): void {
    this.#graceTimer?.cancel();
    this.#graceTimer = null;
    this.#requests.failAll();
  }
}
