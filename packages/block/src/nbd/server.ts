/** Listens for NBD clients on TCP and unix sockets, and keeps their connections within bounds. */
import { lstatSync, unlinkSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import type { Clock, Log, LogLevel } from '@mortar/core';
import type { PeerIdentity } from '@mortar/rpc/stream.ts';
import { listening, openSocket } from '@mortar/rpc/transports/tcp.ts';
import { TokenBucket } from '../device/token-bucket.ts';
import { Connection } from './connection.ts';
import type { ExportSource } from './exports.ts';
import type { TlsServer } from './tls.ts';
import type { TransmissionLimits } from './transmission.ts';

export type NbdAddress = { kind: 'tcp'; host: string; port: number } | { kind: 'unix'; path: string };

export interface NbdServerOptions {
  readonly exports: ExportSource;
  readonly clock: Clock;
  readonly log: Log;
  readonly tls?: TlsServer;
  readonly tlsMode?: 'off' | 'allowed' | 'required';
  readonly negotiationMs?: number;
  readonly connectionsMax?: number;
  readonly limits?: TransmissionLimits;
}

const origin = 'nbd';
const keepAliveMs = 20_000;
const backlog = 1024;
const linesPerSecond = 5;
const linesBurst = 100;

export class NbdServer {
  readonly #options: NbdServerOptions;
  readonly #servers: Server[] = [];
  readonly #connections = new Set<Connection>();
  #tls: TlsServer | null;
  readonly #lines: TokenBucket;
  #untold = 0;
  refused = 0;
  accepted = 0;

  constructor(options: NbdServerOptions) {
    this.#options = options;
    this.#tls = options.tls ?? null;
    this.#lines = new TokenBucket(options.clock, linesPerSecond, linesBurst);
  }

  get connections(): ReadonlySet<Connection> {
    return this.#connections;
  }

  /** For connections from now on: certificates and keys were read anew. */
  useTls(tls: TlsServer): void {
    this.#tls = tls;
  }

  /** The real address, also when port 0 was asked for. */
  async listen(address: NbdAddress): Promise<NbdAddress> {
    const server = createServer({
      pauseOnConnect: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: keepAliveMs,
    });
    server.on('connection', (socket) => this.#accept(socket, address));
    if (address.kind === 'unix') {
      await removeStale(address.path);
      await listening(server, () => {
        // The socket is the owner's alone from its first moment on.
        const before = process.umask(0o177);
        try {
          server.listen({ path: address.path, backlog });
        } finally {
          process.umask(before);
        }
      });
    } else await listening(server, () => server.listen({ host: address.host, port: address.port, backlog }));
    this.#servers.push(server);
    const bound = server.address();
    return address.kind === 'tcp' && bound !== null && typeof bound === 'object'
      ? { ...address, port: bound.port }
      : address;
  }

  /** Takes nobody any more, answers what is under way, and ends. */
  async close(): Promise<void> {
    const closed = this.#servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve)));
    for (const connection of this.#connections) connection.finish();
    while (this.#connections.size > 0) await this.#options.clock.sleep(10);
    await Promise.all(closed);
  }

  #accept(socket: Socket, address: NbdAddress): void {
    const peer = peerOf(socket, address);
    const {
      clock,
      log,
      exports,
      tlsMode = 'off',
      negotiationMs = 20_000,
      connectionsMax = 1024,
      limits,
    } = this.#options;
    if (this.#connections.size >= connectionsMax && !this.#dropNegotiator()) {
      this.refused++;
      socket.destroy();
      this.#tell('WARNING', `a client at ${peer.address} is refused: there are ${connectionsMax} connections`);
      return;
    }
    this.accepted++;
    const options = { exports, clock, tls: this.#tls, tlsMode, negotiationMs, ...(limits ? { limits } : {}) };
    const connection = new Connection(socket, peer, options, (one, why) => {
      this.#connections.delete(one);
      const what = one.exportName === null ? '' : `, export ${one.exportName}`;
      if (why === null) log.write('DEBUG', origin, `the client at ${one.client.address}${what} is gone`);
      else this.#tell('INFO', `the connection of ${one.client.address}${what} ended: ${why}`);
    });
    this.#connections.add(connection);
  }

  /** What clients do is told within bounds: they must not be able to fill a disk with it. */
  #tell(level: LogLevel, text: string): void {
    if (this.#lines.waitMs(1) > 0) {
      this.#untold++;
      return;
    }
    this.#lines.take(1);
    const more = this.#untold === 0 ? '' : ` (${this.#untold} lines before were left out)`;
    this.#untold = 0;
    this.#options.log.write(level, origin, text + more);
  }

  /** The oldest one that has not agreed on anything makes room: whoever opens connections and says nothing locks nobody out. */
  #dropNegotiator(): boolean {
    for (const connection of this.#connections) {
      if (connection.phase !== 'negotiation') continue;
      connection.destroy('others need the room');
      return true;
    }
    return false;
  }
}

function peerOf(socket: Socket, address: NbdAddress): PeerIdentity {
  if (address.kind === 'unix')
    return { kind: 'unix', address: address.path, port: 0, isLocal: true, isLocalRoot: true };
  const host = (socket.remoteAddress ?? '').replace(/^::ffff:/i, '');
  const isLocal = host === '::1' || host.startsWith('127.');
  return { kind: 'tcp', address: host, port: socket.remotePort ?? 0, isLocal, isLocalRoot: false };
}

/** A socket file that nobody listens on any more goes; one in use stays, and listening then fails. */
async function removeStale(path: string): Promise<void> {
  if (!lstatSync(path, { throwIfNoEntry: false })?.isSocket()) return;
  try {
    (await openSocket({ path }, path)).destroy();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ECONNREFUSED') unlinkSync(path);
  }
}
