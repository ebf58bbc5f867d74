/**
 * fsync in node's thread pool, with group commit: who asks while a sync of the same file is running shares the next
 * one, because the running one may have begun before the writes that he wants on disk.
 */
import { fdatasync, fsync } from 'node:fs';
import type { Gfid } from '@mortar/core';
import { syncfsInPool } from '@mortar/libc';
import type { OpenFile, OpenFiles } from './open-files.ts';

interface Round {
  dataOnly: boolean;
  promise: Promise<number>;
}

export class SyncQueue {
  readonly #open: OpenFiles;
  readonly #failed: (file: OpenFile) => void;
  readonly #running = new Map<Gfid, Promise<number>>();
  readonly #next = new Map<Gfid, Round>();
  #allRunning: Promise<number> | undefined;
  #allNext: Promise<number> | undefined;
  /** A sync of everything failed: whose data it was is told to nobody who asks so later. */
  allFailed = false;

  /** `failed`: what was to be on disk may be in memory only, and the kernel does not try again; while its descriptor is open. */
  constructor(open: OpenFiles, failed: (file: OpenFile) => void) {
    this.#open = open;
    this.#failed = failed;
  }

  /** 0 or the negative errno. */
  sync(file: OpenFile, dataOnly: boolean): Promise<number> {
    const running = this.#running.get(file.gfid);
    if (!running) return this.#run(file, dataOnly);
    const waiting = this.#next.get(file.gfid);
    if (waiting) {
      waiting.dataOnly &&= dataOnly;
      return waiting.promise;
    }
    this.#open.pin(file);
    const round: Round = { dataOnly, promise: Promise.resolve(0) };
    round.promise = running.then(() => {
      this.#next.delete(file.gfid);
      const done = this.#run(file, round.dataOnly);
      this.#open.unpin(file);
      return done;
    });
    this.#next.set(file.gfid, round);
    return round.promise;
  }

  /** The whole file system that `osFd` is on: for what cannot be opened, symlinks and devices. */
  syncAll(osFd: number): Promise<number> {
    const run = () => {
      this.#allRunning = syncfsInPool(osFd).then((result) => {
        this.#allRunning = undefined;
        this.allFailed ||= result !== 0;
        return result;
      });
      return this.#allRunning;
    };
    if (!this.#allRunning) return run();
    this.#allNext ??= this.#allRunning.then(() => {
      this.#allNext = undefined;
      return run();
    });
    return this.#allNext;
  }

  #run(file: OpenFile, dataOnly: boolean): Promise<number> {
    this.#open.pin(file);
    const done = new Promise<number>((resolve) => {
      (dataOnly ? fdatasync : fsync)(file.osFd, (error) => {
        if (error) this.#failed(file);
        this.#open.unpin(file);
        this.#running.delete(file.gfid);
        resolve(error ? (error.errno ?? -5) : 0);
      });
    });
    this.#running.set(file.gfid, done);
    return done;
  }
}
