/** Translators that have left a graph which goes on: they end when the requests that were in them are over, or have had their time. */
import type { Services, Xlator } from '@mortar/core';

interface Leaving {
  readonly cancel: () => void;
  readonly end: () => Promise<void>;
}

export class Departed {
  readonly #leaving = new Set<Leaving>();

  /** After a while: nobody counts the requests of one translator. Parents first. */
  end(xlators: readonly Xlator[], services: Services, afterMs: number): void {
    if (xlators.length === 0) return;
    const parentsFirst = [...xlators].reverse();
    const one: Leaving = {
      cancel: () => timer.cancel(),
      end: async () => {
        this.#leaving.delete(one);
        for (const xlator of parentsFirst) await endOne(xlator);
      },
    };
    const timer = services.clock.after(afterMs, () => void one.end());
    this.#leaving.add(one);
  }

  /** Now. */
  async endAll(): Promise<void> {
    for (const one of [...this.#leaving]) {
      one.cancel();
      await one.end();
    }
  }
}

async function endOne(xlator: Xlator): Promise<void> {
  const { log, inodes } = xlator.services;
  try {
    await xlator.drain();
    await xlator.fini();
  } catch (error) {
    log.write('ERROR', xlator.name, `while it is ended: ${(error as Error).stack}`);
  }
  inodes.freeSlot(xlator.slot);
}
