/**
 * Makes many objects durable at once: each by itself, or by one sync of the whole file system, which also writes what
 * nobody asked for. Whichever was the faster lately is taken, so a disk with much else to write is not made to.
 */
import type { Clock, Gfid } from '@mortar/core';

export interface SyncHost {
  readonly clock: Pick<Clock, 'nowMs'>;
  /** Before a sync of everything: what the process itself keeps of an object goes to the file system. */
  flush(gfid: Gfid): void;
  /** 0 or the errno. */
  one(gfid: Gfid): Promise<number>;
  /** Whether everything is on disk. */
  all(): Promise<boolean>;
  /** Whether that can still tell: a failure is reported once, and may have been that of an object asked for later. */
  readonly tells: boolean;
}

/** How much the newest measurement counts. */
const weight = 0.3;
/** Fewer are not worth a sync of everything. */
const fewest = 4;
/** Until it was measured: a sync of one object on a disk with a cache of its own. */
const expectedMs = 1;
/** What was slow once is tried again in the end. */
const forgetting = 0.9;

export class SyncTogether {
  readonly #host: SyncHost;
  #oneMs = expectedMs;
  #allMs = 0;

  constructor(host: SyncHost) {
    this.#host = host;
  }

  /** For each, 0 or the errno. What is gone may count as synced. */
  async sync(gfids: readonly Gfid[]): Promise<number[]> {
    if (this.#host.tells && gfids.length >= fewest && this.#allMs <= this.#oneMs * gfids.length) {
      for (const gfid of gfids) this.#host.flush(gfid);
      const [synced, ms] = await this.#timed(() => this.#host.all());
      this.#allMs += weight * (ms - this.#allMs);
      // Else each is asked who it was that failed.
      if (synced) return gfids.map(() => 0);
    }
    this.#allMs *= forgetting;
    const [errnos, ms] = await this.#timed(() => Promise.all(gfids.map((gfid) => this.#host.one(gfid))));
    this.#oneMs += weight * (ms / gfids.length - this.#oneMs);
    return errnos;
  }

  async #timed<T>(run: () => Promise<T>): Promise<[T, number]> {
    const begun = this.#host.clock.nowMs();
    const result = await run();
    return [result, this.#host.clock.nowMs() - begun];
  }
}
