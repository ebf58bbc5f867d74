/**
 * Which clients asked for the locks of a file lately. A client that is alone with a file may send what it wants to do under the
 * lock along with the request for it; two that do so at once each begin on another brick (docs/replicate.md).
 */
import type { Clock } from '@mortar/core';

/** Files that are remembered; of those beyond, the ones asked about longest ago are forgotten. */
const filesMax = 8192;
/** So long after another client has asked for it a file counts as shared, in milliseconds. */
export const quietMs = 10_000;

interface Visits {
  client: string;
  seenMs: number;
  /** When a client other than `client` was last here. */
  otherMs: number;
}

export class RecentClients {
  readonly #clock: Pick<Clock, 'nowMs'>;
  /** From the one that was longest not asked for. */
  readonly #files = new Map<string, Visits>();

  constructor(clock: Pick<Clock, 'nowMs'>) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#files.size;
  }

  /** A client asks for a lock: whether another one did so lately. */
  isShared(file: string, client: string): boolean {
    const now = this.#clock.nowMs();
    const known = this.#files.get(file);
    const otherMs = !known ? Number.NEGATIVE_INFINITY : known.client === client ? known.otherMs : known.seenMs;
    this.#files.delete(file);
    this.#files.set(file, { client, seenMs: now, otherMs });
    if (this.#files.size > filesMax) this.#files.delete(this.#files.keys().next().value!);
    return now - otherMs < quietMs;
  }
}
