/** How a brick makes things durable: one file at a time, or many together (docs/posix.md, "Many at once"). */
import { type Clock, Fd, FileType, type Gfid, locOf } from '@mortar/core';
import type { OpenFile } from './open-files.ts';
import type { PosixStore } from './store.ts';
import { SyncGather } from './sync-gather.ts';
import { SyncQueue } from './sync-queue.ts';
import { SyncTogether } from './sync-together.ts';
import { flushTimes } from './times.ts';

/** POSIX_FADV_DONTNEED. */
const dropClean = 4;

export interface SyncsHost {
  readonly clock: Clock;
  readonly store: PosixStore;
  /** fsync or fsyncdir of one object, as if a client had asked for it: 0 or the errno. */
  fsync(fd: Fd, isDirectory: boolean): Promise<number>;
}

export class Syncs {
  readonly #host: SyncsHost;
  readonly #queue: SyncQueue;
  readonly #together: SyncTogether;
  readonly #gather: SyncGather;

  constructor(host: SyncsHost) {
    this.#host = host;
    const { brick } = host.store;
    // What is read from here on is what the disk has: else heal would find the file as it should be, and leave it so.
    const queue = new SyncQueue(brick.open, ({ osFd }) => void brick.sys.fadvise(osFd, 0, 0, dropClean));
    this.#queue = queue;
    this.#together = new SyncTogether({
      clock: host.clock,
      flush: (gfid) => {
        const open = brick.open.fdOf(gfid);
        if (open) flushTimes(brick, open);
      },
      one: (gfid) => this.#unopened(gfid),
      all: async () => (await this.everything()) === 0,
      get tells() {
        return !queue.allFailed;
      },
    });
    this.#gather = new SyncGather((gfids) => this.together(gfids));
  }

  /** 0 or the negative errno. */
  file(file: OpenFile, dataOnly: boolean): Promise<number> {
    flushTimes(this.#host.store.brick, file);
    return this.#queue.sync(file, dataOnly);
  }

  /** 0 or the negative errno. */
  directory(file: OpenFile, dataOnly: boolean): Promise<number> {
    return this.#queue.sync(file, dataOnly);
  }

  /** The whole file system, for what cannot be opened. 0 or the negative errno. */
  everything(): Promise<number> {
    return this.#queue.syncAll(this.#host.store.brick.hiddenFd);
  }

  /** For each, 0 or the errno. */
  together(gfids: readonly Gfid[]): Promise<number[]> {
    return this.#together.sync(gfids);
  }

  /** With others that are asked for at about this time: 0 or the errno. */
  gathered(gfid: Gfid): Promise<number> {
    return this.#gather.sync(gfid);
  }

  async #unopened(gfid: Gfid): Promise<number> {
    const node = this.#host.store.node(locOf(gfid));
    if (typeof node === 'number') return -node;
    const fd = new Fd(gfid);
    const errno = await this.#host.fsync(fd, node.stat.type === FileType.directory);
    fd.release();
    return errno;
  }
}
