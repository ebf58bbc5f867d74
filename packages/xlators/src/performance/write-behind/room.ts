/** How much is answered ahead, and how it is sent. */
export interface Settings {
  /** Bytes of one file. */
  windowBytes: number;
  aggregateBytes: number;
  /** A lone small write is sent at once. */
  trickles: boolean;
  isStrictlyOrdered: boolean;
}

const totalBytes = 64 * 2 ** 20;

/** What all files together may be ahead; and who waits for that. */
export class Room {
  settings: Settings;
  /** Nothing is answered ahead any more. */
  isClosed = false;
  #bytes = 0;
  readonly #waiting = new Set<() => void>();

  constructor(settings: Settings) {
    this.settings = settings;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get hasSome(): boolean {
    return !this.isClosed && this.#bytes < totalBytes;
  }

  take(bytes: number): void {
    this.#bytes += bytes;
  }

  give(bytes: number): void {
    const wasFull = this.#bytes >= totalBytes;
    this.#bytes -= bytes;
    if (wasFull) for (const wake of [...this.#waiting]) wake();
  }

  /** `wake` is called whenever there is room again, until `forget`. */
  wait(wake: () => void): void {
    this.#waiting.add(wake);
  }

  forget(wake: () => void): void {
    this.#waiting.delete(wake);
  }
}
