/** One NBD connection: the handshake on the plain socket, TLS where it is asked for, then the transmission. */
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Clock, Timer } from '@mortar/core';
import type { PeerIdentity, Stream } from '@mortar/rpc/stream.ts';
import { NodeStream } from '@mortar/rpc/transports/node-stream.ts';
import { DuplexStream } from './duplex-stream.ts';
import type { Client, ExportSource } from './exports.ts';
import { type Agreement, Negotiation, type Outcome } from './negotiation.ts';
import type { TlsServer } from './tls.ts';
import { Transmission, type TransmissionLimits } from './transmission.ts';

export interface ConnectionOptions {
  readonly exports: ExportSource;
  readonly clock: Clock;
  readonly tls: TlsServer | null;
  readonly tlsMode: 'off' | 'allowed' | 'required';
  readonly negotiationMs: number;
  readonly limits?: TransmissionLimits;
}

/** After it was closed, a connection whose client does not read is dropped. */
const lingerMs = 2000;
/** Answers that a client may leave unread while it negotiates. */
const unreadMaxBytes = 1024 * 1024;

export type Phase = 'negotiation' | 'transmission' | 'closed';

export class Connection {
  readonly peer: PeerIdentity;
  client: Client;
  phase: Phase = 'negotiation';
  /** The export in use. */
  exportName: string | null = null;
  readonly #options: ConnectionOptions;
  readonly #ended: (connection: Connection, why: string | null) => void;
  /** The socket, or TLS over it. */
  #duplex: Duplex;
  readonly #socket: Socket;
  #negotiation: Negotiation;
  #transmission: Transmission | null = null;
  #stream: Stream | null = null;
  #timer: Timer | undefined;
  #isEnded = false;

  /** `ended` once, with the reason unless the client went in good order. */
  constructor(
    socket: Socket,
    peer: PeerIdentity,
    options: ConnectionOptions,
    ended: (connection: Connection, why: string | null) => void,
  ) {
    this.peer = peer;
    this.#options = options;
    this.#ended = ended;
    this.#socket = socket;
    this.#duplex = socket;
    const address = peer.kind === 'unix' ? peer.address : `${peer.address}:${peer.port}`;
    this.client = { address, identity: null, isLocalRoot: peer.isLocalRoot };
    this.#timer = options.clock.after(options.negotiationMs, () =>
      this.#destroy(`it had not agreed on anything after ${options.negotiationMs / 1000} s`),
    );
    this.#negotiation = this.#negotiate(false, null);
    this.#listen(socket);
  }

  get underWay(): { requests: number; bytes: number } {
    return this.#transmission?.underWay ?? { requests: 0, bytes: 0 };
  }

  /** Answers what is under way, then closes. */
  finish(): void {
    if (this.#transmission) this.#transmission.finish();
    else this.#close('the server ends');
    this.#dropAfter(lingerMs);
  }

  destroy(why: string): void {
    this.#destroy(why);
  }

  #negotiate(secured: boolean, clientFlags: number | null): Negotiation {
    const { exports, tlsMode } = this.#options;
    const send = (bytes: Buffer) => {
      this.#duplex.write(bytes);
      if (this.#duplex.writableLength > unreadMaxBytes) this.#destroy('it does not read what it asked for');
    };
    return new Negotiation({ exports, client: this.client, tls: tlsMode, secured, send }, clientFlags);
  }

  #listen(duplex: Duplex): void {
    duplex.on('data', this.#onData);
    duplex.on('error', this.#onError);
    duplex.on('end', this.#onFinish);
    duplex.on('close', this.#onClose);
    duplex.resume();
  }

  readonly #onError = (error: Error): void => this.#destroy(error.message);
  readonly #onFinish = (): void => this.#close(null);
  readonly #onClose = (): void => this.#end(null);

  readonly #onData = (chunk: Buffer): void => {
    if (this.phase === 'negotiation') this.#follow(this.#negotiation.feed(chunk));
  };

  #follow(outcome: Outcome): void {
    if (outcome.kind === 'close') this.#close(outcome.why);
    else if (outcome.kind === 'tls') this.#startTls();
    else if (outcome.kind === 'go') this.#agreed(outcome.agreement, outcome.rest);
  }

  #startTls(): void {
    const socket = this.#socket;
    socket.removeListener('data', this.#onData);
    const { clientFlags } = this.#negotiation;
    const secured = (tls: Duplex, { name }: { name: string | null }) => {
      this.client = { ...this.client, identity: name };
      this.#duplex = tls;
      // Nothing that was said in clear counts.
      this.#negotiation = this.#negotiate(true, clientFlags);
      this.#listen(tls);
    };
    const tls = this.#options.tls!.accept(socket, secured, (why) => this.#destroy(why));
    tls.on('error', (error) => this.#destroy(`TLS failed: ${error.message}`));
    tls.on('close', this.#onClose);
  }

  /** The connection changes hands when all answers have left: what is queued stays with the old socket. */
  #agreed(agreement: Agreement, rest: Buffer): void {
    const duplex = this.#duplex;
    this.phase = 'transmission';
    this.exportName = agreement.opened.name;
    if (duplex.writableLength === 0) {
      this.#transmit(agreement, rest);
      return;
    }
    duplex.pause();
    duplex.removeListener('data', this.#onData);
    duplex.write(Buffer.alloc(0), (error) => {
      if (error || this.#isEnded) {
        agreement.opened.release();
        return;
      }
      const more = (duplex.read() as Buffer | null) ?? Buffer.alloc(0);
      this.#transmit(agreement, Buffer.concat([rest, more]));
    });
  }

  #transmit(agreement: Agreement, rest: Buffer): void {
    this.#timer?.cancel();
    const duplex = this.#duplex;
    const isPlain = duplex === this.#socket;
    duplex.removeListener('data', this.#onData);
    // From here on the stream tells of the end.
    for (const one of [duplex, this.#socket]) {
      one.removeListener('end', this.#onFinish);
      one.removeListener('close', this.#onClose);
    }
    const stream = isPlain ? new NodeStream(this.#socket, this.peer) : new DuplexStream(duplex, this.peer);
    this.#stream = stream;
    this.#transmission = new Transmission({
      agreement,
      stream,
      ...(this.#options.limits ? { limits: this.#options.limits } : {}),
      later: setImmediate,
      ended: (why) => {
        agreement.opened.release();
        this.#end(why);
      },
    });
    this.#transmission.start(rest);
  }

  /** What was answered still leaves. */
  #close(why: string | null): void {
    if (this.phase !== 'negotiation') return;
    this.phase = 'closed';
    this.#duplex.end();
    this.#dropAfter(lingerMs);
    this.#end(why, false);
  }

  #dropAfter(ms: number): void {
    this.#timer?.cancel();
    this.#timer = this.#options.clock.after(ms, () => this.#destroy('it did not close'));
  }

  #destroy(why: string): void {
    const transmission = this.#transmission;
    if (this.#stream) this.#stream.destroy();
    this.#duplex.destroy();
    this.#socket.destroy();
    // A transmission says itself when its last request has ended.
    if (!transmission) this.#end(why);
  }

  #end(why: string | null, gone = true): void {
    if (gone) this.#timer?.cancel();
    if (gone) this.phase = 'closed';
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#ended(this, why);
  }
}
