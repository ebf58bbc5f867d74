/** Calls of methods by name: command line to glusterd, client or brick to glusterd, glusterd to glusterd. */
import { Errno } from '@mortar/core/errno.ts';
import type { Clock, Log, Metrics } from '@mortar/core/ports.ts';
import type { ByteReader } from '../byte-reader.ts';
import { type CloseReason, Connection } from '../connection.ts';
import { Channel, Control, errorFlag, type Header, highHalf, Kind, managementLimits, sequenceOf } from '../frame.ts';
import { decodeRefusal, decodeWelcome, encodeHello, protocolVersions, RefusedError, type Welcome } from '../hello.ts';
import { FrameTooLarge } from '../output.ts';
import { type Pending, PendingTable } from '../pending.ts';
import { type Address, printableAddress, type Transport } from '../stream.ts';
import type { CallMeter } from './call-meter.ts';
import {
  decodeValue,
  encodeValue,
  ManagementCode,
  ManagementError,
  ManagementOp,
  readCallHead,
  readErrorHead,
} from './protocol.ts';

export interface ManagementClientOptions {
  clock: Clock;
  log?: Log;
  metrics?: Metrics;
  /** Counts the calls. */
  calls?: CallMeter | undefined;
  /** Program that calls, for the server's log: `gluster`, `glusterfs`. */
  program: string;
  processId?: number;
  /** Shown to the server as `identity` of the caller; proves nothing by itself. */
  clientId?: string;
  user?: string;
  password?: string;
  opVersion?: number;
  /** How long a call waits if it does not say so itself; 0: for ever. Default 120 s, GlusterFS's `--timeout`. */
  timeoutMs?: number;
  pingTimeoutMs?: number;
}

export interface CallOptions {
  timeoutMs?: number;
  signal?: AbortSignal;
}

const defaultTimeoutMs = 120_000;
const outstandingMax = 4096;

interface PendingCall extends Pending {
  method: string;
  resolve(value: unknown): void;
  reject(error: Error): void;
  dispose(): void;
}

/** One connection. When it breaks, all open calls fail with code DISCONNECTED, and a new client is to be made. */
export class ManagementClient {
  /** Resolves, never rejects, when the connection is gone. */
  readonly closed: Promise<CloseReason>;
  readonly address: Address;
  readonly #options: ManagementClientOptions;
  readonly #connection: Connection;
  readonly #pending: PendingTable<PendingCall>;
  readonly #notices = new Map<string, Set<(params: unknown) => void>>();
  readonly #welcomed: Promise<Welcome>;
  #welcome: Welcome | null = null;
  #onWelcome: (welcome: Welcome) => void = () => undefined;
  #onRefused: (error: Error) => void = () => undefined;
  #onClosed: (reason: CloseReason) => void = () => undefined;

  /** Connects and shakes hands. Rejects with the socket's error, or with RefusedError. */
  static async connect(
    transport: Transport,
    address: Address,
    options: ManagementClientOptions,
  ): Promise<ManagementClient> {
    const stream = await transport.connect(address);
    const client = new ManagementClient(stream, address, options);
    await client.#welcomed;
    return client;
  }

  private constructor(
    stream: ConstructorParameters<typeof Connection>[0],
    address: Address,
    options: ManagementClientOptions,
  ) {
    this.address = address;
    this.#options = options;
    this.#pending = new PendingTable(options.clock);
    this.closed = new Promise((resolve) => {
      this.#onClosed = resolve;
    });
    this.#welcomed = new Promise((resolve, reject) => {
      this.#onWelcome = resolve;
      this.#onRefused = reject;
    });
    this.#connection = new Connection(
      stream,
      {
        hello: (header, meta) => this.#answered(header, meta),
        frame: (header, meta, payload) => this.#frame(header, meta, payload),
        closed: (reason) => this.#ended(reason),
      },
      {
        clock: options.clock,
        ...(options.log ? { log: options.log } : {}),
        ...(options.metrics ? { metrics: options.metrics } : {}),
        name: 'management',
        channel: Channel.management,
        limits: managementLimits,
        isServer: false,
        ...(options.pingTimeoutMs === undefined ? {} : { pingTimeoutMs: options.pingTimeoutMs }),
      },
    );
    this.#connection.sendControl(Kind.request, Control.hello, 0, 0, encodeHello(this.#hello()));
  }

  #hello() {
    const { program, processId, clientId, user, password, opVersion } = this.#options;
    return {
      protocols: protocolVersions,
      kind: 'management',
      program,
      processId: processId ?? process.pid,
      clientId: clientId ?? '',
      subvolume: '',
      volumeId: '',
      subdirectory: '',
      user: user ?? '',
      password: password ?? '',
      opVersion: opVersion ?? 0,
      sessionId: '',
      features: [],
    } as const;
  }

  get isOpen(): boolean {
    return this.#connection.isOpen;
  }

  /** What the server said of itself in the handshake. */
  get welcome(): Welcome | null {
    return this.#welcome;
  }

  /** Resolves with the method's result; rejects with ManagementError. */
  call<R = unknown>(method: string, params?: unknown, options: CallOptions = {}): Promise<R> {
    const called = this.#call<R>(method, params, options);
    this.#options.calls?.watch('out', method, called);
    return called;
  }

  #call<R>(method: string, params: unknown, options: CallOptions): Promise<R> {
    return new Promise<R>((resolve, reject) => {
      const { signal } = options;
      if (!this.isOpen) return reject(this.#disconnected(method));
      if (signal?.aborted) return reject(cancelled(method));
      if (this.#pending.size >= outstandingMax)
        return reject(new ManagementError(ManagementCode.busy, `${method}: ${outstandingMax} calls are outstanding`));
      const timeoutMs = options.timeoutMs ?? this.#options.timeoutMs ?? defaultTimeoutMs;
      const onAbort = () => this.#cancel(sequence, cancelled(method));
      const timedOut = () =>
        new ManagementError(ManagementCode.timeout, `${method}: no answer from ${this.#where} within ${timeoutMs} ms`);
      const dispose = () => signal?.removeEventListener('abort', onAbort);
      const sequence = this.#pending.add({
        method,
        deadlineMs: timeoutMs > 0 ? this.#options.clock.nowMs() + timeoutMs : Number.POSITIVE_INFINITY,
        resolve: (value) => resolve(value as R),
        reject,
        dispose,
        expired: () => {
          dispose();
          this.#sendCancel(sequence);
          reject(timedOut());
        },
      });
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#send(sequence, method, timeoutMs, params);
    });
  }

  #send(sequence: number, method: string, timeoutMs: number, params: unknown): void {
    try {
      const pieces = encodeValue(params);
      this.#connection.send(Kind.request, ManagementOp.call, sequence >>> 0, 0, 0, 0, highHalf(sequence), (output) => {
        output.u32(Math.min(timeoutMs, 0xffff_ffff));
        output.utf8(method);
        return pieces;
      });
    } catch (error) {
      const pending = this.#pending.take(sequence);
      pending?.dispose();
      const code = error instanceof FrameTooLarge ? ManagementCode.tooLarge : ManagementCode.internal;
      pending?.reject(new ManagementError(code, `${method}: ${(error as Error).message}`));
    }
  }

  /** Tells the server something and expects no answer. */
  notify(name: string, params?: unknown): void {
    const pieces = encodeValue(params);
    this.#connection.send(Kind.notice, ManagementOp.notice, 0, 0, 0, 0, 0, (output) => {
      output.u32(0);
      output.utf8(name);
      return pieces;
    });
  }

  /** Listens to notices of the server, e.g. `volfile-changed`. Returns how to stop. */
  onNotice(name: string, handler: (params: unknown) => void): () => void {
    const handlers = this.#notices.get(name) ?? new Set();
    this.#notices.set(name, handlers.add(handler));
    return () => handlers.delete(handler);
  }

  close(): void {
    this.#connection.goodbye();
  }

  get #where(): string {
    return printableAddress(this.address);
  }

  #disconnected(method: string, reason?: CloseReason): ManagementError {
    const why = reason ? `: ${reason.message}` : '';
    return new ManagementError(ManagementCode.disconnected, `${method}: not connected to ${this.#where}${why}`);
  }

  #cancel(sequence: number, error: Error): void {
    const pending = this.#pending.take(sequence);
    if (!pending) return;
    this.#sendCancel(sequence);
    pending.reject(error);
  }

  #sendCancel(sequence: number): void {
    if (!this.isOpen) return;
    this.#connection.send(Kind.notice, ManagementOp.cancel, sequence >>> 0, 0, 0, 0, highHalf(sequence), () => null);
  }

  #answered(header: Header, meta: ByteReader): void {
    const bytes = meta.raw(meta.left);
    if ((header.flags & errorFlag) !== 0) {
      const refusal = decodeRefusal(bytes);
      this.#onRefused(new RefusedError(refusal));
      this.#connection.close({ code: 'refused', message: refusal.reason });
      return;
    }
    this.#welcome = decodeWelcome(bytes);
    this.#connection.opened();
    this.#onWelcome(this.#welcome);
  }

  #frame(header: Header, meta: ByteReader, payload: Buffer): void {
    if (header.kind === Kind.notice && header.op === ManagementOp.notice) {
      const { method } = readCallHead(meta);
      const params = decodeValue(payload);
      for (const handler of this.#notices.get(method) ?? []) handler(params);
      return;
    }
    if (header.kind !== Kind.reply) return;
    const pending = this.#pending.take(sequenceOf(header));
    if (!pending) return;
    pending.dispose();
    try {
      if ((header.flags & errorFlag) === 0) {
        pending.resolve(decodeValue(payload));
        return;
      }
      const { code, message, details } = readErrorHead(meta.raw(meta.left));
      pending.reject(new ManagementError(code, message, details));
    } catch (error) {
      pending.reject(new ManagementError(ManagementCode.internal, `${pending.method}: ${(error as Error).message}`));
      throw error;
    }
  }

  #ended(reason: CloseReason): void {
    const errno = reason.code === 'handshake-timeout' ? Errno.ETIMEDOUT : Errno.ECONNRESET;
    this.#onRefused(new RefusedError({ errno, reason: `${this.#where}: ${reason.message}` }));
    for (const pending of this.#pending.clear()) {
      pending.dispose();
      pending.reject(this.#disconnected(pending.method, reason));
    }
    this.#onClosed(reason);
  }
}

function cancelled(method: string): ManagementError {
  return new ManagementError(ManagementCode.cancelled, `${method}: cancelled by the caller`);
}
