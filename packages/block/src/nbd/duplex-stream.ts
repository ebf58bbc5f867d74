/** A Stream over any Duplex of Node: what TLS gives. Costs one copy more than a socket does. */
import type { Duplex } from 'node:stream';
import type { PeerIdentity, Stream, StreamSink } from '@mortar/rpc/stream.ts';

export class DuplexStream implements Stream {
  readonly peer: PeerIdentity;
  readonly #duplex: Duplex;
  #error: Error | null = null;

  /** `duplex` is paused. */
  constructor(duplex: Duplex, peer: PeerIdentity) {
    this.#duplex = duplex;
    this.peer = peer;
    duplex.on('error', (error) => {
      this.#error = error;
    });
  }

  get queuedBytes(): number {
    return this.#duplex.writableLength;
  }

  start(sink: StreamSink): void {
    const duplex = this.#duplex;
    duplex.on('data', (data: Buffer) => {
      for (let at = 0; at < data.length; ) {
        const space = sink.space();
        const count = Math.min(space.length, data.length - at);
        space.set(data.subarray(at, at + count));
        at += count;
        sink.received(count);
      }
    });
    duplex.on('drain', () => sink.drained());
    duplex.on('close', () => sink.closed(this.#error));
    if (duplex.destroyed) process.nextTick(() => sink.closed(this.#error));
    duplex.resume();
  }

  write(chunks: readonly Uint8Array[], done: () => void): void {
    const duplex = this.#duplex;
    duplex.cork();
    chunks.forEach((chunk, i) => void duplex.write(chunk, i === chunks.length - 1 ? () => done() : undefined));
    duplex.uncork();
  }

  pause(): void {
    this.#duplex.pause();
  }

  resume(): void {
    this.#duplex.resume();
  }

  close(): void {
    this.#duplex.end(() => this.#duplex.destroy());
  }

  destroy(): void {
    this.#duplex.destroy();
  }
}
