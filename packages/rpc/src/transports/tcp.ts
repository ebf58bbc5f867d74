import { createServer, type Server, Socket, type SocketConnectOpts } from 'node:net';
import { isLoopback } from '@mortar/core';
import {
  type Address,
  type Listener,
  type PeerIdentity,
  printableAddress,
  type Stream,
  type Transport,
} from '../stream.ts';
import type { TlsSettings } from '../tls.ts';
import { NodeStream } from './node-stream.ts';

/** Seconds that an idle connection lives before the kernel probes it. */
const keepAliveMs = 20_000;
const connectTimeoutMs = 10_000;
const backlog = 1024;

/** `::ffff:10.0.0.1` is `10.0.0.1`. */
function plainAddress(address: string | undefined): string {
  return (address ?? '').replace(/^::ffff:/i, '');
}

function peerOf(socket: Socket, tlsName?: string): PeerIdentity {
  const address = plainAddress(socket.remoteAddress);
  const isLocal = isLoopback(address) || address === plainAddress(socket.localAddress);
  const peer = { kind: 'tcp', address, port: socket.remotePort ?? 0, isLocal, isLocalRoot: false } as const;
  return tlsName === undefined ? peer : { ...peer, tlsName };
}

/** Connects a socket and leaves it paused, so that no byte is read before there is a reader. */
export function openSocket(options: SocketConnectOpts, where: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = new Socket();
    socket.pause();
    const fail = (error: Error) => {
      socket.destroy();
      reject(error);
    };
    const onTimeout = () =>
      fail(
        Object.assign(new Error(`connecting to ${where} timed out after ${connectTimeoutMs} ms`), {
          code: 'ETIMEDOUT',
        }),
      );
    socket.setTimeout(connectTimeoutMs, onTimeout);
    socket.once('error', fail);
    socket.connect(options, () => {
      socket.setTimeout(0);
      socket.removeListener('timeout', onTimeout);
      socket.removeListener('error', fail);
      resolve(socket);
    });
  });
}

export function listening(server: Server, listen: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.once('listening', () => {
      server.removeListener('error', reject);
      // Errors of accept(2), for example no free descriptors: the connection is lost, the listener lives.
      server.on('error', () => undefined);
      resolve();
    });
    listen();
  });
}

export function listenerOf(server: Server, address: Address): Listener {
  return {
    address,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

export interface TcpOptions {
  /** Local address to connect from. */
  localAddress?: string;
  keepAliveMs?: number;
  /** For addresses that say nothing of TLS themselves. */
  tls?: TlsSettings;
  /** Somebody's handshake failed: who, and why. */
  refused?(address: string, reason: string): void;
}

export function tcpTransport(options: TcpOptions = {}): Transport {
  const prepare = (socket: Socket): Socket => {
    socket.setNoDelay(true);
    socket.setKeepAlive(true, options.keepAliveMs ?? keepAliveMs);
    return socket;
  };
  return {
    async connect(address: Address): Promise<Stream> {
      if (address.kind !== 'tcp') throw new Error(`${printableAddress(address)} is no TCP address`);
      const { host, port } = address;
      const local = options.localAddress === undefined ? {} : { localAddress: options.localAddress };
      const socket = prepare(await openSocket({ host, port, ...local }, printableAddress(address)));
      const tls = address.tls ?? options.tls;
      if (!tls) return new NodeStream(socket, peerOf(socket));
      const { secureClient } = await import('./tls.ts');
      const secured = await secureClient(socket, tls, printableAddress(address));
      return new NodeStream(secured.socket, peerOf(socket, secured.name));
    },

    async listen(address: Address, onStream: (stream: Stream) => void): Promise<Listener> {
      if (address.kind !== 'tcp') throw new Error(`${printableAddress(address)} is no TCP address`);
      const tls = address.tls ?? options.tls;
      const accept = (socket: Socket, name?: string) => onStream(new NodeStream(prepare(socket), peerOf(socket, name)));
      const server = tls
        ? await (await import('./tls.ts')).secureServer(
            tls,
            ({ socket, name }) => accept(socket, name),
            (from, reason) => options.refused?.(plainAddress(from), reason),
          )
        : createServer({ pauseOnConnect: true }, (socket) => accept(socket));
      await listening(server, () => server.listen({ host: address.host, port: address.port, backlog }));
      const bound = server.address();
      const port = bound !== null && typeof bound === 'object' ? bound.port : address.port;
      return listenerOf(server, { kind: 'tcp', host: address.host, port });
    },
  };
}
