import type { ByteReader } from '../byte-reader.ts';
import { Connection } from '../connection.ts';
import {
  Channel,
  Control,
  errorFlag,
  FrameError,
  type Header,
  highHalf,
  Kind,
  managementLimits,
  sequenceOf,
} from '../frame.ts';
import { chooseProtocol, decodeHello, encodeRefusal, encodeWelcome, type Hello, type Refusal } from '../hello.ts';
import { packMessage } from '../message.ts';
import { FrameTooLarge } from '../output.ts';
import type { PeerIdentity, Stream } from '../stream.ts';
import {
  type CallHead,
  decodeValue,
  encodeValue,
  ManagementCode,
  ManagementError,
  ManagementOp,
  readCallHead,
} from './protocol.ts';
import type { ManagementCaller, ManagementContext, ManagementServer } from './server.ts';

/** Calls of one client that run at a time; more wait unread in its socket. */
const runningMax = 256;

/** The server's end of one client's connection. */
export class ServerSideConnection implements ManagementCaller {
  readonly id: number;
  readonly peer: PeerIdentity;
  hello!: Hello;
  readonly #server: ManagementServer;
  readonly #connection: Connection;
  readonly #running = new Map<number, AbortController>();
  #onClose: (() => void)[] = [];
  #isClosed = false;

  constructor(server: ManagementServer, stream: Stream, id: number) {
    this.id = id;
    this.peer = stream.peer;
    this.#server = server;
    const { clock, log, metrics, name, pingTimeoutMs } = server.options;
    this.#connection = new Connection(
      stream,
      {
        hello: (_header, meta) => this.#greet(meta),
        frame: (header, meta, payload) => this.#frame(header, meta, payload),
        closed: () => this.#ended(),
      },
      {
        clock,
        ...(log ? { log } : {}),
        ...(metrics ? { metrics } : {}),
        name: name ?? 'management',
        channel: Channel.management,
        limits: managementLimits,
        isServer: true,
        ...(pingTimeoutMs === undefined ? {} : { pingTimeoutMs }),
      },
    );
  }

  get isOpen(): boolean {
    return this.#connection.isOpen;
  }

  #greet(meta: ByteReader): void {
    this.hello = decodeHello(meta.raw(meta.left));
    const protocol = chooseProtocol(this.hello.protocols);
    if (typeof protocol !== 'number') this.#refuse(protocol);
    else {
      const refusal = this.#server.admit(this.peer, this.hello);
      if (refusal) this.#refuse(refusal);
      else this.#welcome(protocol);
    }
  }

  #welcome(protocol: number): void {
    const { serverId } = this.#server;
    const welcome = { protocol, sessionId: '', serverId, graceMs: 0, resumed: false, features: [] };
    this.#connection.sendControl(Kind.reply, Control.hello, 0, 0, encodeWelcome(welcome));
    this.#connection.opened();
  }

  #refuse(refusal: Refusal): void {
    this.#server.log(
      'INFO',
      `refused ${this.hello.program || 'a client'} from ${this.peer.address}: ${refusal.reason}`,
    );
    this.#connection.sendControl(Kind.reply, Control.hello, errorFlag, refusal.errno, encodeRefusal(refusal));
    this.#connection.close({ code: 'refused', message: refusal.reason });
  }

  #frame(header: Header, meta: ByteReader, payload: Buffer): void {
    if (header.kind === Kind.request && header.op === ManagementOp.call) {
      this.#call(sequenceOf(header), readCallHead(meta), decodeValue(payload));
    } else if (header.kind === Kind.notice && header.op === ManagementOp.cancel) {
      this.#running.get(sequenceOf(header))?.abort();
    } else if (header.kind === Kind.notice && header.op === ManagementOp.notice) {
      const { method } = readCallHead(meta);
      this.#server.notice(method, decodeValue(payload), this.#context(new AbortController().signal, 0));
    } else throw new FrameError('channel', `unexpected management frame ${header.kind}/${header.op}`);
  }

  #context(signal: AbortSignal, remainingMs: number): ManagementContext {
    const deadlineMs = remainingMs > 0 ? this.#server.options.clock.nowMs() + remainingMs : undefined;
    return { caller: this, signal, deadlineMs };
  }

  #call(sequence: number, head: CallHead, params: unknown): void {
    if (this.#running.has(sequence)) throw new FrameError('sequence', `request ${sequence} is running already`);
    const abort = new AbortController();
    this.#running.set(sequence, abort);
    if (this.#running.size === runningMax) this.#connection.pauseReading();
    this.#server.run(head.method, params, this.#context(abort.signal, head.remainingMs)).then(
      (result) => this.#finish(sequence, () => this.#answer(sequence, result)),
      (error: ManagementError) => this.#finish(sequence, () => this.#fail(sequence, error)),
    );
  }

  #finish(sequence: number, reply: () => void): void {
    if (this.#running.size === runningMax) this.#connection.resumeReading();
    this.#running.delete(sequence);
    if (!this.isOpen) return;
    try {
      reply();
    } catch (error) {
      const code = error instanceof FrameTooLarge ? ManagementCode.tooLarge : ManagementCode.internal;
      this.#fail(sequence, new ManagementError(code, `the answer cannot be sent: ${(error as Error).message}`));
    }
  }

  #answer(sequence: number, result: unknown): void {
    const pieces = encodeValue(result);
    this.#connection.send(Kind.reply, ManagementOp.call, sequence >>> 0, 0, 0, 0, highHalf(sequence), () => pieces);
  }

  #fail(sequence: number, error: ManagementError): void {
    const { code, message, details } = error;
    const meta = packMessage({ code, message, ...(details === undefined ? {} : { details }) });
    this.#connection.send(
      Kind.reply,
      ManagementOp.call,
      sequence >>> 0,
      errorFlag,
      1,
      0,
      highHalf(sequence),
      (output) => {
        output.raw(meta);
        return null;
      },
    );
  }

  notify(name: string, params?: unknown): void {
    if (!this.isOpen) return;
    const pieces = encodeValue(params);
    this.#connection.send(Kind.notice, ManagementOp.notice, 0, 0, 0, 0, 0, (output) => {
      output.u32(0);
      output.utf8(name);
      return pieces;
    });
  }

  onClose(callback: () => void): void {
    if (this.#isClosed) callback();
    else this.#onClose.push(callback);
  }

  close(): void {
    this.#connection.goodbye();
  }

  #ended(): void {
    this.#isClosed = true;
    for (const abort of this.#running.values()) abort.abort();
    for (const callback of this.#onClose.splice(0)) callback();
  }
}
