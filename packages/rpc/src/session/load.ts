/** How much of one client's a brick has under way, and whether it is read from for that. Locks that wait are counted apart: they may wait for ever. */
import type { ServerSessionLimits } from './limits.ts';

/** What the client is read by. */
export interface Reader {
  pauseReading(): void;
  resumeReading(): void;
}

/** Held back, a client is read from again at three quarters: stopping and starting to read has its price too. */
const goOnShare = 0.75;

export class Load {
  readonly #limits: ServerSessionLimits;
  #reader: Reader | null = null;
  #counted = 0;
  #bytes = 0;
  #locks = 0;
  #holdsBack = false;

  constructor(limits: ServerSessionLimits) {
    this.#limits = limits;
  }

  /** No further lock may wait. */
  get hasAllLocks(): boolean {
    return this.#locks >= this.#limits.lockWaiters;
  }

  /** Another connection of the client, which nobody has paused so far. */
  readBy(reader: Reader): void {
    this.#reader = reader;
    this.#holdsBack = false;
    this.#adjust();
  }

  unread(): void {
    this.#reader = null;
  }

  /** A request with so many bytes of payload begins (1) or has ended (-1). */
  count(isLock: boolean, bytes: number, by: 1 | -1): void {
    if (isLock) this.#locks += by;
    else this.#counted += by;
    this.#bytes += by * bytes;
    this.#adjust();
  }

  #adjust(): void {
    const { outstanding, outstandingBytes } = this.#limits;
    const share = this.#holdsBack ? goOnShare : 1;
    const isFull = this.#counted >= share * outstanding || this.#bytes >= share * outstandingBytes;
    if (isFull === this.#holdsBack || !this.#reader) return;
    this.#holdsBack = isFull;
    if (isFull) this.#reader.pauseReading();
    else this.#reader.resumeReading();
  }
}
