/** Accepts clients of a brick: handshake, sessions that survive a reconnection, their end. */
import type { ByteString } from '@mortar/core/bytes.ts';
import type { Call } from '@mortar/core/call.ts';
import { Errno } from '@mortar/core/errno.ts';
import type { Args, FopName, Reply } from '@mortar/core/fops.ts';
import type { Gfid } from '@mortar/core/gfid.ts';
import type { Clock, Log, Metrics, Random, Timer } from '@mortar/core/ports.ts';
import type { ByteReader } from '../byte-reader.ts';
import { type CloseReason, Connection } from '../connection.ts';
import { Channel, Control, errorFlag, type FrameLimits, fopLimits, type Header, Kind } from '../frame.ts';
import { chooseProtocol, decodeHello, encodeRefusal, encodeWelcome, type Hello, type Refusal } from '../hello.ts';
import { nullLog, nullMetrics } from '../null-ports.ts';
import type { Address, Listener, PeerIdentity, Stream, Transport } from '../stream.ts';
import { defaultGraceMs, type ServerSessionLimits, serverSessionLimits } from './limits.ts';
import { ServerSession } from './server-session.ts';

/** What the server found out about a client that may come in. */
export interface Admission {
  /** Proved by user and password that it has the trusted volfile; what others may not do is up to who runs the fops. */
  isTrusted: boolean;
  /** It may reach this directory and what lies below; absent: everything. */
  within?: Subtree;
  /** What the client may rely on here; it ignores what it does not know. */
  features?: readonly string[];
}

export interface Subtree {
  readonly path: string;
  readonly gfid: Gfid;
  /** The directories above it, and of each the name that leads to it. */
  readonly above: ReadonlyMap<Gfid, ByteString>;
}

export interface SessionServerOptions {
  clock: Clock;
  random: Random;
  log?: Log;
  metrics?: Metrics;
  /** Origin of log lines: the translator's name. */
  name: string;
  graceMs?: number;
  pingTimeoutMs?: number;
  limits?: Partial<ServerSessionLimits>;
  frameLimits?: FrameLimits;
  admit(peer: PeerIdentity, hello: Hello): Admission | Refusal | Promise<Admission | Refusal>;
  /** Whether the data of a write, and of a read, is nobody's any more once it was answered (docs/payloads.md). Absent: neither. */
  returns?: () => { readonly writes: boolean; readonly reads: boolean };
  /** Runs one fop. A rejection is a bug: the client gets EIO. */
  run<N extends FopName>(fop: N, call: Call, args: Args<N>, session: ServerSession): Promise<Reply<N>>;
  /** The session is over, its fds are released; locks are to be dropped. */
  onSessionEnd?(session: ServerSession): void;
}

const idBytes = 16;

export class SessionServer {
  readonly options: SessionServerOptions;
  readonly limits: ServerSessionLimits;
  readonly serverId: string;
  readonly log: Log;
  readonly metrics: Metrics;
  /** By client id. */
  readonly #sessions = new Map<string, ServerSession>();
  readonly #graces = new Map<ServerSession, Timer>();
  readonly #listeners: Listener[] = [];
  readonly #connections = new Set<Connection>();
  #isClosed = false;

  constructor(options: SessionServerOptions) {
    this.options = options;
    this.limits = { ...serverSessionLimits, ...options.limits };
    this.log = options.log ?? nullLog;
    this.metrics = options.metrics ?? nullMetrics;
    this.serverId = this.#newId();
  }

  #newId(): string {
    return Buffer.from(this.options.random.bytes(idBytes)).toString('hex');
  }

  get graceMs(): number {
    return this.options.graceMs ?? defaultGraceMs;
  }

  async listen(transport: Transport, address: Address): Promise<Listener> {
    const listener = await transport.listen(address, (stream) => this.accept(stream));
    this.#listeners.push(listener);
    return listener;
  }

  accept(stream: Stream): void {
    // Connections that have not shaken hands are bounded as well.
    if (this.#isClosed || this.#connections.size >= 2 * this.limits.sessions) {
      stream.destroy();
      return;
    }
    let session: ServerSession | null = null;
    const connection: Connection = new Connection(
      stream,
      {
        hello: (_header, meta) => {
          const hello = decodeHello(meta.raw(meta.left));
          void this.#greet(connection, hello, (admitted) => {
            session = admitted;
          });
        },
        frame: (header: Header, meta: ByteReader, payload: Buffer) => session?.frame(header, meta, payload),
        closed: (reason) => {
          this.#connections.delete(connection);
          if (session) this.#detached(session, connection, reason);
        },
      },
      {
        clock: this.options.clock,
        log: this.log,
        metrics: this.metrics,
        name: this.options.name,
        channel: Channel.fop,
        limits: this.options.frameLimits ?? fopLimits,
        isServer: true,
        ...(this.options.pingTimeoutMs === undefined ? {} : { pingTimeoutMs: this.options.pingTimeoutMs }),
      },
    );
    this.#connections.add(connection);
  }

  async #greet(connection: Connection, hello: Hello, adopt: (session: ServerSession) => void): Promise<void> {
    const protocol = chooseProtocol(hello.protocols);
    if (typeof protocol !== 'number') return this.#refuse(connection, hello, protocol);
    const admission = await this.#admit(connection.peer, hello);
    if ('errno' in admission) return this.#refuse(connection, hello, admission);
    if (!this.#connections.has(connection)) return;
    const { session, resumed } = this.#sessionFor(hello, connection.peer, admission);
    adopt(session);
    const { features = [] } = admission;
    const own = { protocol, sessionId: session.id, serverId: this.serverId, graceMs: this.graceMs };
    connection.sendControl(Kind.reply, Control.hello, 0, 0, encodeWelcome({ ...own, resumed, features }));
    connection.opened();
    session.attach(connection);
    const how = resumed ? 'came back' : 'connected';
    this.#write('INFO', `client ${hello.clientId} (${connection.peer.address}) ${how}`);
  }

  async #admit(peer: PeerIdentity, hello: Hello): Promise<Admission | Refusal> {
    if (hello.kind !== 'session') return { errno: Errno.EPROTO, reason: 'this port serves a brick, not management' };
    if (hello.clientId === '') return { errno: Errno.EINVAL, reason: 'the client gave no client id' };
    if (!this.#sessions.has(hello.clientId) && this.#sessions.size >= this.limits.sessions)
      return { errno: Errno.EUSERS, reason: `${this.#sessions.size} clients are connected, no more are taken` };
    try {
      return await this.options.admit(peer, hello);
    } catch (error) {
      this.#write('ERROR', `deciding on ${hello.clientId} failed: ${(error as Error).stack ?? String(error)}`);
      return { errno: Errno.EIO, reason: 'the server could not decide on the handshake' };
    }
  }

  #refuse(connection: Connection, hello: Hello, refusal: Refusal): void {
    this.metrics.counter('rpc_handshakes_refused_total').add();
    this.#write('WARNING', `refused client ${hello.clientId} (${connection.peer.address}): ${refusal.reason}`);
    connection.sendControl(Kind.reply, Control.hello, errorFlag, refusal.errno, encodeRefusal(refusal));
    connection.close({ code: 'refused', message: refusal.reason });
  }

  #sessionFor(hello: Hello, peer: PeerIdentity, admission: Admission): { session: ServerSession; resumed: boolean } {
    const known = this.#sessions.get(hello.clientId);
    if (known && hello.sessionId === known.id) {
      this.#graces.get(known)?.cancel();
      this.#graces.delete(known);
      return { session: known, resumed: true };
    }
    if (known) this.endSession(known, 'the client began anew');
    const session = new ServerSession(this, this.#newId(), hello, peer, admission);
    this.#sessions.set(hello.clientId, session);
    return { session, resumed: false };
  }

  #detached(session: ServerSession, connection: Connection, reason: CloseReason): void {
    if (!session.detach(connection)) return;
    this.#write('INFO', `client ${session.clientId} disconnected: ${reason.message}`);
    if (reason.code === 'goodbye') {
      this.endSession(session, reason.message);
      return;
    }
    const end = () => this.endSession(session, `it did not come back within ${this.graceMs} ms`);
    this.#graces.set(session, this.options.clock.after(this.graceMs, end));
  }

  /** Ends a session now: running requests are cancelled, fds released, locks dropped. */
  endSession(session: ServerSession, why: string): void {
    if (this.#sessions.get(session.clientId) !== session) return;
    this.#sessions.delete(session.clientId);
    this.#graces.get(session)?.cancel();
    this.#graces.delete(session);
    this.#write('INFO', `the session of client ${session.clientId} ends: ${why}`);
    session.end();
    this.options.onSessionEnd?.(session);
  }

  sessions(): ServerSession[] {
    return [...this.#sessions.values()];
  }

  sessionOf(clientId: string): ServerSession | undefined {
    return this.#sessions.get(clientId);
  }

  /** A fop ended in an exception, or in a reply that cannot be: a translator's bug. */
  bug(clientId: string, fop: FopName, error: unknown): void {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.metrics.counter('rpc_bugs_total').add();
    this.#write('ERROR', `${fop} of client ${clientId} failed: ${text}`);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const session of this.sessions()) this.endSession(session, 'the server stops');
    for (const connection of [...this.#connections]) connection.close({ code: 'closed', message: 'the server stops' });
    await Promise.all(this.#listeners.splice(0).map((listener) => listener.close()));
  }

  #write(level: Parameters<Log['write']>[0], text: string): void {
    this.log.write(level, this.options.name, text);
  }
}
