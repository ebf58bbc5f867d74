/** The seam between connections and what carries their bytes. */
import type { TlsSettings } from './tls.ts';

/** Where a peer listens. */
export type Address =
  | { kind: 'tcp'; host: string; port: number; tls?: TlsSettings }
  | {
      kind: 'unix';
      path: string;
      /** When listening: permissions of the socket file; 0600 by default. */
      mode?: number;
    }
  | { kind: 'memory'; name: string };

export function printableAddress(address: Address): string {
  if (address.kind === 'tcp') return `${address.host}:${address.port}`;
  return address.kind === 'unix' ? address.path : `memory:${address.name}`;
}

/** Who is at the other end, as far as the transport knows. */
export interface PeerIdentity {
  kind: Address['kind'];
  /** IP address without port, path of the unix socket, or name in memory. */
  address: string;
  port: number;
  /** On this host. */
  isLocal: boolean;
  /** Came over a unix socket that only root (or who runs this process) can open. */
  isLocalRoot: boolean;
  /** Common name of its certificate; absent without TLS. */
  tlsName?: string;
}

/** Receives what a stream has to tell. */
export interface StreamSink {
  /** Where the next bytes shall be put. Never empty. */
  space(): Uint8Array;
  /** `count` bytes were put at the start of the last `space()`. */
  received(count: number): void;
  /** Some queued bytes were sent. */
  drained(): void;
  /** Once, the last call. */
  closed(error: Error | null): void;
}

/** An ordered, reliable stream of bytes between two processes. */
export interface Stream {
  readonly peer: PeerIdentity;
  /** Bytes written and not yet taken by the peer's side. */
  readonly queuedBytes: number;
  /** Of one large write what is left; absent where the peer's side takes whole writes. */
  readonly underWayBytes?: number;
  /** Begins to read. Once. */
  start(sink: StreamSink): void;
  /** The chunks belong to the stream until `done`, which comes even if the stream breaks. */
  write(chunks: readonly Uint8Array[], done: () => void): void;
  pause(): void;
  resume(): void;
  /** Sends what is queued, then ends. `destroy` drops it. */
  close(): void;
  destroy(): void;
}

export interface Listener {
  /** The real address, also if port 0 was asked for. */
  readonly address: Address;
  /** Stops accepting; accepted streams live on. */
  close(): Promise<void>;
}

export interface Transport {
  connect(address: Address): Promise<Stream>;
  listen(address: Address, onStream: (stream: Stream) => void): Promise<Listener>;
}

/** One transport for several kinds of addresses. */
export function anyTransport(transports: Partial<Record<Address['kind'], Transport>>): Transport {
  const pick = (address: Address): Transport => {
    const transport = transports[address.kind];
    if (!transport) throw new Error(`no transport for ${printableAddress(address)}`);
    return transport;
  };
  return {
    connect: async (address) => pick(address).connect(address),
    listen: async (address, onStream) => pick(address).listen(address, onStream),
  };
}
