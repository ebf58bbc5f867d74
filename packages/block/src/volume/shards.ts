/** The shards of an attached device: found, made, read and written by gfid. A shard that was never written is not there. */
import {
  type Args,
  type Attachment,
  type Call,
  Errno,
  type Failure,
  Fd,
  FileType,
  type Fops,
  fail,
  freshBytes,
  type Gfid,
  locAt,
  newGfid,
} from '@mortar/core';
import { durable } from './catalog.ts';
import type { ServingGraph, VolumeGraph } from './graph.ts';

type Outcome = { ok: true } | Failure;
export type OnFd<R extends { ok: boolean }> = (ops: Fops, call: Call, fd: Fd, graph: ServingGraph) => Promise<R>;

/** O_RDWR: what the fds would have been opened with. */
const readWrite = 2;
const firstRetryMs = 50;
const lastRetryMs = 1000;

export interface ShardOptions {
  readonly graph: VolumeGraph;
  readonly attachment: Attachment;
  readonly shards: Map<number, Gfid>;
  /** How long a quorum that is away is waited for. */
  readonly patienceMs: number;
  /** Another one has the device. */
  readonly lost: () => void;
}

export class Shards {
  readonly #options: ShardOptions;
  readonly #gfids: Map<number, Gfid>;
  readonly #making = new Map<number, Promise<Outcome>>();
  /** Fds of each graph that served; those of one that is gone are let go with it. */
  readonly #fds = new WeakMap<ServingGraph, Map<Gfid, Fd>>();
  /** What was written since it was last made durable: shards, and names in the directory. */
  #unsynced: Set<number>;
  #isDirectoryUnsynced = true;
  #directorySyncing: Promise<Outcome> | null = null;
  #isEnded = false;

  constructor(options: ShardOptions) {
    this.#options = options;
    this.#gfids = options.shards;
    // The holder before may have acknowledged what is not on the disks yet.
    this.#unsynced = new Set(options.shards.keys());
  }

  has(shard: number): boolean {
    return this.#gfids.has(shard);
  }

  get count(): number {
    return this.#gfids.size;
  }

  /** Waits while a quorum is away; ends at once when the device is another's. */
  async run<R extends { ok: boolean }>(
    work: (ops: Fops, call: Call, graph: ServingGraph) => Promise<R>,
  ): Promise<R | Failure> {
    const { graph, attachment, patienceMs, lost } = this.#options;
    const untilMs = graph.clock.nowMs() + patienceMs;
    for (let delayMs = firstRetryMs; ; delayMs = Math.min(2 * delayMs, lastRetryMs)) {
      const reply = await graph.run<R | Failure>((ops, call, serving) => work(ops, { ...call, attachment }, serving));
      if (reply.ok) return reply;
      const { errno } = reply as Failure;
      if (errno === Errno.EKEYREVOKED) lost();
      const isWorthIt = errno === Errno.ENOTCONN || errno === Errno.ETIMEDOUT;
      if (!isWorthIt || this.#isEnded || graph.clock.nowMs() + delayMs > untilMs) return reply;
      await graph.clock.sleep(delayMs);
    }
  }

  /** A fop on a shard that is there. */
  onShard<R extends { ok: boolean }>(shard: number, work: OnFd<R>): Promise<R | Failure> {
    const gfid = this.#gfids.get(shard)!;
    return this.run((ops, call, graph) => work(ops, call, this.#fdOf(graph, gfid), graph));
  }

  #fdOf(graph: ServingGraph, gfid: Gfid): Fd {
    let fds = this.#fds.get(graph);
    if (!fds) {
      fds = new Map();
      this.#fds.set(graph, fds);
    }
    let fd = fds.get(gfid);
    if (!fd) {
      fd = new Fd(gfid, readWrite);
      fds.set(gfid, fd);
    }
    return fd;
  }

  /** As much as is there; the rest is zeroes. */
  read(shard: number, offset: number, size: number): Promise<{ ok: true; data: Uint8Array } | Failure> {
    return this.onShard(shard, (ops, call, fd) => ops.readv(call, { fd, size, offset }));
  }

  async write(shard: number, offset: number, bytes: Uint8Array, fua: boolean): Promise<Outcome> {
    const made = this.#gfids.has(shard) ? null : await this.make(shard);
    if (made && !made.ok) return made;
    let copy: Uint8Array | undefined;
    const reply = await this.onShard(shard, (ops, call, fd, graph) => {
      // Who keeps it may send it to a brick that is slow after this was answered.
      if (!graph.returnsWrites && !copy) {
        copy = freshBytes(bytes.length);
        copy.set(bytes);
      }
      const args: Args<'writev'> = { fd, offset, data: copy ?? bytes };
      if (fua) args.sync = true;
      return ops.writev(call, args);
    });
    // When it is acknowledged, not before: a flush that is under way would take it for its own.
    this.#unsynced.add(shard);
    if (!reply.ok) return reply;
    if (reply.written !== bytes.length) return fail(Errno.EIO);
    return fua ? (this.#directorySync() ?? { ok: true }) : { ok: true };
  }

  /** Any other change of a shard that is there. */
  async change<R extends { ok: boolean }>(shard: number, work: OnFd<R>): Promise<R | Failure> {
    const reply = await this.onShard(shard, work);
    this.#unsynced.add(shard);
    return reply;
  }

  make(shard: number): Promise<Outcome> {
    let making = this.#making.get(shard);
    if (!making) {
      making = this.#make(shard).finally(() => this.#making.delete(shard));
      this.#making.set(shard, making);
    }
    return making;
  }

  async #make(shard: number): Promise<Outcome> {
    const { graph, attachment } = this.#options;
    const gfid = newGfid(graph.random);
    const loc = locAt(attachment.device, String(shard));
    const reply = await this.run<{ ok: true; gfid: Gfid } | Failure>(async (ops, call) => {
      const made = await ops.mknod(call, { loc, mode: 0o100600, rdevMajor: 0, rdevMinor: 0, gfid });
      if (made.ok) return { ok: true, gfid: made.iatt.gfid };
      if (made.errno !== Errno.EEXIST) return made;
      // Made by an attempt whose answer was lost.
      const found = await ops.lookup(call, { loc });
      if (!found.ok) return found;
      return found.iatt.type === FileType.regular ? { ok: true, gfid: found.iatt.gfid } : fail(Errno.EIO);
    });
    if (!reply.ok) return reply;
    this.#isDirectoryUnsynced = true;
    this.#gfids.set(shard, reply.gfid);
    return { ok: true };
  }

  /** Everything that was acknowledged before is on stable storage. */
  async flush(): Promise<Errno | 0> {
    const shards = this.#unsynced;
    this.#unsynced = new Set();
    const directory = this.#directorySync() ?? { ok: true as const };
    const sync = (shard: number) =>
      this.onShard(shard, (ops, call, fd) => ops.fsync(call, { fd, dataOnly: false })).then((reply) => {
        if (!reply.ok) this.#unsynced.add(shard);
        return reply as Outcome;
      });
    const replies = await Promise.all([directory, ...[...shards].filter((one) => this.has(one)).map(sync)]);
    const failed = replies.find((reply): reply is Failure => !reply.ok);
    return failed?.errno ?? 0;
  }

  /** Names that were made are on stable storage; null: there is nothing to wait for. */
  #directorySync(): Promise<Outcome> | null {
    if (!this.#isDirectoryUnsynced) return this.#directorySyncing;
    this.#isDirectoryUnsynced = false;
    const { device } = this.#options.attachment;
    const syncing = this.run<Outcome>((ops, call) => durable(ops, call, device)).then((reply) => {
      if (!reply.ok) this.#isDirectoryUnsynced = true;
      if (this.#directorySyncing === syncing) this.#directorySyncing = null;
      return reply;
    });
    this.#directorySyncing = syncing;
    return syncing;
  }

  /** Nobody waits for a quorum any more. */
  end(): void {
    this.#isEnded = true;
  }
}
