/**
 * Where the bytes of a connection are received: one fixed buffer, small enough for the processor's caches, parsed in place. A request that is still being served may
 * go on using its payload there; the buffer is then filled further behind it, and another one is taken when it is full.
 */

export const receiveBytes = 128 * 1024;
/** Less room than this at the end of a buffer is not worth a system call. */
const roomMinBytes = 16 * 1024;
const sparesMax = 4;

export class Pinned {
  readonly bytes: Buffer;
  /** Requests that use a part of it. */
  pins = 0;

  constructor(size = receiveBytes) {
    this.bytes = Buffer.allocUnsafeSlow(size);
  }
}

/** Buffers of connections that are gone serve those that come. */
const free: Pinned[] = [];
const freeMax = 16;

export class ReceiveBuffer {
  #current = free.pop() ?? new Pinned();
  #start = 0;
  #end = 0;
  /** Spares, of this connection: what was pinned comes back. */
  readonly #spare: Pinned[] = [];

  get bytes(): Buffer {
    return this.#current.bytes;
  }

  /** The first byte that was not consumed. */
  get start(): number {
    return this.#start;
  }

  get available(): number {
    return this.#end - this.#start;
  }

  /** Where to receive. */
  space(): Buffer {
    return this.#current.bytes.subarray(this.#end);
  }

  filled(count: number): void {
    this.#end += count;
  }

  consume(count: number): void {
    this.#start += count;
  }

  /** Keeps what was consumed from the current buffer until it is let go. */
  pin(): Pinned {
    this.#current.pins++;
    return this.#current;
  }

  unpin(pinned: Pinned): void {
    pinned.pins--;
    const isSpare = pinned.pins === 0 && pinned !== this.#current && pinned.bytes.length === receiveBytes;
    if (isSpare && this.#spare.length < sparesMax) this.#spare.push(pinned);
  }

  /**
   * Makes room for the next bytes, so that `wanted` ones from `start` on fit. What `space` gave before is not valid any more.
   * There is always some room: of a connection that is not read from any more, what was still on its way makes it larger.
   */
  makeRoom(wanted: number): void {
    const left = this.available;
    const isPinned = this.#current.pins > 0;
    if (left === 0 && !isPinned && this.bytes.length === receiveBytes && wanted <= receiveBytes) {
      this.#start = 0;
      this.#end = 0;
      return;
    }
    const room = this.bytes.length - this.#end;
    if (room >= roomMinBytes && this.bytes.length - this.#start >= wanted) return;
    const from = this.bytes;
    const size = Math.max(receiveBytes, wanted, left + roomMinBytes);
    if (size > receiveBytes) this.#current = new Pinned(size);
    else if (isPinned || from.length > receiveBytes) this.#current = this.#spare.pop() ?? new Pinned();
    from.copy(this.bytes, 0, this.#start, this.#end);
    this.#start = 0;
    this.#end = left;
  }

  /** The connection is gone. */
  end(): void {
    if (this.#current.pins === 0 && this.bytes.length === receiveBytes && free.length < freeMax)
      free.push(this.#current);
    this.#current = ended;
    this.#start = 0;
    this.#end = 0;
  }
}

/** Takes what comes to connections that are gone. */
const ended = new Pinned();
