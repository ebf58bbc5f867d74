/**
 * Brings data to stable storage for many at once: who asks while a sync runs waits for the next one, together with all others
 * who did. After a sync has failed nobody knows what is on the disk (the kernel takes the pages for clean and would call the
 * next sync a success), so all later ones fail as well, until the device is opened anew.
 */
import { Errno } from '@mortar/core';
import { type Done, done, refuse } from './device.ts';

export class Syncer {
  readonly #sync: () => Promise<Errno | 0>;
  #running = false;
  #waiting: ((answer: Done) => void)[] = [];
  #failed: Errno | 0 = 0;

  constructor(sync: () => Promise<Errno | 0>) {
    this.#sync = sync;
  }

  /** Whether a sync has failed. */
  get failed(): boolean {
    return this.#failed !== 0;
  }

  flush(): Promise<Done> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      if (!this.#running) void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#waiting.length > 0) {
      const served = this.#waiting;
      this.#waiting = [];
      if (this.#failed === 0) this.#failed = await this.#sync().catch(() => Errno.EIO);
      const answer = this.#failed === 0 ? done : refuse(this.#failed);
      for (const resolve of served) resolve(answer);
    }
    this.#running = false;
  }
}
