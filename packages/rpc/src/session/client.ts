/**
 * A brick as its client sees it: one session that outlives connections. Requests that were on their way when a
 * connection broke are sent again when the session was resumed, and fail with ENOTCONN when it was not.
 */
import type { Call } from '@mortar/core/call.ts';
import { Errno } from '@mortar/core/errno.ts';
import { type Args, type FopName, fail, fops, type Reply } from '@mortar/core/fops.ts';
import type { Metrics, Timer } from '@mortar/core/ports.ts';
import { ByteReader } from '../byte-reader.ts';
import { Decoder, Encoder } from '../codec/coder.ts';
import { readReply, writeArgs } from '../codec/fop-codec.ts';
import { type CloseReason, Connection } from '../connection.ts';
import {
  Channel,
  Control,
  errorFlag,
  FrameError,
  fopLimits,
  type Header,
  highHalf,
  Kind,
  retryFlag,
  sequenceOf,
} from '../frame.ts';
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
import { FrameTooLarge, type Output } from '../output.ts';
import { PendingTable } from '../pending.ts';
import type { Stream } from '../stream.ts';
import { writeCallHead } from './call-head.ts';
import type { ClientSessionOptions } from './client-options.ts';
import { clientSessionLimits } from './limits.ts';
import { readUpcall, SessionNotice } from './notices.ts';
import { Reconnecting } from './reconnecting.ts';
import { deadlineOf, isLockRequest, mayWait, payloadBytes } from './request-cost.ts';
import { type PendingFop, RequestWindow } from './request-window.ts';

const notConnected = fail(Errno.ENOTCONN);
const empty = Buffer.alloc(0);

export class ClientSession {
  #options: ClientSessionOptions;
  readonly #metrics: Metrics;
  readonly #reconnecting: Reconnecting;
  readonly #pending: PendingTable<PendingFop>;
  readonly #encoder: Encoder;
  readonly #decoder = new Decoder(new ByteReader(empty), empty, null);
  readonly #window: RequestWindow;
  #connection: Connection | null = null;
  #state: 'stopped' | 'connecting' | 'attaching' | 'up' = 'stopped';
  #sessionId = '';
  #graceMs = 0;
  #graceTimer: Timer | null = null;
  #current: PendingFop | null = null;
  #totals = { bytesSent: 0, bytesReceived: 0 };

  constructor(options: ClientSessionOptions) {
    this.#options = options;
    this.#metrics = options.metrics ?? nullMetrics;
    const outlet = {
      isOpen: () => this.#connection?.isOpen === true,
      send: (pending: PendingFop) => this.#send(pending),
    };
    this.#window = new RequestWindow({ ...clientSessionLimits, ...options.limits }, outlet);
    this.#reconnecting = new Reconnecting({
      ...options,
      log: options.log ?? nullLog,
      connecting: () => options.events.connecting?.(),
      connected: (stream) => this.#open(stream),
      gone: () => this.giveUp(),
      down: (message) => options.events.down?.(message),
    });
    this.#pending = new PendingTable(options.clock);
    this.#encoder = new Encoder((fd) => options.fds.idOf(fd));
  }

  /** The ping timeout holds at once, the other from the next request on. */
  configure(timeouts: { pingTimeoutMs: number; requestTimeoutMs: number }): void {
    this.#options = { ...this.#options, ...timeouts };
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
      pending: this.#pending.size,
      queued: this.#window.queued,
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
    connection?.goodbye();
    this.#sessionId = '';
    this.#failAll();
  }

  /** Sends one fop. Resolves with the brick's reply or with ENOTCONN, ETIMEDOUT, ENOBUFS, EMSGSIZE; rejects on a bug. */
  fop<N extends FopName>(fop: N, call: Call, args: Args<N>, isRecovery = false): Promise<Reply<N>> {
    if (this.#state !== 'up' && !(isRecovery && this.#state === 'attaching')) {
      this.#reconnecting.needed();
      return Promise.resolve(notConnected);
    }
    return new Promise<Reply<N>>((resolve, reject) => {
      const settle = resolve as (reply: Reply<FopName>) => void;
      this.#start(fop, call, args as Args<FopName>, settle, reject);
    });
  }

  #start(
    fop: FopName,
    call: Call,
    args: Args<FopName>,
    settle: (reply: Reply<FopName>) => void,
    reject: (error: unknown) => void,
  ): void {
    const isLock = isLockRequest(fop, args);
    const bytes = payloadBytes(fop, args);
    const mustWait = !isLock && this.#window.isFull(bytes);
    if (mustWait && this.#window.isQueueFull) {
      this.#metrics.counter('rpc_requests_refused_total').add();
      settle(fail(Errno.ENOBUFS));
      return;
    }
    const pending: PendingFop = {
      sequence: 0,
      fop,
      call,
      args,
      bytes,
      isLock,
      isSent: false,
      isRetry: false,
      deadlineMs: deadlineOf(call, isLock ? 0 : (this.#options.requestTimeoutMs ?? 0), this.#options.clock),
      settle,
      reject,
      stopListening: null,
      expired: () => this.#expired(pending),
    };
    pending.sequence = this.#pending.add(pending);
    if (mayWait(fop, args) && call.signal) this.#listen(pending, call.signal);
    if (mustWait) this.#window.wait(pending);
    else this.#send(pending);
  }

  /** The brick interrupts the lock and answers; only then is it certain whether the lock was got. */
  #listen(pending: PendingFop, signal: AbortSignal): void {
    const cancel = () => {
      if (!pending.isSent && this.#pending.take(pending.sequence)) this.#settle(pending, fail(Errno.EINTR));
      else this.#sendCancel(pending, false);
    };
    if (signal.aborted) queueMicrotask(cancel);
    else signal.addEventListener('abort', cancel, { once: true });
    pending.stopListening = () => signal.removeEventListener('abort', cancel);
  }

  #send(pending: PendingFop): void {
    const connection = this.#connection;
    if (!connection) return;
    this.#window.sent(pending);
    const { sequence, isRetry } = pending;
    const acknowledged = this.#pending.lowest;
    this.#current = pending;
    try {
      connection.send(
        Kind.request,
        fops[pending.fop].id,
        sequence >>> 0,
        isRetry ? retryFlag : 0,
        0,
        acknowledged >>> 0,
        highHalf(sequence),
        this.#encode,
      );
    } catch (error) {
      if (!this.#pending.take(sequence)) return;
      if (error instanceof FrameTooLarge) this.#settle(pending, fail(Errno.EMSGSIZE));
      else {
        this.#settled(pending);
        pending.reject(error);
      }
    }
  }

  readonly #encode = (output: Output): readonly Uint8Array[] | null => {
    const { fop, call, args } = this.#current!;
    writeCallHead(output, call, call.deadlineMs === undefined ? 0 : this.#options.clock.nowMs());
    this.#encoder.begin(output);
    writeArgs(fop, this.#encoder, args);
    return this.#encoder.payloads;
  };

  #settle(pending: PendingFop, reply: Reply<FopName>): void {
    this.#settled(pending);
    pending.settle(reply);
  }

  #settled(pending: PendingFop): void {
    pending.stopListening?.();
    this.#window.settled(pending);
  }

  #expired(pending: PendingFop): void {
    this.#metrics.counter('rpc_timeouts_total').add();
    this.#sendCancel(pending, true);
    this.#settle(pending, fail(Errno.ETIMEDOUT));
  }

  /** `isAbandoned`: the answer is not wanted any more. */
  #sendCancel(pending: PendingFop, isAbandoned: boolean): void {
    if (!pending.isSent || !this.#connection?.isOpen) return;
    const { sequence } = pending;
    const op = isAbandoned ? SessionNotice.abandon : SessionNotice.interrupt;
    this.#connection.send(Kind.notice, op, sequence >>> 0, 0, 0, 0, highHalf(sequence), () => null);
  }

  /** Tells the brick that an fd is closed. Nothing is sent while it is not connected: the session's end closes it. */
  release(id: number): void {
    if (!this.#connection?.isOpen) return;
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
    const pending = this.#pending.take(sequenceOf(header));
    if (!pending) {
      this.#metrics.counter('rpc_late_replies_total').add();
      return;
    }
    this.#answer(pending, header, meta, payload);
  }

  #answer(pending: PendingFop, header: Header, meta: ByteReader, payload: Buffer): void {
    const decoder = this.#decoder;
    decoder.begin(meta, payload);
    let reply: Reply<FopName>;
    try {
      if (header.op !== fops[pending.fop].id) throw new FrameError('decode', 'a reply of another fop');
      const status = (header.flags & errorFlag) === 0 ? 0 : header.status || Errno.EIO;
      reply = readReply(pending.fop, decoder, pending.args, status, this.#options.fds);
      decoder.finish();
    } catch (error) {
      // The connection will be closed for it; this request was answered, only not legibly.
      this.#settle(pending, fail(Errno.EIO));
      throw error;
    }
    this.#settle(pending, reply);
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
    this.#state = 'attaching';
    this.#graceTimer?.cancel();
    this.#graceTimer = null;
    if (!welcome.resumed) this.#failAll();
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
    this.#resend();
    this.#options.events.up?.();
  }

  /** In the order of the first time. */
  #resend(): void {
    for (const [, pending] of this.#pending.entries()) {
      if (!pending.isSent || this.#window.isWaiting(pending)) continue;
      pending.isRetry = true;
      this.#send(pending);
      if (pending.call.signal?.aborted && pending.stopListening) this.#sendCancel(pending, false);
    }
    this.#window.goOn();
  }

  #closed(reason: CloseReason): void {
    const connection = this.#connection;
    if (!connection) return;
    this.#connection = null;
    this.#totals.bytesSent += connection.stats.bytesSent;
    this.#totals.bytesReceived += connection.stats.bytesReceived;
    if (this.#state === 'stopped') return;
    this.#state = 'connecting';
    if (reason.code === 'ping-timeout') this.#failReads();
    if (this.#pending.size > 0 && !this.#graceTimer)
      this.#graceTimer = this.#options.clock.after(this.#graceMs, () => this.giveUp());
    this.#reconnecting.failed(reason.message);
  }

  /**
   * A brick that was silent for all of the ping timeout is not waited for any longer by who only looks. What changes
   * something, takes a lock or opens a file is: it may have been done, and only the session's next connection knows.
   */
  #failReads(): void {
    for (const [sequence, pending] of this.#pending.entries())
      if (fops[pending.fop].class === 'read' && this.#pending.take(sequence)) this.#settle(pending, notConnected);
  }

  /** Requests fail, and because nobody waits for their answers any more, the next connection begins a new session. */
  giveUp(): void {
    this.#sessionId = '';
    this.#failAll();
  }

  #failAll(): void {
    this.#graceTimer?.cancel();
    this.#graceTimer = null;
    this.#window.forgetQueue();
    for (const pending of this.#pending.clear()) this.#settle(pending, notConnected);
  }
}
