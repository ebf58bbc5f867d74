/**
 * Streams between parties of one process, in order and byte by byte as sockets are. Without a policy a write arrives
 * in a microtask; a simulation gives a policy that delays, holds back or cuts.
 */
import {
  type Address,
  type Listener,
  printableAddress,
  type Stream,
  type StreamSink,
  type Transport,
} from '../stream.ts';

/** Decides when bytes arrive. Deliveries of one direction keep their order whatever the policy does. */
export interface MemoryPolicy {
  /** Calls `deliver` when the bytes shall arrive; never calling it is a silent link. */
  transfer(from: MemoryStream, bytes: number, deliver: () => void): void;
  /** Throws to refuse a connection. */
  connect?(address: Address): Promise<void>;
}

const immediately: MemoryPolicy = { transfer: (_from, _bytes, deliver) => queueMicrotask(deliver) };

interface Parcel {
  bytes: Buffer;
  done: () => void;
  /** The end of the stream. */
  last: boolean;
}

export class MemoryStream implements Stream {
  readonly peer: Stream['peer'];
  readonly #policy: MemoryPolicy;
  #other: MemoryStream | null = null;
  #sink: StreamSink | null = null;
  #isStarted = false;
  #isPaused = false;
  #isClosed = false;
  /** Sent by the other side: arrived ones wait for a reader, the others for the policy. */
  #inbox: Parcel[] = [];
  #arrived = 0;
  #queued = 0;

  constructor(name: string, policy: MemoryPolicy) {
    this.peer = { kind: 'memory', address: name, port: 0, isLocal: true, isLocalRoot: true };
    this.#policy = policy;
  }

  static pair(name: string, policy: MemoryPolicy = immediately): [MemoryStream, MemoryStream] {
    const a = new MemoryStream(name, policy);
    const b = new MemoryStream(name, policy);
    a.#other = b;
    b.#other = a;
    return [a, b];
  }

  get queuedBytes(): number {
    return this.#queued;
  }

  start(sink: StreamSink): void {
    this.#sink = sink;
    this.#isStarted = true;
    if (this.#isClosed) queueMicrotask(() => this.#report(null));
    else queueMicrotask(() => this.#drain());
  }

  write(chunks: readonly Uint8Array[], done: () => void): void {
    if (this.#isClosed || !this.#other) {
      queueMicrotask(done);
      return;
    }
    this.#send({ bytes: Buffer.concat(chunks), done, last: false });
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    queueMicrotask(() => this.#drain());
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#send({ bytes: Buffer.alloc(0), done: () => undefined, last: true });
    queueMicrotask(() => this.#report(null));
  }

  destroy(): void {
    this.close();
  }

  /** Both ends see the link break now; what is under way is lost. For tests and simulations. */
  cut(): void {
    const error = Object.assign(new Error('the link was cut'), { code: 'ECONNRESET' });
    for (const end of [this, this.#other]) {
      if (!end || end.#isClosed) continue;
      end.#isClosed = true;
      for (const parcel of end.#inbox.splice(0)) parcel.done();
      end.#arrived = 0;
      queueMicrotask(() => end.#report(error));
    }
  }

  #send(parcel: Parcel): void {
    const other = this.#other!;
    this.#queued += parcel.bytes.length;
    other.#inbox.push(parcel);
    this.#policy.transfer(this, parcel.bytes.length, () => {
      other.#arrived++;
      other.#drain();
    });
  }

  #drain(): void {
    while (this.#arrived > 0 && this.#isStarted && !this.#isPaused && !this.#isClosed) {
      this.#arrived--;
      const parcel = this.#inbox.shift();
      if (!parcel) return;
      if (parcel.last) {
        this.#isClosed = true;
        this.#report(null);
        return;
      }
      this.#consume(parcel);
    }
  }

  #consume(parcel: Parcel): void {
    const { bytes } = parcel;
    for (let at = 0; at < bytes.length && this.#sink && !this.#isClosed; ) {
      const space = this.#sink.space();
      const count = Math.min(space.length, bytes.length - at);
      space.set(bytes.subarray(at, at + count));
      at += count;
      this.#sink.received(count);
    }
    const other = this.#other!;
    other.#queued -= bytes.length;
    parcel.done();
    other.#sink?.drained();
  }

  #report(error: Error | null): void {
    const sink = this.#sink;
    this.#sink = null;
    for (const parcel of this.#inbox.splice(0)) parcel.done();
    this.#arrived = 0;
    sink?.closed(error);
  }
}

/** A network of its own: addresses of one instance are not seen by another. */
export class MemoryTransport implements Transport {
  readonly #listeners = new Map<string, (stream: Stream) => void>();
  readonly #policy: MemoryPolicy;
  /** The connecting ends, for tests that break links. */
  readonly links = new Set<MemoryStream>();

  constructor(policy: MemoryPolicy = immediately) {
    this.#policy = policy;
  }

  async connect(address: Address): Promise<Stream> {
    await this.#policy.connect?.(address);
    const accept = this.#listeners.get(printableAddress(address));
    if (!accept)
      throw Object.assign(new Error(`nobody listens on ${printableAddress(address)}`), { code: 'ECONNREFUSED' });
    const [near, far] = MemoryStream.pair(printableAddress(address), this.#policy);
    this.links.add(near);
    accept(far);
    return near;
  }

  async listen(address: Address, onStream: (stream: Stream) => void): Promise<Listener> {
    const key = printableAddress(address);
    if (this.#listeners.has(key)) throw Object.assign(new Error(`${key} is in use`), { code: 'EADDRINUSE' });
    this.#listeners.set(key, onStream);
    return {
      address,
      close: async () => {
        this.#listeners.delete(key);
      },
    };
  }
}
