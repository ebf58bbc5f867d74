/** Objects that many requests want durable at about the same time are made so together: the next ones while the last ones are. */
import { Errno, type Gfid } from '@mortar/core';

const roundMax = 256;

interface Waiting {
  readonly resolve: (errno: number) => void;
  readonly reject: (error: unknown) => void;
}

export class SyncGather {
  /** For each, 0 or the errno. */
  readonly #together: (gfids: readonly Gfid[]) => Promise<number[]>;
  readonly #waiting = new Map<Gfid, Waiting[]>();
  #isRunning = false;

  constructor(together: (gfids: readonly Gfid[]) => Promise<number[]>) {
    this.#together = together;
  }

  /** 0 or the errno. What was written before this call is on disk then. */
  sync(gfid: Gfid): Promise<number> {
    return new Promise((resolve, reject) => {
      const others = this.#waiting.get(gfid);
      if (others) others.push({ resolve, reject });
      else this.#waiting.set(gfid, [{ resolve, reject }]);
      if (this.#isRunning) return;
      this.#isRunning = true;
      // By then all that came with the same packet has asked.
      process.nextTick(() => void this.#run());
    });
  }

  async #run(): Promise<void> {
    while (this.#waiting.size > 0) {
      const round = [...this.#waiting].slice(0, roundMax);
      for (const [gfid] of round) this.#waiting.delete(gfid);
      try {
        const errnos = await this.#together(round.map(([gfid]) => gfid));
        for (const [i, [, all]] of round.entries()) for (const { resolve } of all) resolve(errnos[i] ?? Errno.EIO);
      } catch (error) {
        for (const [, all] of round) for (const { reject } of all) reject(error);
      }
    }
    this.#isRunning = false;
  }
}
