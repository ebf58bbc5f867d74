/**
 * Around every call: how long it kept the event loop (told upwards as `storage-slow`), what comes before a call that
 * must not wait for the disk, and a second try when the process ran out of descriptors.
 */
import {
  type Call,
  type Clock,
  Errno,
  Fd,
  type Fop,
  type FopName,
  fops,
  type Gfid,
  type Reply,
  type Xdata,
} from '@mortar/core';
import { BlockingMeter, tellsOfCold } from '../../lib/blocking.ts';
import { refused } from './brick.ts';
import type { OpenFile } from './open-files.ts';
import type { PosixStore } from './store.ts';
import { type Named, placesOf, Warmer } from './warm.ts';
import { warmData } from './warm-data.ts';

/** A call that kept the loop for so long is reported; cached ones take a hundredth. */
const slowMs = 1;

export interface PlacingHost {
  /** Null once the brick is closed. */
  store(): PosixStore | null;
  opened(fd: Fd): OpenFile | undefined;
  readonly clock: Clock;
  slow(gfid: Gfid, ms: number): void;
}

/** Half the threads of node's pool, so that data and syncs of the rest find one. */
export function poolShare(setting: string | undefined): number {
  const threads = Number(setting ?? 4);
  return Math.max(1, Math.floor((Number.isInteger(threads) && threads > 0 ? threads : 4) / 2));
}

/** Calls that are about objects of the brick. */
export function isPlaced(name: FopName): boolean {
  const { class: touches } = fops[name];
  return touches !== 'lock' && touches !== 'control' && name !== 'statfs';
}

export class Placing {
  readonly #host: PlacingHost;
  readonly #meter: BlockingMeter;
  readonly #threads: number;
  #warmer: { store: PosixStore; warmer: Warmer } | null = null;
  /** For the state dump. */
  offloaded = 0;
  slow = 0;

  constructor(host: PlacingHost, threads: number) {
    this.#host = host;
    this.#meter = new BlockingMeter(host.clock);
    this.#threads = threads;
  }

  around(name: FopName, run: Fop<FopName>): Fop<FopName> {
    return async (call, args) => {
      const { xdata } = args as { xdata?: Xdata };
      const reply = await (xdata?.offload
        ? this.#offloaded(name, run, call, args)
        : this.#measured(name, run, call, args));
      const out = !reply.ok && (reply.errno === Errno.EMFILE || reply.errno === Errno.ENFILE);
      if (!out || !this.#host.store()?.brick.giveUpDescriptors()) return reply;
      // Descriptors that were given up are closed in a microtask before this one. A call that failed changed nothing.
      await null;
      return this.#measured(name, run, call, args);
    };
  }

  warmer(store: PosixStore): Warmer {
    if (this.#warmer?.store !== store) this.#warmer = { store, warmer: new Warmer(store.brick, this.#threads) };
    return this.#warmer.warmer;
  }

  #measured(name: FopName, run: Fop<FopName>, call: Call, args: object): Promise<Reply<FopName>> {
    if (!tellsOfCold(name)) return run(call, args as never);
    const { clock } = this.#host;
    const before = clock.nowMs();
    const waits = this.#meter.waits(before);
    try {
      return run(call, args as never);
    } finally {
      const ms = this.#meter.blockedMs(before, waits, clock.nowMs());
      if (ms >= slowMs) this.#tell(args, ms);
    }
  }

  #tell(args: object, ms: number): void {
    this.slow++;
    const about = new Set<Gfid>();
    for (const place of placesOf(args as Named)) {
      const gfid = !(place instanceof Fd) && place.name !== null ? (place.parent ?? place.gfid) : place.gfid;
      if (gfid !== null) about.add(gfid);
    }
    for (const gfid of about) this.#host.slow(gfid, ms);
  }

  async #offloaded(name: FopName, run: Fop<FopName>, call: Call, args: object): Promise<Reply<FopName>> {
    this.offloaded++;
    const store = this.#host.store();
    if (!store) return refused(Errno.ENOTCONN);
    const { open } = store.brick;
    const opened = (fd: Fd) => this.#host.opened(fd);
    const files = placesOf(args as Named).flatMap((place) => (place instanceof Fd ? (opened(place) ?? []) : []));
    // A file that is closed meanwhile keeps its descriptor: its number must not come to mean another file.
    for (const file of files) open.pin(file);
    try {
      const warmer = this.warmer(store);
      await warmer.warm(name, args as Named, opened);
      if (this.#host.store() === store) await warmData(store, warmer, name, args);
      if (this.#host.store() !== store) return refused(Errno.ENOTCONN);
      return await this.#measured(name, run, call, args);
    } finally {
      for (const file of files) open.unpin(file);
    }
  }
}
