/** Serves methods by name. Each has a schema for its parameters; what does not fit never reaches the method. */
import { randomUUID } from 'node:crypto';
import { Errno } from '@mortar/core/errno.ts';
import type { Clock, Log, Metrics } from '@mortar/core/ports.ts';
import { z } from 'zod';
import type { Hello, Refusal } from '../hello.ts';
import { nullLog, nullMetrics } from '../null-ports.ts';
import type { Address, Listener, PeerIdentity, Stream, Transport } from '../stream.ts';
import type { CallMeter } from './call-meter.ts';
import { ManagementCode, ManagementError } from './protocol.ts';
import { ServerSideConnection } from './server-connection.ts';

/** Who called, and how to reach them later. */
export interface ManagementContext {
  readonly caller: ManagementCaller;
  /** Aborted when the caller gave up or is gone. */
  readonly signal: AbortSignal;
  /** When the caller stops waiting, on the monotonic clock; undefined: never. */
  readonly deadlineMs: number | undefined;
}

/** A connected client. */
export interface ManagementCaller {
  readonly id: number;
  /** Address and whether it is local root: what the transport vouches for. */
  readonly peer: PeerIdentity;
  /** What the client says of itself: program, process id, client id, user. */
  readonly hello: Hello;
  readonly isOpen: boolean;
  /** Tells the client something; lost if the connection breaks. */
  notify(name: string, params?: unknown): void;
  /** Runs when the connection is gone; at once if it is. */
  onClose(callback: () => void): void;
  close(): void;
}

export interface ManagementServerOptions {
  clock: Clock;
  log?: Log;
  metrics?: Metrics;
  /** Counts the calls. */
  calls?: CallMeter | undefined;
  /** Origin of log lines: `management`. */
  name?: string;
  /** Identity of this process run; random by default. */
  serverId?: string;
  connectionsMax?: number;
  pingTimeoutMs?: number;
  /** Whether this client may connect at all. Methods can still refuse by `context.caller`. */
  admit?(peer: PeerIdentity, hello: Hello): Refusal | null;
}

type Handler<S extends z.ZodType> = (params: z.infer<S>, context: ManagementContext) => unknown;

interface Method {
  schema: z.ZodType;
  handler: (params: unknown, context: ManagementContext) => unknown;
}

const connectionsMaxDefault = 4096;

export class ManagementServer {
  readonly serverId: string;
  readonly options: ManagementServerOptions;
  readonly #methods = new Map<string, Method>();
  readonly #noticeHandlers = new Map<string, Method>();
  readonly #connections = new Set<ServerSideConnection>();
  readonly #listeners: Listener[] = [];
  #nextId = 1;

  constructor(options: ManagementServerOptions) {
    this.options = options;
    this.serverId = options.serverId ?? randomUUID();
  }

  /** Registers a method. The handler's result (or its promise's) is the answer; ManagementError is an expected one. */
  method<S extends z.ZodType>(name: string, schema: S, handler: Handler<S>): this {
    if (this.#methods.has(name)) throw new Error(`method ${name} is registered twice`);
    this.#methods.set(name, { schema, handler: handler as Method['handler'] });
    return this;
  }

  /** Registers what is done with a client's notice. */
  onNotice<S extends z.ZodType>(name: string, schema: S, handler: Handler<S>): this {
    this.#noticeHandlers.set(name, { schema, handler: handler as Method['handler'] });
    return this;
  }

  async listen(transport: Transport, address: Address): Promise<Listener> {
    const listener = await transport.listen(address, (stream) => this.accept(stream));
    this.#listeners.push(listener);
    return listener;
  }

  /** Serves one stream, however it came. */
  accept(stream: Stream): void {
    if (this.#connections.size >= (this.options.connectionsMax ?? connectionsMaxDefault)) {
      this.log('WARNING', `refused a connection from ${stream.peer.address}: ${this.#connections.size} are open`);
      this.metrics.counter('rpc_connections_refused_total').add();
      stream.destroy();
      return;
    }
    const connection = new ServerSideConnection(this, stream, this.#nextId++);
    this.#connections.add(connection);
    connection.onClose(() => this.#connections.delete(connection));
  }

  /** Connected clients. */
  callers(): ManagementCaller[] {
    return [...this.#connections].filter((connection) => connection.isOpen);
  }

  /** A notice to all clients for which `wanted` holds. */
  notifyAll(name: string, params?: unknown, wanted: (caller: ManagementCaller) => boolean = () => true): void {
    for (const caller of this.callers()) if (wanted(caller)) caller.notify(name, params);
  }

  async close(): Promise<void> {
    for (const connection of [...this.#connections]) connection.close();
    await Promise.all(this.#listeners.splice(0).map((listener) => listener.close()));
  }

  admit(peer: PeerIdentity, hello: Hello): Refusal | null {
    if (hello.kind !== 'management')
      return { errno: Errno.EPROTO, reason: 'this is a management port; bricks listen elsewhere' };
    return this.options.admit?.(peer, hello) ?? null;
  }

  /** Runs a method; throws ManagementError for all that went wrong. */
  run(name: string, params: unknown, context: ManagementContext): Promise<unknown> {
    const called = this.#run(name, params, context);
    // What a caller makes up is no name of a method.
    this.options.calls?.watch('in', this.#methods.has(name) ? name : 'unknown', called);
    return called;
  }

  async #run(name: string, params: unknown, context: ManagementContext): Promise<unknown> {
    const method = this.#methods.get(name);
    if (!method) throw new ManagementError(ManagementCode.noMethod, `there is no method '${name}'`);
    return this.#invoke(name, method, params, context);
  }

  notice(name: string, params: unknown, context: ManagementContext): void {
    const handler = this.#noticeHandlers.get(name);
    if (!handler) return;
    this.#invoke(name, handler, params, context).catch((error: Error) =>
      this.log('WARNING', `notice ${name} from ${context.caller.peer.address}: ${error.message}`),
    );
  }

  async #invoke(name: string, method: Method, params: unknown, context: ManagementContext): Promise<unknown> {
    const parsed = method.schema.safeParse(params);
    if (!parsed.success)
      throw new ManagementError(ManagementCode.badParams, `${name}: ${z.prettifyError(parsed.error)}`);
    try {
      return await method.handler(parsed.data, context);
    } catch (error) {
      if (error instanceof ManagementError) throw error;
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.metrics.counter('rpc_bugs_total').add();
      this.log('ERROR', `method ${name} failed: ${text}`);
      throw new ManagementError(ManagementCode.internal, `${name}: ${error instanceof Error ? error.message : text}`);
    }
  }

  get metrics(): Metrics {
    return this.options.metrics ?? nullMetrics;
  }

  log(level: Parameters<Log['write']>[0], text: string): void {
    (this.options.log ?? nullLog).write(level, this.options.name ?? 'management', text);
  }
}
