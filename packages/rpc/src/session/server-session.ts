/** One client of a brick, over all its connections: its requests come in here, run, and are answered once. */
import type { Call } from '@mortar/core/call.ts';
import { Errno } from '@mortar/core/errno.ts';
import { Fd } from '@mortar/core/fd.ts';
import type { RawStep } from '@mortar/core/fields.ts';
import { type Args, type FopName, fail, fopById, fops, type Reply } from '@mortar/core/fops.ts';
import { returnBytes } from '@mortar/core/payload.ts';
import { ByteReader } from '../byte-reader.ts';
import { Decoder, UnknownFdError } from '../codec/coder.ts';
import { makesFd, readArgs } from '../codec/fop-codec.ts';
import type { Connection } from '../connection.ts';
import { FrameError, type Header, Kind, retryFlag, sequenceOf } from '../frame.ts';
import type { Hello } from '../hello.ts';
import type { PeerIdentity } from '../stream.ts';
import { Answers } from './answers.ts';
import { readCallHead } from './call-head.ts';
import { FdTable } from './fd-table.ts';
import { Load } from './load.ts';
import { SessionNotice, type Upcall, writeUpcall } from './notices.ts';
import { isLockRequest, mayWait } from './request-cost.ts';
import type { Admission, SessionServer, Subtree } from './server.ts';

interface Running {
  readonly sequence: number;
  readonly fop: FopName;
  readonly call: Call;
  /** What came with it. */
  readonly payload: Buffer;
  readonly isLock: boolean;
  readonly abort: AbortController | null;
  /** The client does not wait any more. */
  isAbandoned: boolean;
}

type Bag = Record<string, unknown>;

const empty = Buffer.alloc(0);

export class ServerSession {
  readonly id: string;
  readonly hello: Hello;
  readonly peer: PeerIdentity;
  readonly isTrusted: boolean;
  readonly within: Subtree | undefined;
  readonly fds: FdTable;
  readonly #server: SessionServer;
  readonly #answers: Answers;
  readonly #load: Load;
  readonly #running = new Map<number, Running>();
  readonly #decoder: Decoder;
  #connection: Connection | null = null;
  /** Since when it has none. */
  #detachedMs = 0;
  #isEnded = false;

  constructor(server: SessionServer, id: string, hello: Hello, peer: PeerIdentity, admission: Admission) {
    this.#server = server;
    this.id = id;
    this.hello = hello;
    this.peer = peer;
    this.isTrusted = admission.isTrusted;
    this.within = admission.within;
    this.fds = new FdTable(server.limits.fds);
    this.#answers = new Answers(server, hello.clientId, this.fds);
    this.#load = new Load(server.limits);
    this.#decoder = new Decoder(new ByteReader(empty), empty, this.fds);
  }

  get clientId(): string {
    return this.hello.clientId;
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  get isConnected(): boolean {
    return this.#connection !== null;
  }

  get stats() {
    return {
      ...this.#connection?.stats,
      running: this.#running.size,
      fds: this.fds.size,
      ...this.#answers.remembered,
    };
  }

  /** Requests that are under way, for `volume status V callpool`. */
  calls(): { sequence: number; fop: FopName; uid: number; gid: number; pid: number }[] {
    return [...this.#running.values()].map(({ sequence, fop, call: { uid, gid, pid } }) => ({
      sequence,
      fop,
      uid,
      gid,
      pid,
    }));
  }

  attach(connection: Connection): void {
    const before = this.#connection;
    this.#connection = connection;
    this.#answers.goBy(connection);
    before?.close({ code: 'replaced', message: 'the client came again by another connection' });
    this.#load.readBy(connection);
  }

  /** False if the session goes on with another connection. */
  detach(connection: Connection): boolean {
    if (this.#connection !== connection) return false;
    this.#unattached();
    return !this.#isEnded;
  }

  /**
   * Whether the client gives a sign of life, or comes back, within so many milliseconds; at once where that has been waited for as long already.
   */
  async isAlive(withinMs: number): Promise<boolean> {
    const { clock } = this.#server.options;
    const connection = this.#connection;
    if (connection && (await connection.isAlive(withinMs))) return true;
    if (this.#connection) return this.#connection !== connection;
    const leftMs = this.#detachedMs + withinMs - clock.nowMs();
    if (leftMs > 0) await clock.sleep(leftMs);
    return this.#connection !== null;
  }

  #unattached(): void {
    this.#connection = null;
    this.#detachedMs = this.#server.options.clock.nowMs();
    this.#answers.goBy(null);
    this.#load.unread();
  }

  end(): void {
    this.#isEnded = true;
    for (const running of this.#running.values()) {
      running.isAbandoned = true;
      running.abort?.abort();
    }
    this.#connection?.close({ code: 'closed', message: 'the session ended' });
    this.#unattached();
    this.fds.releaseAll();
  }

  /** Lost when the client is not connected: it asks anew after a reconnection. */
  sendUpcall(upcall: Upcall): void {
    this.#connection?.send(Kind.notice, SessionNotice.upcall, 0, 0, 0, 0, 0, (output) => {
      writeUpcall(output, upcall);
      return null;
    });
  }

  frame(header: Header, meta: ByteReader, payload: Buffer): void {
    if (header.kind === Kind.request) this.#request(header, meta, payload);
    else if (header.kind === Kind.notice) this.#notice(header, meta);
    else throw new FrameError('channel', 'a client sends no replies');
  }

  #notice(header: Header, meta: ByteReader): void {
    if (header.op === SessionNotice.abandon) this.#abandon(sequenceOf(header));
    else if (header.op === SessionNotice.interrupt) this.#running.get(sequenceOf(header))?.abort?.abort();
    else if (header.op === SessionNotice.release) {
      const id = meta.u32();
      meta.finish();
      this.fds.release(id);
    } else throw new FrameError('channel', `unknown notice ${header.op}`);
  }

  #abandon(sequence: number): void {
    const running = this.#running.get(sequence);
    if (running) {
      running.isAbandoned = true;
      running.abort?.abort();
      return;
    }
    this.#answers.takeBack(sequence);
  }

  #request(header: Header, meta: ByteReader, payload: Buffer): void {
    const sequence = sequenceOf(header);
    if (!Number.isSafeInteger(sequence)) throw new FrameError('sequence', 'a sequence number beyond 2^53');
    const acknowledged = acknowledgedBy(header, sequence);
    const isRetry = (header.flags & retryFlag) !== 0;
    if (isRetry && (this.#running.has(sequence) || this.#answers.giveAgain(sequence, header.op))) return;
    this.#answers.acknowledge(acknowledged);
    if (this.#running.has(sequence)) throw new FrameError('sequence', `request ${sequence} is running already`);
    const fop = fopById(header.op);
    if (fop === undefined) this.#reply(sequence, header.op, {}, fail(Errno.EOPNOTSUPP));
    else this.#decodeAndRun(fop, sequence, meta, payload);
  }

  #decodeAndRun(fop: FopName, sequence: number, meta: ByteReader, payload: Buffer): void {
    const decoder = this.#decoder;
    const nowMs = this.#server.options.clock.nowMs();
    const call = readCallHead(meta, this.clientId, nowMs);
    call.session = this;
    decoder.begin(meta, payload);
    let args: Bag;
    try {
      args = readArgs(fop, decoder);
      decoder.finish();
    } catch (error) {
      if (!(error instanceof UnknownFdError)) throw error;
      this.#reply(sequence, fops[fop].id, {}, fail(Errno.EBADF));
      return;
    }
    if (call.deadlineMs !== undefined && call.deadlineMs <= nowMs) {
      this.#server.metrics.counter('rpc_expired_requests_total').add();
      return;
    }
    const refusal = this.#refusalOf(fop, args);
    if (refusal !== 0) this.#reply(sequence, fops[fop].id, args, fail(refusal));
    else this.#run(fop, call, args, sequence, payload);
  }

  #refusalOf(fop: FopName, args: Bag): Errno | 0 {
    if (mayOpen(fop, args) && this.fds.isFull) return Errno.EMFILE;
    if (isLockRequest(fop, args) && this.#load.hasAllLocks) return Errno.ENOLCK;
    return 0;
  }

  #run(fop: FopName, call: Call, args: Bag, sequence: number, payload: Buffer): void {
    const isLock = isLockRequest(fop, args);
    // Making an AbortController costs as much as the rest: only what can block gets one.
    const abort = mayWait(fop, args) ? new AbortController() : null;
    if (abort) call.signal = abort.signal;
    const running: Running = { sequence, fop, call, payload, isLock, abort, isAbandoned: false };
    this.#running.set(sequence, running);
    this.#load.count(isLock, payload.length, 1);
    let result: Promise<Reply<FopName>>;
    try {
      result = this.#server.options.run(fop, call, args as Args<FopName>, this);
    } catch (error) {
      result = Promise.reject(error);
    }
    result.then(
      (reply) => this.#finished(running, args, reply),
      (error: unknown) => {
        this.#server.bug(this.clientId, fop, error);
        this.#finished(running, args, fail(Errno.EIO));
      },
    );
  }

  #finished(running: Running, args: Bag, reply: Reply<FopName>): void {
    this.#running.delete(running.sequence);
    this.#load.count(running.isLock, running.payload.length, -1);
    if (!running.isAbandoned) this.#reply(running.sequence, fops[running.fop].id, args, reply);
    // After an error somebody may still be at it.
    if (reply.ok && running.payload.length > 0 && this.#server.options.returns?.().writes) returnBytes(running.payload);
    releaseUnregistered(args, this.fds);
  }

  #reply(sequence: number, op: number, args: Bag, reply: Reply<FopName>): void {
    if (!this.#isEnded) this.#answers.give(sequence, op, args, reply);
  }
}

/** The cookie's low half is the low half of a number that is at most 2^32 below the request's. */
function acknowledgedBy(header: Header, sequence: number): number {
  const distance = (header.id - header.cookieLow) >>> 0;
  const acknowledged = sequence - distance;
  if (acknowledged < 0) throw new FrameError('sequence', 'a request acknowledges what never was');
  return acknowledged;
}

function stepsOf(args: Bag): readonly RawStep[] {
  return (args.steps as RawStep[] | undefined) ?? [];
}

function mayOpen(fop: FopName, args: Bag): boolean {
  return makesFd(fop) || (fop === 'compound' && stepsOf(args).some((step) => makesFd(step.fop as FopName)));
}

/** Frees the fds that were made for this request only, and those that could not be opened. */
function releaseUnregistered(args: Bag, fds: FdTable): void {
  for (const key in args) {
    const value = args[key];
    if (value instanceof Fd && !value.released && !fds.has(value)) value.release();
  }
  for (const step of stepsOf(args)) releaseUnregistered(step.args as Bag, fds);
}
