/**
 * The requests of a client session from fop to reply: numbered, bounded, encoded, interrupted, answered once. They outlive
 * the connection that they go by; who makes connections says what becomes of them when one is lost.
 */
import type { Call } from '@mortar/core/call.ts';
import { Errno } from '@mortar/core/errno.ts';
import { type Args, type FopName, fail, fops, type Reply } from '@mortar/core/fops.ts';
import type { Clock, Metrics } from '@mortar/core/ports.ts';
import { ByteReader } from '../byte-reader.ts';
import { type ClientFds, Decoder, Encoder } from '../codec/coder.ts';
import { readReply, writeArgs } from '../codec/fop-codec.ts';
import type { Connection } from '../connection.ts';
import { errorFlag, FrameError, type Header, highHalf, Kind, retryFlag, sequenceOf } from '../frame.ts';
import { FrameTooLarge, type Output } from '../output.ts';
import { PendingTable } from '../pending.ts';
import { writeCallHead } from './call-head.ts';
import type { ClientSessionLimits } from './limits.ts';
import { SessionNotice } from './notices.ts';
import { deadlineOf, isLockRequest, mayWait, payloadBytes } from './request-cost.ts';
import { type PendingFop, RequestWindow } from './request-window.ts';

const empty = Buffer.alloc(0);

/** What requests get that cannot reach the brick, or whose outcome nobody will tell. */
export const notConnected = fail(Errno.ENOTCONN);

export interface ClientRequestsOptions {
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly fds: ClientFds;
  readonly limits: ClientSessionLimits;
  readonly timeoutMs: number;
}

export class ClientRequests {
  /** How long the next request may take if its call says nothing; 0: for ever. */
  timeoutMs: number;
  readonly #clock: Clock;
  readonly #metrics: Metrics;
  readonly #fds: ClientFds;
  readonly #pending: PendingTable<PendingFop>;
  readonly #window: RequestWindow;
  readonly #encoder: Encoder;
  readonly #decoder = new Decoder(new ByteReader(empty), empty, null);
  #connection: Connection | null = null;
  /** The session is being taken up again: what is queued waits for that. */
  #isRecovering = false;
  /** Went over this connection before the session was taken up again. */
  readonly #resentLocks = new Set<number>();
  /** The one that is being encoded. */
  #current: PendingFop | null = null;

  constructor({ clock, metrics, fds, limits, timeoutMs }: ClientRequestsOptions) {
    this.timeoutMs = timeoutMs;
    this.#clock = clock;
    this.#metrics = metrics;
    this.#fds = fds;
    this.#pending = new PendingTable(clock);
    this.#encoder = new Encoder((fd) => fds.idOf(fd));
    const isOpen = () => this.#connection !== null && !this.#isRecovering;
    const outlet = { isOpen, send: (pending: PendingFop) => this.#send(pending) };
    this.#window = new RequestWindow(limits, outlet);
  }

  /** Those without an answer, the queued ones among them. */
  get size(): number {
    return this.#pending.size;
  }

  /** The number of the request that is made next. */
  get next(): number {
    return this.#pending.next;
  }

  get queued(): number {
    return this.#window.queued;
  }

  /** They go by this connection from now on, whose handshake is through: what is queued from `resend` on. Null: they wait for the next one. */
  goBy(connection: Connection | null): void {
    this.#connection = connection;
    this.#isRecovering = connection !== null;
    this.#resentLocks.clear();
  }

  /**
   * Resolves with the brick's reply or with ENOTCONN, ETIMEDOUT, ENOBUFS, EMSGSIZE, EINTR; rejects on a bug. `isRecovery`: takes
   * the session up again, and waits for no room: those that have it are only sent again behind it.
   */
  start<N extends FopName>(fop: N, call: Call, args: Args<N>, isRecovery = false): Promise<Reply<N>> {
    return new Promise<Reply<N>>((resolve, reject) => {
      const settle = resolve as (reply: Reply<FopName>) => void;
      this.#start(fop, call, args as Args<FopName>, isRecovery, settle, reject);
    });
  }

  #start(
    fop: FopName,
    call: Call,
    args: Args<FopName>,
    isRecovery: boolean,
    settle: (reply: Reply<FopName>) => void,
    reject: (error: unknown) => void,
  ): void {
    const isLock = isLockRequest(fop, args);
    const bytes = payloadBytes(fop, args);
    const mustWait = !isLock && !isRecovery && this.#window.isFull(bytes);
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
      deadlineMs: deadlineOf(call, isLock ? 0 : this.timeoutMs, this.#clock),
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
      this.#unsendable(pending, error);
    }
  }

  readonly #encode = (output: Output): readonly Uint8Array[] | null => {
    const { fop, call, args } = this.#current!;
    writeCallHead(output, call, call.deadlineMs === undefined ? 0 : this.#clock.nowMs());
    this.#encoder.begin(output);
    writeArgs(fop, this.#encoder, args);
    return this.#encoder.payloads;
  };

  #unsendable(pending: PendingFop, error: unknown): void {
    if (!this.#pending.take(pending.sequence)) return;
    if (error instanceof FrameTooLarge) this.#settle(pending, fail(Errno.EMSGSIZE));
    else {
      this.#settled(pending);
      pending.reject(error);
    }
  }

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
    if (!pending.isSent || !this.#connection) return;
    const { sequence } = pending;
    const op = isAbandoned ? SessionNotice.abandon : SessionNotice.interrupt;
    this.#connection.send(Kind.notice, op, sequence >>> 0, 0, 0, 0, highHalf(sequence), () => null);
  }

  /** Takes a reply; those that nobody waits for any more are counted. Throws FrameError for one that is not legible. */
  answer(header: Header, meta: ByteReader, payload: Buffer): void {
    const pending = this.#pending.take(sequenceOf(header));
    if (!pending) {
      this.#metrics.counter('rpc_late_replies_total').add();
      return;
    }
    let reply: Reply<FopName>;
    try {
      reply = this.#decode(pending, header, meta, payload);
    } catch (error) {
      // The connection will be closed for it; this request was answered, only not legibly.
      this.#settle(pending, fail(Errno.EIO));
      throw error;
    }
    this.#settle(pending, reply);
  }

  #decode(pending: PendingFop, header: Header, meta: ByteReader, payload: Buffer): Reply<FopName> {
    if (header.op !== fops[pending.fop].id) throw new FrameError('decode', 'a reply of another fop');
    const decoder = this.#decoder;
    decoder.begin(meta, payload);
    const status = (header.flags & errorFlag) === 0 ? 0 : header.status || Errno.EIO;
    const reply = readReply(pending.fop, decoder, pending.args, status, this.#fds);
    decoder.finish();
    return reply;
  }

  /** Sends again what has no answer, in the order of the first time, then what was queued: the session was resumed. */
  resend(): void {
    this.#isRecovering = false;
    this.#sendAgain(({ sequence }) => !this.#resentLocks.has(sequence));
    this.#resentLocks.clear();
    this.#window.goOn();
  }

  /** Of that the locks, ahead of what takes the session up again: they were asked for before others that it gives back, perhaps the same ones. */
  resendLocks(): void {
    for (const { sequence } of this.#sendAgain(({ isLock }) => isLock)) this.#resentLocks.add(sequence);
  }

  #sendAgain(chosen: (pending: PendingFop) => boolean): PendingFop[] {
    const unanswered = this.#pending.entries().map(([, pending]) => pending);
    const again = unanswered.filter((one) => one.isSent && !this.#window.isWaiting(one) && chosen(one));
    for (const pending of again) {
      pending.isRetry = true;
      this.#send(pending);
      if (pending.call.signal?.aborted && pending.stopListening) this.#sendCancel(pending, false);
    }
    return again;
  }

  /** Those that only look fail: whether a change was done the session's next connection may still tell. */
  failReads(): void {
    for (const [sequence, pending] of this.#pending.entries())
      if (fops[pending.fop].class === 'read' && this.#pending.take(sequence)) this.#settle(pending, notConnected);
  }

  failAll(): void {
    this.#window.forgetQueue();
    for (const pending of this.#pending.clear()) this.#settle(pending, notConnected);
  }
}
