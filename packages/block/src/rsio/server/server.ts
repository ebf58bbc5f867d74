/** Listens for clients of the RSIO-style protocol and keeps their sessions. */
import type { Clock, Log, LogLevel, Random, Timer } from '@mortar/core';
import type { Address, Listener, Stream, Transport } from '@mortar/rpc/stream.ts';
import { TokenBucket } from '../../device/token-bucket.ts';
import type { Client, ExportSource } from '../../nbd/exports.ts';
import type { Administered, Administration } from '../administration.ts';
import { protocolVersion, servedVersions } from '../messages.ts';
import { ClientLoad } from './client-load.ts';
import { ServerConnection } from './connection.ts';
import { OpenDevices } from './open-devices.ts';
import { Session } from './session.ts';

export interface RsioIdentity {
  readonly namespace: { readonly name: string; readonly id: number };
  readonly server: { readonly name: string; readonly id: number };
  /** Key by name, or `-`; empty: everybody may come. */
  readonly clients: ReadonlyMap<string, string>;
}

export interface RsioServerOptions {
  readonly exports: ExportSource;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly transport: Transport;
  readonly identity: RsioIdentity;
  /** How long a session lives without a connection. */
  readonly leaseMs?: number;
  readonly negotiationMs?: number;
  readonly connectionsMax?: number;
  readonly sessionsMax?: number;
  /** What clients have done with devices; absent: nothing. */
  readonly administer?: (client: Client, asked: Administration) => Promise<Administered>;
}

const origin = 'rsio';
/** In the place of a key: TLS has to prove the name. */
export const certificateOnly = '-';
const linesPerSecond = 5;
const linesBurst = 100;

export class RsioServer {
  readonly #options: Required<Omit<RsioServerOptions, 'administer'>> & Pick<RsioServerOptions, 'administer'>;
  readonly #devices: OpenDevices;
  readonly #listeners: Listener[] = [];
  readonly #connections = new Set<ServerConnection>();
  readonly #sessions = new Map<string, Session>();
  /** Ends of sessions that nobody is connected to. */
  readonly #leases = new Map<Session, Timer>();
  /** By client; where anybody may come under any name, by address. */
  readonly #loads = new Map<string, ClientLoad>();
  readonly #lines: TokenBucket;
  #identity: RsioIdentity;
  #isClosed = false;
  refused = 0;

  constructor(options: RsioServerOptions) {
    this.#options = { leaseMs: 30_000, negotiationMs: 20_000, connectionsMax: 4096, sessionsMax: 4096, ...options };
    this.#devices = new OpenDevices(options.exports);
    this.#identity = options.identity;
    this.#lines = new TokenBucket(options.clock, linesPerSecond, linesBurst);
  }

  get connections(): ReadonlySet<ServerConnection> {
    return this.#connections;
  }

  get sessions(): readonly Session[] {
    return [...this.#sessions.values()];
  }

  /** For who comes from now on. */
  identify(identity: RsioIdentity): void {
    this.#identity = identity;
  }

  /** `tls`: what listens there instead for clients that speak TLS. */
  async listen(address: Address, tls?: Transport): Promise<Address> {
    const transport = tls ?? this.#options.transport;
    const listener = await transport.listen(address, (stream) => this.#accept(stream, tls !== undefined));
    this.#listeners.push(listener);
    return listener.address;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    // A listener has ended when its last connection has: they are ended first, and waited for afterwards.
    const closed = this.#listeners.splice(0).map((listener) => listener.close());
    for (const session of this.sessions) this.#end(session, 'the server ends');
    for (const connection of this.#connections) connection.end('the server ends');
    await Promise.all(closed);
  }

  /** Ends the sessions that have a device open: it is going to be another one. */
  release(device: string): void {
    for (const session of this.sessions)
      if (session.openNames.includes(device)) this.#end(session, `device ${device} is no longer served`);
  }

  #accept(stream: Stream, speaksTls: boolean): void {
    const { clock, connectionsMax, negotiationMs, leaseMs } = this.#options;
    if (this.#isClosed || (this.#connections.size >= connectionsMax && !this.#dropNegotiator())) {
      this.refused++;
      stream.destroy();
      return;
    }
    const gate = {
      clock,
      introduce: (version: number) => this.#introduce(version),
      speaksTls,
      keyOf: (client: string, proven: string | null) => this.#keyOf(client, proven),
      sessionOf: (client: string, id: string, address: string, version: number) =>
        this.#sessionOf(client, id, address, version),
      loadOf: (client: string, address: string) => this.#loadOf(client, address),
      list: (session: Session) => this.#list(session),
      leaseMs,
    };
    const connection = new ServerConnection(stream, gate, (one, why) => this.#ended(one, why));
    this.#connections.add(connection);
    clock.after(negotiationMs, () => {
      if (!connection.session && !connection.isEnded) connection.end('it has not joined a session');
    });
  }

  /** The oldest one without a session makes room. */
  #dropNegotiator(): boolean {
    for (const connection of this.#connections) {
      if (connection.session) continue;
      connection.end('others need the room');
      return true;
    }
    return false;
  }

  /** Who this is, as anybody is told. */
  get introduction() {
    const { namespace, server } = this.#identity;
    return { namespace: namespace.name, namespaceId: namespace.id, server: server.name, serverId: server.id };
  }

  #introduce(asked: number) {
    const nonce = Buffer.from(this.#options.random.bytes(16)).toString('hex');
    const version = servedVersions.includes(asked) ? asked : protocolVersion;
    return { version, ...this.introduction, nonce };
  }

  #keyOf(client: string, proven: string | null): string | null {
    const { clients } = this.#identity;
    if (clients.size === 0) return '';
    const key = clients.get(client) ?? null;
    if (key !== certificateOnly) return key;
    return proven === client ? '' : null;
  }

  #loadOf(client: string, address: string): ClientLoad {
    const key = this.#identity.clients.size > 0 ? client : address.replace(/:\d+$/, '');
    let load = this.#loads.get(key);
    if (!load) {
      for (const [other, { isIdle }] of this.#loads) if (isIdle) this.#loads.delete(other);
      load = new ClientLoad();
      this.#loads.set(key, load);
    }
    return load;
  }

  #sessionOf(client: string, id: string, address: string, version: number): Session | null {
    if (this.#isClosed) return null;
    const known = this.#sessions.get(id);
    if (id !== '') {
      if (known?.client.identity !== client) return null;
      this.#leases.get(known)?.cancel();
      this.#leases.delete(known);
      return known;
    }
    if (this.#sessions.size >= this.#options.sessionsMax) return null;
    const own = Buffer.from(this.#options.random.bytes(16)).toString('hex');
    const session = new Session(
      own,
      { address, identity: client, isLocalRoot: false },
      this.#devices,
      version,
      this.#options.administer,
    );
    this.#sessions.set(own, session);
    this.#options.log.write('INFO', origin, `client ${client} at ${address} begins session ${own.slice(0, 8)}`);
    return session;
  }

  #list({ client }: Session): object {
    const devices = this.#options.exports.list(client).map(({ name, description, device, isPaused = false }) => ({
      name,
      description: description.slice(0, 1024),
      sizeBytes: device.sizeBytes,
      readOnly: device.traits.readOnly,
      users: this.#devices.users(name),
      isPaused,
    }));
    return { devices };
  }

  #ended(connection: ServerConnection, why: string | null): void {
    if (!this.#connections.delete(connection)) return;
    const { session } = connection;
    if (why !== null) this.#tell('INFO', `the connection of ${connection.address} ended: ${why}`);
    if (!session || session.isEnded || session.paths.size > 0) return;
    const { clock, leaseMs } = this.#options;
    const lapse = () => {
      if (session.paths.size === 0) this.#end(session, `it did not come back within ${leaseMs} ms`);
    };
    this.#leases.get(session)?.cancel();
    this.#leases.set(session, clock.after(leaseMs, lapse));
  }

  #end(session: Session, why: string): void {
    this.#leases.get(session)?.cancel();
    this.#leases.delete(session);
    this.#sessions.delete(session.id);
    session.end(why);
    this.#tell('INFO', `session ${session.id.slice(0, 8)} of ${session.client.identity} ends: ${why}`);
  }

  /** What clients do is told within bounds. */
  #tell(level: LogLevel, text: string): void {
    if (this.#lines.waitMs(1) > 0) return;
    this.#lines.take(1);
    this.#options.log.write(level, origin, text);
  }
}
