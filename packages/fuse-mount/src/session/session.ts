/**
 * A mount's conversation with the kernel: requests in, fops of the graph's top, replies out. Knows nodes and handles;
 * bytes are the protocol's business, the device is the channel's.
 */
import {
  type Dirent,
  Errno,
  errnoName,
  type Iatt,
  loseBytes,
  returnBytes,
  type Services,
  type Subvolume,
} from '@mortar/core';
import type { Graphs, ServedGraph } from '@mortar/host/client/graphs.ts';
import { OpenFiles } from '@mortar/host/client/open-files.ts';
import {
  type DirentList,
  type EntryOut,
  type Negotiated,
  OpenFlag,
  type OpName,
  ReplyBuffer,
  type RequestOf,
  type RequestView,
  shortened,
  unanswered,
  type Validity,
  validity,
} from '../protocol/index.ts';
import { Ask } from './ask.ts';
import { AskList } from './ask-list.ts';
import { FuseCall, type GroupSource } from './call.ts';
import { type Handle, HandleTable } from './handles.ts';
import { agreeOn } from './init.ts';
import { Intake } from './intake.ts';
import { NodeLimit } from './lru.ts';
import { type Node, NodeTable } from './nodes.ts';
import { Notices } from './notices.ts';
import { type Handler, handlers } from './ops/table.ts';
import type { SessionOptions } from './options.ts';
import { Passthrough } from './passthrough.ts';
import type { PendingRequest, SessionStats } from './stats.ts';
import { TurnClock } from './turn-clock.ts';

/** Where replies go, and whose the receive buffers are. Writes give the number of bytes taken or the negative errno. */
export interface Channel {
  write(bytes: Uint8Array, length: number): number;
  /** The first `length` bytes of `bytes`, and the payload behind them. */
  writeTwo(bytes: Uint8Array, length: number, payload: Uint8Array): number;
  /** Whether a receive buffer may be kept for a payload that is small beside it. */
  spare(): boolean;
  /** A receive buffer that `receive` kept is no longer needed. `reusable`: nor is anybody else still looking into it. */
  done(bytes: Buffer, reusable: boolean): void;
  /** Sends a message that answers nothing, some time soon. */
  notify(message: Buffer): void;
  /** Makes a file known that opens may name for the kernel to read itself; its number (above 0), or the negative errno. */
  openBacking(fd: number): number;
  /** No further open will name it. */
  closeBacking(id: number): void;
}

/** Requests between two looks at the number of nodes; a power of 2. */
const limitEvery = 64;

const withoutGraph: ReadonlySet<OpName> = new Set(['destroy', 'ioctl', 'poll', 'bmap', 'release', 'releasedir']);

export class Session {
  readonly services: Services;
  readonly options: SessionOptions;
  readonly clientId: string;
  readonly channel: Channel;
  readonly nodes: NodeTable;
  readonly handles = new HandleTable();
  readonly notices = new Notices(this);
  readonly graphs: Graphs;
  /** What is open, as it moves from graph to graph. */
  readonly files: OpenFiles;
  readonly reply = new ReplyBuffer();
  /** Listings that have been answered with, by the entries they were made of. */
  readonly listings = new WeakMap<readonly Dirent[], DirentList>();
  readonly entryValid: Validity;
  readonly attrValid: Validity;
  readonly negativeValid: Validity;
  /** Tells nodes of this mount from those of an earlier one (file handles of an NFS server). */
  readonly generation: number;
  agreed: Negotiated | null = null;
  /** Null unless `options.backings` is given and the kernel can. */
  passthrough: Passthrough | null = null;
  lockWaits = 0;
  /** Called when the number of requests in flight has fallen below the bound again. */
  onRelief: (() => void) | null = null;
  /** Called when the request that came last was answered. */
  onAnswered: (() => void) | null = null;
  /** Called once when the kernel's INIT was answered (true) or refused. */
  onInit: ((accepted: boolean) => void) | null = null;

  readonly #groups: GroupSource;
  readonly #intake = new Intake(this);
  readonly #asks = new AskList();
  readonly #clock: TurnClock;
  #latest: Ask | null = null;
  #inFlight = 0;
  #exceptions = 0;
  #undelivered = 0;
  #received = 0;
  readonly #limit: NodeLimit;

  constructor(channel: Channel, services: Services, options: SessionOptions, clientId: string, groups: GroupSource) {
    this.channel = channel;
    this.services = services;
    this.options = options;
    this.clientId = clientId;
    this.#groups = groups;
    this.#clock = new TurnClock(services.clock);
    this.nodes = new NodeTable(services.inodes, options.shortInodeNumbers);
    const { graphWaitMs } = options;
    this.files = new OpenFiles({ services, clientId, origin: 'fuse', graphWaitMs, all: () => this.handles.all() });
    this.graphs = this.files.graphs;
    this.entryValid = validity(options.entryTimeout);
    this.attrValid = validity(options.attributeTimeout);
    this.negativeValid = validity(options.negativeTimeout);
    this.generation = services.clock.wall().sec;
    this.#limit = new NodeLimit(this, options.lruLimit);
  }

  get saturated(): boolean {
    return this.#inFlight >= this.options.maxInFlight;
  }

  /** Whether the request that came last needs nothing any more. */
  get settled(): boolean {
    return this.#latest === null || this.#latest.answered;
  }

  get stats(): SessionStats {
    const nodes = [...this.nodes.all()];
    return {
      requests: this.#intake.counts,
      inFlight: this.#inFlight,
      lockWaits: this.lockWaits,
      nodes: nodes.length,
      openNodes: nodes.filter(({ handles }) => handles.size > 0).length,
      handles: this.handles.size,
      malformed: this.#intake.malformed,
      exceptions: this.#exceptions,
      undelivered: this.#undelivered,
      locks: nodes.reduce((sum, { lockCount }) => sum + lockCount, 0),
    };
  }

  /** Oldest first. */
  pending(): PendingRequest[] {
    return this.#asks.list().map(({ op, call, uniqueLow, uniqueHigh }) => {
      const { uid, gid, pid, lockOwner, time } = call;
      return { op, unique: uniqueHigh * 2 ** 32 + uniqueLow, uid, gid, pid, lockOwner, since: time };
    });
  }

  /**
   * Serves the request in the first `length` bytes. True: a part of `bytes` is still in use, the next request must be
   * received into other memory. Never throws.
   */
  receive(bytes: Buffer, length: number): boolean {
    this.#latest = null;
    if ((++this.#received & (limitEvery - 1)) === 0) this.#limit.check();
    return this.#intake.receive(bytes, length);
  }

  /** The kernel does not want to wait for this request any more. */
  interrupt(uniqueLow: number, uniqueHigh: number): void {
    this.#asks.find(uniqueLow, uniqueHigh)?.call.interrupt();
  }

  /** Makes `top` serve. Resolves when nothing is under way or open any more in the graph before. */
  setGraph(top: Subvolume): Promise<void> {
    return this.files.setGraph(top);
  }

  /** The kernel has gone: everything is given back. */
  end(): void {
    this.graphs.end();
    this.#limit.end();
    this.notices.end();
    for (const ask of this.#asks.list()) ask.call.interrupt();
    for (const handle of [...this.handles.all()]) {
      this.handles.remove(handle.fh);
      handle.fd.release();
    }
    this.passthrough?.end();
    this.nodes.clear();
  }

  /** `ageMs`: how long ago the volume told it. */
  entryOut(node: Node, iatt: Iatt, ageMs = 0): EntryOut {
    const { generation } = this;
    const entryValid = shortened(this.entryValid, ageMs);
    const attrValid = this.notices.validity(node, ageMs);
    return { nodeId: node.id, generation, entryValid, attrValid, ino: node.ino, iatt };
  }

  /** Flags for the file system: with the writeback cache the kernel reads before partial writes, and appends itself. */
  openFlags(flags: number): number {
    if (!this.agreed?.writebackCache) return flags;
    const readable = (flags & OpenFlag.accessMode) === OpenFlag.writeOnly ? flags ^ OpenFlag.accessMode : flags;
    return readable & ~OpenFlag.append;
  }

  /** The kernel did not get the answer to an open: it will not close. `entry`: nor forget. */
  undoOpen(handle: Handle, entry: boolean): void {
    this.handles.remove(handle.fh);
    handle.fd.release();
    this.passthrough?.closed(handle.node);
    if (entry) this.nodes.forget(handle.node.id, 1);
    this.nodes.closed(handle.node);
  }

  /** The open handle of a request, on the graph that serves; null when the request was failed. */
  use(ask: Ask, fh: number): Handle | null | Promise<Handle | null> {
    const handle = this.handles.get(fh);
    if (!handle) {
      ask.fail(Errno.EBADF);
      return null;
    }
    if (handle.graph === ask.graph && handle.graph === this.graphs.current) return handle;
    return this.#useMigrated(ask, handle);
  }

  async #useMigrated(ask: Ask, handle: Handle): Promise<Handle | null> {
    const errno = await this.files.move(handle);
    if (errno !== 0) {
      ask.fail(errno);
      return null;
    }
    this.#enter(ask, handle.graph);
    return handle;
  }

  /** Sends the reply buffer, and ends the request. */
  deliver(ask: Ask, payload: Uint8Array | undefined): boolean {
    const { reply, channel } = this;
    const result = payload
      ? channel.writeTwo(reply.bytes, reply.length, payload)
      : channel.write(reply.bytes, reply.length);
    // After an error the payload may still be on its way to a brick that is slow to take it.
    const error = reply.words[1]!;
    const succeeded = error === 0;
    if (!succeeded) ask.graph?.failed(-(error | 0));
    if (ask.payload) (succeeded && ask.graph?.returnsLent ? returnBytes : loseBytes)(ask.payload);
    // Told by an answer to a change the kernel takes them for its own, and keeps the pages.
    this.#finish(ask, succeeded && result >= 0 && (ask.op === 'getattr' || ask.op === 'statx'));
    if (ask === this.#latest) this.onAnswered?.();
    if (result >= 0) return true;
    this.#undelivered++;
    if (result !== -Errno.ENOENT && result !== -Errno.ENODEV)
      this.services.log.write('WARNING', 'fuse', `reply to ${ask.op} was not taken: ${errnoName(-result)}`);
    return false;
  }

  #finish(ask: Ask, isTold: boolean): void {
    ask.graph?.end();
    this.#asks.remove(ask);
    if (ask.about) this.notices.answered(ask.about, isTold);
    if (!ask.counted) return;
    const wasSaturated = this.saturated;
    this.#inFlight--;
    if (wasSaturated) this.onRelief?.();
  }

  #enter(ask: Ask, graph: ServedGraph): void {
    if (ask.graph === graph) return;
    graph.begin();
    ask.graph?.end();
    ask.graph = graph;
  }

  /** A turn of the event loop begins: time has passed. */
  turn(): void {
    this.#clock.turn();
  }

  /** Begins the request in `view`. */
  begin(view: RequestView, op: OpName, args: object, payload: Uint8Array | null): void {
    const { uid, gid, pid } = view;
    const groups = uid === 0 ? noGroupsOfRoot : this.#groups.groupsOf(pid, uid);
    const call = new FuseCall(uid, gid, groups, pid, this.clientId, this.#clock.now());
    if (uid === 0 && this.options.noRootSquash) call.internal = 'mount-helper';
    const ask = new Ask(this, op, view.uniqueLow, view.uniqueHigh, view.nodeId, call);
    ask.payload = payload;
    this.#latest = ask;
    ask.counted = op !== 'setlkw';
    if (ask.counted) this.#inFlight++;
    this.#asks.add(ask);
    const handler = handlers[op] as Handler<OpName>;
    if (this.graphs.current) {
      this.#enter(ask, this.graphs.current);
      this.#run(ask, handler, args);
    } else if (withoutGraph.has(op)) this.#run(ask, handler, args);
    else
      void this.graphs.wait().then((graph) => {
        if (!graph) return ask.fail(Errno.ENOTCONN);
        this.#enter(ask, graph);
        this.#run(ask, handler, args);
      });
  }

  #run(ask: Ask, handler: Handler<OpName>, args: object): void {
    try {
      const pending = handler(this, ask, args as RequestOf<OpName>);
      if (pending) pending.catch((error: unknown) => this.bug(ask, error));
    } catch (error) {
      this.bug(ask, error);
    }
  }

  /** A handler ended in an exception. */
  bug(ask: Ask, error: unknown): void {
    this.#exceptions++;
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.services.log.write('ERROR', 'fuse', `${ask.op} of node ${ask.nodeId} ended in an exception: ${text}`);
    if (!ask.answered) ask.fail(Errno.EIO);
  }

  /** The answer to a request that is not begun. */
  refuse(view: RequestView, errno: number): void {
    if (unanswered.has(view.opcode)) return;
    this.reply.begin(view.uniqueLow, view.uniqueHigh, 0, 0, errno);
    this.channel.write(this.reply.bytes, this.reply.length);
  }

  init(view: RequestView, init: RequestOf<'init'>): void {
    const agreed = agreeOn(init, view, this.options, this.reply, this.services.log);
    if (agreed === undefined) {
      this.refuse(view, Errno.EPROTO);
      this.onInit?.(false);
      return;
    }
    this.channel.write(this.reply.bytes, this.reply.length);
    if (agreed === null) return;
    this.agreed = agreed;
    const { backings } = this.options;
    if (backings && agreed.passthrough) this.passthrough = new Passthrough(this, backings);
    this.onInit?.(true);
  }
}

const noGroupsOfRoot: readonly number[] = [];
