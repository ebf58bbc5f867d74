/** Listens for clients that speak TLS: all of them, or those that begin with it. */
import { createServer, type Server, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import type { Clock } from '@mortar/core';
import type { Address, Listener, PeerIdentity, Stream, Transport } from '@mortar/rpc/stream.ts';
import { NodeStream } from '@mortar/rpc/transports/node-stream.ts';
import { listenerOf, listening, tcpTransport } from '@mortar/rpc/transports/tcp.ts';
import { DuplexStream } from '../../nbd/duplex-stream.ts';
import type { TlsServer } from '../../nbd/tls.ts';
import { channelOf, secure } from './secured.ts';

export interface TlsTransportOptions {
  readonly clock: Clock;
  readonly mode: 'allowed' | 'required';
  /** The certificates and keys of now. */
  readonly tls: () => TlsServer;
  readonly refused: (address: string, why: string) => void;
}

/** The first byte of a TLS connection; one of ours begins with the type of its first frame. */
const handshakeRecord = 22;
const handshakeMs = 10_000;
/** Connections that are not through their handshake. */
const shakingMax = 256;
const backlog = 1024;
/** Idle for so long, the kernel asks whether there is still somebody. */
const keepAliveMs = 20_000;

export function tlsTransport(options: TlsTransportOptions): Transport {
  return {
    connect: (address) => tcpTransport().connect(address),
    async listen(address: Address, onStream: (stream: Stream) => void): Promise<Listener> {
      if (address.kind !== 'tcp') throw new Error('TLS goes over TCP');
      const gate = new Gate(options, onStream);
      const server: Server = createServer({ pauseOnConnect: true }, (socket) => gate.accept(socket));
      await listening(server, () => server.listen({ host: address.host, port: address.port, backlog }));
      const bound = server.address();
      const port = bound !== null && typeof bound === 'object' ? bound.port : address.port;
      const listener = listenerOf(server, { kind: 'tcp', host: address.host, port });
      const close = () => {
        const closed = listener.close();
        gate.close();
        return closed;
      };
      return { address: listener.address, close };
    },
  };
}

class Gate {
  readonly #options: TlsTransportOptions;
  readonly #onStream: (stream: Stream) => void;
  /** How each connection that is not through is refused. */
  readonly #shaking = new Set<(why: string) => void>();

  constructor(options: TlsTransportOptions, onStream: (stream: Stream) => void) {
    this.#options = options;
    this.#onStream = onStream;
  }

  /** Who is not through their handshake keep nobody waiting. */
  close(): void {
    for (const refuse of this.#shaking) refuse('the server ends');
  }

  accept(socket: Socket): void {
    const address = (socket.remoteAddress ?? '').replace(/^::ffff:/i, '');
    const peer: PeerIdentity = {
      kind: 'tcp',
      address,
      port: socket.remotePort ?? 0,
      isLocal: false,
      isLocalRoot: false,
    };
    if (this.#shaking.size >= shakingMax) {
      socket.destroy();
      return;
    }
    socket.setNoDelay(true);
    // Who is gone without a word is told from who has nothing to say: a session has what it opened as long as it is connected.
    socket.setKeepAlive(true, keepAliveMs);
    let isOver = false;
    const over = () => {
      if (isOver) return false;
      isOver = true;
      this.#shaking.delete(refuse);
      timer.cancel();
      socket.removeListener('error', onError);
      socket.removeListener('close', onClose);
      return true;
    };
    const refuse = (why: string) => {
      if (over()) this.#options.refused(`${address}:${peer.port}`, why);
      // Errors of a connection that was refused are nobody's any more.
      socket.on('error', () => undefined);
      socket.destroy();
    };
    this.#shaking.add(refuse);
    const onError = (error: Error) => refuse(error.message);
    const onClose = () => refuse('it went before it said anything');
    socket.on('error', onError);
    socket.on('close', onClose);
    const timer = this.#options.clock.after(handshakeMs, () => refuse('no TLS handshake in time'));
    const pass = (stream: Stream) => {
      if (over()) this.#onStream(stream);
    };
    if (this.#options.mode === 'required') {
      this.#shake(socket, socket, peer, pass, refuse);
      return;
    }
    socket.once('data', (first: Buffer) => {
      socket.pause();
      if (first[0] === handshakeRecord) {
        this.#shake(socket, new Rest(socket, first), peer, pass, refuse);
        return;
      }
      socket.unshift(first);
      pass(new DuplexStream(socket, peer));
    });
    socket.resume();
  }

  #shake(
    socket: Socket,
    duplex: Duplex,
    peer: PeerIdentity,
    pass: (stream: Stream) => void,
    refuse: (why: string) => void,
  ): void {
    const ready: Parameters<TlsServer['accept']>[1] = (tls, { name }) => {
      tls.pause();
      const stream = new NodeStream(tls, name === null ? peer : { ...peer, tlsName: name });
      secure(stream, { name, channel: channelOf(tls) });
      tls.on('close', () => socket.destroy());
      pass(stream);
    };
    const tls = this.#options.tls().accept(duplex, ready, refuse);
    tls.on('error', (error) => refuse(explained(error, this.#options.mode)));
  }
}

function explained({ message }: Error, mode: 'allowed' | 'required'): string {
  const isNone = /wrong version number|http request|unknown protocol|packet length too long/i.test(message);
  return isNone && mode === 'required' ? 'it does not speak TLS, which is required here' : `TLS failed: ${message}`;
}

/** A socket of which the beginning was read. */
class Rest extends Duplex {
  readonly #socket: Socket;

  constructor(socket: Socket, first: Buffer) {
    super({ allowHalfOpen: false });
    this.#socket = socket;
    this.push(first);
    socket.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) socket.pause();
    });
    socket.on('end', () => this.push(null));
    socket.on('close', () => this.destroy());
    socket.on('error', (error) => this.destroy(error));
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#socket.write(chunk, done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }
}
