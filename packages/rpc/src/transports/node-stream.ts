/** What tcp and unix sockets share: a Stream over a connected socket of node:net. */
import { Socket, type SocketConstructorOpts } from 'node:net';
import type { PeerIdentity, Stream, StreamSink } from '../stream.ts';

interface Handle {
  readonly writeQueueSize?: number;
  /** Of TLS, which gives all of a write at once to what is below it. */
  readonly _parent?: Handle;
}

interface WithHandle {
  _handle: Handle | null;
}

/**
 * Reads of node:net normally allocate a buffer each. With `onread` as a function they land where the frame reader wants
 * them; that can only be said when a socket is made, so the handle of a connected, paused socket moves to a new Socket.
 */
function rewrap(connected: Socket, sink: StreamSink): Socket | null {
  const inner = connected as unknown as WithHandle;
  const handle = inner._handle;
  if (!handle) return null;
  inner._handle = null;
  connected.removeAllListeners();
  connected.on('error', () => undefined);
  connected.destroy();
  const options = {
    handle,
    onread: {
      buffer: () => sink.space(),
      callback: (count: number) => {
        sink.received(count);
        return true;
      },
    },
  };
  return new Socket(options as SocketConstructorOpts);
}

/** The public way, with one copy more: for a Node that keeps its handles elsewhere. */
function pump(socket: Socket, sink: StreamSink): void {
  socket.on('data', (data: Buffer) => {
    for (let at = 0; at < data.length; ) {
      const space = sink.space();
      const count = Math.min(space.length, data.length - at);
      space.set(data.subarray(at, at + count));
      at += count;
      sink.received(count);
    }
  });
}

export class NodeStream implements Stream {
  readonly peer: PeerIdentity;
  #socket: Socket;
  #sink: StreamSink | null = null;
  #error: Error | null = null;

  /** `connected` is paused. */
  constructor(connected: Socket, peer: PeerIdentity) {
    this.peer = peer;
    this.#socket = connected;
    connected.on('error', this.#onError);
  }

  readonly #onError = (error: Error): void => {
    this.#error = error;
  };

  get queuedBytes(): number {
    return this.#socket.writableLength;
  }

  /** What Node itself looks at for `setTimeout` of a socket. */
  get underWayBytes(): number {
    const { _handle: handle } = this.#socket as unknown as WithHandle;
    return (handle?._parent ?? handle)?.writeQueueSize ?? 0;
  }

  start(sink: StreamSink): void {
    this.#sink = sink;
    if (this.#socket.destroyed) {
      process.nextTick(() => this.#finish());
      return;
    }
    // Bytes of TLS come from above the handle.
    const rewrapped = 'encrypted' in this.#socket ? null : rewrap(this.#socket, sink);
    if (rewrapped) this.#socket = rewrapped;
    else pump(this.#socket, sink);
    const socket = this.#socket;
    socket.on('error', this.#onError);
    socket.on('drain', () => sink.drained());
    socket.on('close', () => this.#finish());
    socket.resume();
  }

  #finish(): void {
    const sink = this.#sink;
    this.#sink = null;
    sink?.closed(this.#error);
  }

  write(chunks: readonly Uint8Array[], done: () => void): void {
    const socket = this.#socket;
    const last = chunks.length - 1;
    if (last < 0) done();
    else if (last === 0) socket.write(chunks[0]!, done);
    else {
      socket.cork();
      for (let i = 0; i < last; i++) socket.write(chunks[i]!);
      socket.write(chunks[last]!, done);
      socket.uncork();
    }
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  close(): void {
    // A peer that does not read must not keep a closed connection alive: what is queued is bounded, and so is the wait.
    this.#socket.destroySoon();
  }

  destroy(): void {
    this.#socket.destroy();
  }
}
