import type { Call } from '@mortar/core/call.ts';
import { Errno } from '@mortar/core/errno.ts';
import { Fd } from '@mortar/core/fd.ts';
import type { RawStep } from '@mortar/core/fields.ts';
import { type Args, type FopName, fail, fopById, fops, type Reply } from '@mortar/core/fops.ts';
import { returnBytes } from '@mortar/core/payload.ts';
import { ByteReader } from '../byte-reader.ts';
import { ByteWriter } from '../byte-writer.ts';
import { Decoder, Encoder, UnknownFdError } from '../codec/coder.ts';
import { makesFd, readArgs, writeReply } from '../codec/fop-codec.ts';
import type { Connection } from '../connection.ts';
import { errorFlag, FrameError, type Header, highHalf, Kind, retryFlag, sequenceOf } from '../frame.ts';
import type { Hello } from '../hello.ts';
import { FrameTooLarge, type Output } from '../output.ts';
import type { PeerIdentity } from '../stream.ts';
import { readCallHead } from './call-head.ts';
import { FdTable } from './fd-table.ts';
import { SessionNotice, type Upcall, writeUpcall } from './notices.ts';
import { type Outcome, OutcomeMemory } from './outcomes.ts';
import { mayWait } from './request-cost.ts';
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

const scratch = new ByteWriter(64 * 1024);
const empty = Buffer.alloc(0);
const neither = { writes: false, reads: false };
/** The meta part of a failure without extra data. */
const noFields = Buffer.from([0]);

/** One client of a brick, over all its connections. */
export class ServerSession {
  readonly id: string;
  readonly hello: Hello;
  readonly peer: PeerIdentity;
  readonly isTrusted: boolean;
  readonly within: Subtree | undefined;
  readonly fds: FdTable;
  readonly #server: SessionServer;
  readonly #outcomes: OutcomeMemory;
  readonly #running = new Map<number, Running>();
  readonly #decoder: Decoder;
  readonly #encoder = new Encoder(() => 0);
  #connection: Connection | null = null;
  #countedRunning = 0;
  #runningBytes = 0;
  #lockWaiters = 0;
  #holdsBack = false;
  #isEnded = false;
  #madeFds: number[] | null = null;

  constructor(server: SessionServer, id: string, hello: Hello, peer: PeerIdentity, admission: Admission) {
    this.#server = server;
    this.id = id;
    this.hello = hello;
    this.peer = peer;
    this.isTrusted = admission.isTrusted;
    this.within = admission.within;
    this.fds = new FdTable(server.limits.fds);
    this.#outcomes = new OutcomeMemory({ entries: server.limits.outcomes, bytes: server.limits.outcomeBytes });
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
      outcomes: this.#outcomes.size,
      outcomeBytes: this.#outcomes.bytes,
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
    before?.close({ code: 'replaced', message: 'the client came again by another connection' });
    this.#holdsBack = false;
    this.#adjustFlow();
  }

  /** False if the session goes on with another connection. */
  detach(connection: Connection): boolean {
    if (this.#connection !== connection) return false;
    this.#connection = null;
    return !this.#isEnded;
  }

  end(): void {
    this.#isEnded = true;
    for (const running of this.#running.values()) {
      running.isAbandoned = true;
      running.abort?.abort();
    }
    this.#connection?.close({ code: 'closed', message: 'the session ended' });
    this.#connection = null;
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
    // The answer is on its way to somebody who does not want it: what it opened would never be closed.
    const outcome = this.#outcomes.find(sequence);
    if (outcome?.fdIds) for (const id of outcome.fdIds) this.fds.release(id);
    this.#outcomes.forget(sequence);
  }

  #request(header: Header, meta: ByteReader, payload: Buffer): void {
    const sequence = sequenceOf(header);
    if (!Number.isSafeInteger(sequence)) throw new FrameError('sequence', 'a sequence number beyond 2^53');
    const acknowledged = acknowledgedBy(header, sequence);
    const isRetry = (header.flags & retryFlag) !== 0;
    if (isRetry && this.#answerAgain(sequence, header.op)) return;
    this.#outcomes.acknowledge(acknowledged);
    if (this.#running.has(sequence)) throw new FrameError('sequence', `request ${sequence} is running already`);
    const fop = fopById(header.op);
    if (fop === undefined) this.#reply(sequence, header.op, {}, fail(Errno.EOPNOTSUPP));
    else this.#decodeAndRun(fop, sequence, meta, payload);
  }

  /** A request that was sent before; true if it needs no second run. */
  #answerAgain(sequence: number, op: number): boolean {
    if (this.#running.has(sequence)) return true;
    const outcome = this.#outcomes.find(sequence);
    if (outcome) {
      this.#server.metrics.counter('rpc_retries_answered_total').add();
      this.#send(sequence, outcome);
      return true;
    }
    const fop = fopById(op);
    if (!fop || !isRemembered(fop) || !this.#outcomes.mayHaveForgotten(sequence)) return false;
    this.#send(sequence, { op, status: Errno.ENOTCONN, meta: noFields, payloads: null, fdIds: null });
    return true;
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
    if (isLock(fop, args) && this.#lockWaiters >= this.#server.limits.lockWaiters) return Errno.ENOLCK;
    return 0;
  }

  #run(fop: FopName, call: Call, args: Bag, sequence: number, payload: Buffer): void {
    const lock = isLock(fop, args);
    // Making an AbortController costs as much as the rest: only what can block gets one.
    const abort = mayWait(fop, args) ? new AbortController() : null;
    if (abort) call.signal = abort.signal;
    const running: Running = { sequence, fop, call, payload, isLock: lock, abort, isAbandoned: false };
    this.#running.set(sequence, running);
    this.#count(running, 1);
    let result: Promise<Reply<FopName>>;
    try {
      result = this.#server.options.run(fop, call, args as Args<FopName>, this);
    } catch (error) {
      result = Promise.reject(error);
    }
    result.then(
      (reply) => this.#finished(running, args, reply),
      (error: unknown) => {
        this.#bug(fop, error);
        this.#finished(running, args, fail(Errno.EIO));
      },
    );
  }

  #bug(fop: FopName, error: unknown): void {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.#server.metrics.counter('rpc_bugs_total').add();
    this.#server.log.write('ERROR', this.#server.options.name, `${fop} of client ${this.clientId} failed: ${text}`);
  }

  #finished(running: Running, args: Bag, reply: Reply<FopName>): void {
    this.#running.delete(running.sequence);
    this.#count(running, -1);
    if (!running.isAbandoned) this.#reply(running.sequence, fops[running.fop].id, args, reply);
    // After an error somebody may still be at it.
    if (reply.ok && running.payload.length > 0 && this.#returns.writes) returnBytes(running.payload);
    releaseUnregistered(args, this.fds);
  }

  #count(running: Running, by: 1 | -1): void {
    if (running.isLock) this.#lockWaiters += by;
    else this.#countedRunning += by;
    this.#runningBytes += by * running.payload.length;
    this.#adjustFlow();
  }

  /** Reads on or not, by how much is running. */
  #adjustFlow(): void {
    const { outstanding, outstandingBytes } = this.#server.limits;
    // Held back, it goes on at three quarters: stopping and starting to read has its price too.
    const share = this.#holdsBack ? 0.75 : 1;
    const isFull = this.#countedRunning >= share * outstanding || this.#runningBytes >= share * outstandingBytes;
    if (isFull === this.#holdsBack || !this.#connection) return;
    this.#holdsBack = isFull;
    if (isFull) this.#connection.pauseReading();
    else this.#connection.resumeReading();
  }

  get #returns() {
    return this.#server.options.returns?.() ?? neither;
  }

  readonly #register = (fd: Fd): number => {
    const id = this.fds.register(fd);
    if (this.#madeFds) this.#madeFds.push(id);
    else this.#madeFds = [id];
    return id;
  };

  #reply(sequence: number, op: number, args: Bag, reply: Reply<FopName>): void {
    if (this.#isEnded) return;
    const fop = fopById(op) ?? 'stat';
    if (!isRemembered(fop)) {
      const status = reply.ok ? 0 : reply.errno;
      const done = reply.ok && this.#returns.reads ? returnBytes : undefined;
      this.#put(sequence, op, status, (output) => this.#encode(fop, output, args, reply), done);
      return;
    }
    const outcome = this.#safeOutcome(fop, op, args, reply);
    this.#outcomes.remember(sequence, outcome);
    this.#send(sequence, outcome);
  }

  /** A reply that cannot be encoded is a translator's bug. */
  #safeOutcome(fop: FopName, op: number, args: Bag, reply: Reply<FopName>): Outcome {
    try {
      return this.#outcomeOf(fop, op, reply.ok ? 0 : reply.errno, args, reply);
    } catch (error) {
      this.#bug(fop, error);
      return { op, status: Errno.EIO, meta: noFields, payloads: null, fdIds: this.#madeFds };
    }
  }

  #encode(fop: FopName, output: ByteWriter, args: Bag, reply: Reply<FopName>): readonly Uint8Array[] | null {
    this.#encoder.begin(output);
    writeReply(fop, this.#encoder, args, reply, this.#register);
    return this.#encoder.payloads;
  }

  #outcomeOf(fop: FopName, op: number, status: number, args: Bag, reply: Reply<FopName>): Outcome {
    this.#madeFds = null;
    scratch.position = 0;
    const payloads = this.#encode(fop, scratch, args, reply);
    const meta = Buffer.from(scratch.buffer.subarray(0, scratch.position));
    return { op, status, meta, payloads, fdIds: this.#madeFds };
  }

  #send(sequence: number, { op, status, meta, payloads }: Outcome): void {
    this.#put(sequence, op, status, (output) => {
      output.raw(meta);
      return payloads;
    });
  }

  /** `done` gets each payload when it has been sent. */
  #put(
    sequence: number,
    op: number,
    status: number,
    encode: (output: Output) => readonly Uint8Array[] | null,
    done?: (payload: Uint8Array) => void,
  ): void {
    const connection = this.#connection;
    if (!connection) return;
    const flag = status === 0 ? 0 : errorFlag;
    try {
      connection.send(Kind.reply, op, sequence >>> 0, flag, status, 0, highHalf(sequence), encode, done);
    } catch (error) {
      const isTooLarge = error instanceof FrameTooLarge;
      if (!isTooLarge) this.#bug(fopById(op) ?? 'stat', error);
      const errno = isTooLarge ? Errno.EMSGSIZE : Errno.EIO;
      connection.send(Kind.reply, op, sequence >>> 0, errorFlag, errno, 0, highHalf(sequence), (output) => {
        output.raw(noFields);
        return null;
      });
    }
  }
}

/** The cookie's low half is the low half of a number that is at most 2^32 below the request's. */
function acknowledgedBy(header: Header, sequence: number): number {
  const distance = (header.id - header.cookieLow) >>> 0;
  const acknowledged = sequence - distance;
  if (acknowledged < 0) throw new FrameError('sequence', 'a request acknowledges what never was');
  return acknowledged;
}

/** All but reads: whatever changes a file, a lock or the table of fds must not run twice. */
function isRemembered(fop: FopName): boolean {
  return fops[fop].class !== 'read';
}

function stepsOf(args: Bag): readonly RawStep[] {
  return (args.steps as RawStep[] | undefined) ?? [];
}

function isLock(fop: FopName, args: Bag): boolean {
  if (fop !== 'compound') return fops[fop].class === 'lock';
  return stepsOf(args).some((step) => fops[step.fop as FopName].class === 'lock');
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
