/**
 * What a client has open, and how it moves to the graph that serves now: opened anew by gfid and flags, its locks taken
 * again. The mount's handles and the library's are such files.
 */
import {
  type Call,
  Errno,
  type Failure,
  Fd,
  type Flock,
  fail,
  type Gfid,
  locOf,
  type Reply,
  rootCall,
  type Services,
  type Subvolume,
} from '@mortar/core';
import { Graphs, type ServedGraph } from './graphs.ts';
import type { HeldLock } from './lock-book.ts';

/** Flags of open(2) that say how a file comes to be, and mean nothing when it is opened once more. */
const makingFlags = 0o100 | 0o200 | 0o1000;

/** What an open is called with when the file is there already. */
export function flagsToReopen(flags: number): number {
  return flags & ~makingFlags;
}

/** An open file or directory. Gfid and flags suffice to open it anew on another graph. */
export abstract class OpenFile {
  readonly gfid: Gfid;
  readonly flags: number;
  readonly directory: boolean;
  fd: Fd;
  /** The graph on which `fd` is open. */
  graph: ServedGraph;
  /** The move under way, so that concurrent users share it. */
  moving: Promise<number> | null = null;
  isClosed = false;
  /** Of writes that a graph before has answered, and that have failed. */
  #failure: Errno | null = null;

  constructor(gfid: Gfid, flags: number, directory: boolean, fd: Fd, graph: ServedGraph) {
    this.gfid = gfid;
    this.flags = flags;
    this.directory = directory;
    this.fd = fd;
    this.graph = graph;
  }

  /** It moves to another graph, and takes with it what is to be told of the one that it is on. */
  movesTo(graph: ServedGraph, fd: Fd): void {
    this.#failure ??= this.graph.untold(this.fd);
    this.fd = fd;
    this.graph = graph;
  }

  /** The errno that its next write, sync or close is to fail with, told once. */
  takeFailure(): Errno | null {
    const errno = this.#failure;
    this.#failure = null;
    return errno;
  }

  /** The answer to one of these: what a graph before has not told takes its place. */
  told<R>(reply: R): R | Failure {
    const errno = this.takeFailure();
    return errno === null ? reply : fail(errno);
  }

  /** The locks that were taken through it. */
  abstract heldLocks(): readonly HeldLock[];

  /** One of them could not be taken again. */
  abstract lockLost(lock: HeldLock): void;
}

/** A new graph waits so long for what the one before has answered ahead. */
const settleMs = 60_000;
/** Handing over may take so long: that, and then the time that requests under way in the graph before have to end. Only then it may be ended. */
export const handOverMs = settleMs + 30_000;
/** Files that move at the same time. */
const parallel = 16;
/** A lock that others have got hold of meanwhile is lost after this. */
const takeOverMs = 5_000;

export interface OpenFilesOptions {
  services: Services;
  /** Of the calls that open files anew. */
  clientId: string;
  /** In log lines. */
  origin: string;
  /** Requests wait so long for the first graph. */
  graphWaitMs: number;
  /** All that is open. */
  all: () => Iterable<OpenFile>;
}

export class OpenFiles {
  readonly graphs: Graphs;
  readonly #options: OpenFilesOptions;
  #settling: Promise<void> | null = null;

  constructor(options: OpenFilesOptions) {
    this.#options = options;
    this.graphs = new Graphs(options.services.clock, options.graphWaitMs);
  }

  /** Makes `top` serve. Resolves when nothing is under way or open any more in the graph before. */
  async setGraph(top: Subvolume): Promise<void> {
    // In their order, and at once where nothing has to be waited for.
    const settled = this.#settling ? this.#settling.then(() => this.#settled(top) ?? undefined) : this.#settled(top);
    if (settled) {
      this.#settling = settled;
      await settled;
      if (this.#settling === settled) this.#settling = null;
    }
    const before = this.graphs.set(top);
    if (!before) return;
    before.left.abort();
    await this.#moveAll();
    await before.idle();
    // What was opened by requests that were still under way.
    await this.#moveAll();
    before.release();
  }

  /** Moves one file; 0 or the errno for which it could not be opened. Shared by all who wait for it. */
  move(file: OpenFile): Promise<number> {
    const target = this.graphs.current;
    if (!target || file.graph === target) return Promise.resolve(0);
    file.moving ??= this.#reopen(file, target).finally(() => {
      file.moving = null;
    });
    return file.moving.then((errno) => (errno === 0 && file.graph !== this.graphs.current ? this.move(file) : errno));
  }

  /** What the graph that serves has answered ahead is done, or has had its time: the next one knows nothing of it. */
  #settled(next: Subvolume): Promise<void> | null {
    const waits = this.graphs.current?.settle(next) ?? [];
    if (waits.length === 0) return null;
    return new Promise((resolve) => {
      const timer = this.#options.services.clock.after(settleMs, () => {
        this.#warn(
          `the graph is replaced while writes that were answered are still under way after ${settleMs / 1000} s`,
        );
        resolve();
      });
      void Promise.all(waits).then(() => {
        timer.cancel();
        resolve();
      });
    });
  }

  async #moveAll(): Promise<void> {
    const waiting = [...this.#options.all()].reverse();
    const work = async () => {
      for (let file = waiting.pop(); file; file = waiting.pop()) {
        const errno = await this.move(file);
        // One that was closed meanwhile has nowhere to go.
        if (errno !== 0 && !file.isClosed) this.#warn(`fd of ${file.gfid} did not move: errno ${errno}`);
      }
    };
    await Promise.all(Array.from({ length: parallel }, work));
  }

  async #reopen(file: OpenFile, target: ServedGraph): Promise<number> {
    const call = { ...rootCall(this.#options.services.clock), clientId: this.#options.clientId };
    const flags = flagsToReopen(file.flags);
    const fd = new Fd(file.gfid, file.directory ? 0 : flags);
    const loc = locOf(file.gfid);
    target.begin();
    try {
      const reply = file.directory
        ? await target.top.opendir(call, { loc, fd })
        : await target.top.open(call, { loc, flags, fd });
      if (!reply.ok) {
        fd.release();
        return reply.errno;
      }
      const lost = await this.#relock(target, call, file, fd);
      if (lost !== 0) this.#warn(`${lost} lock(s) of ${file.gfid} were lost`);
    } finally {
      target.end();
    }
    if (file.isClosed) {
      fd.release();
      return Errno.EBADF;
    }
    // Requests still under way in the old graph use the old fd; it is released when that graph has drained.
    file.graph.retire(file.fd);
    file.movesTo(target, fd);
    return 0;
  }

  async #relock(target: ServedGraph, call: Call, file: OpenFile, fd: Fd): Promise<number> {
    let lost = 0;
    for (const lock of file.heldLocks()) {
      const owned = { ...call, lockOwner: lock.owner, pid: lock.pid };
      const flock = flockOf(lock);
      let reply = await target.top.lk(owned, { fd, command: 'set', flock, xdata: { handsOver: true } });
      if (!reply.ok && reply.errno === Errno.EAGAIN) reply = await this.#takeOver(target, owned, file, fd, flock);
      if (!reply.ok) {
        file.lockLost(lock);
        lost++;
      }
    }
    return lost;
  }

  /**
   * To the bricks the new graph is another client, and one that does not know how to hand over (`handsOver`) says that the lock is still the old one's. We get in
   * line for it and the old graph gives it back: it is ours at once, unless somebody has been waiting for it longer.
   */
  async #takeOver(target: ServedGraph, call: Call, file: OpenFile, fd: Fd, flock: Flock): Promise<Reply<'lk'>> {
    const late = new AbortController();
    const timer = this.#options.services.clock.after(takeOverMs, () => late.abort());
    const waiting = target.top.lk({ ...call, signal: late.signal }, { fd, command: 'wait', flock });
    const before = file.graph;
    before.begin();
    try {
      await before.top.lk(call, { fd: file.fd, command: 'set', flock: { ...flock, type: 'unlock' } });
      return await waiting;
    } finally {
      before.end();
      timer.cancel();
    }
  }

  #warn(text: string): void {
    this.#options.services.log.write('WARNING', this.#options.origin, text);
  }
}

function flockOf({ owner, type, start, end, pid, family }: HeldLock): Flock {
  const length = end === Number.POSITIVE_INFINITY ? 0 : end - start;
  return { type, start, length, owner, pid, ...(family ? { family } : {}) };
}
