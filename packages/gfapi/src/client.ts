/** A client of a volume: the graph that serves, what is open, how much is under way. Paths and node's forms are above it. */
import {
  type Call,
  Errno,
  type Failure,
  Fd,
  fail,
  type Gfid,
  type GraphEvent,
  type Iatt,
  locOf,
  type Reply,
  RisingTime,
  type Services,
  type Subvolume,
} from '@mortar/core';
import { flagsToReopen, OpenFiles, type ServedGraph } from '@mortar/host';
import { abortError, fsError } from './errors.ts';
import { Gate } from './gate.ts';
import { GraphFile } from './graph-file.ts';
import type { NameCache } from './name-cache.ts';

/** Ends a call early; what it asked of the bricks may happen all the same. */
export interface CallOptions {
  signal?: AbortSignal | undefined;
  /** Then the call fails with ETIMEDOUT. */
  timeoutMs?: number | undefined;
}

/** In whose name. */
export interface Identity {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
}

export interface ClientLimits {
  /** Requests in the graph at a time. */
  maxInFlight: number;
  /** Of calls that say nothing; absent: none. */
  timeoutMs?: number | undefined;
}

export interface OpenedFd {
  ok: true;
  fd: Fd;
  directory: boolean;
  iatt?: Iatt;
}

export interface Opened {
  ok: true;
  file: GraphFile;
  /** As it is at the open, where that is known. */
  iatt: Iatt | null;
}

type Outcome = { ok: boolean; errno?: number };
/** A request: one fop or several, in one graph. */
export type Work<R extends Outcome> = (top: Subvolume, call: Call, graph: ServedGraph) => Promise<R>;
export type FileWork<R extends Outcome> = (top: Subvolume, call: Call, fd: Fd) => Promise<R>;
/** Both, as they are run. */
type AnyWork<R extends Outcome> = (top: Subvolume, call: Call, on: never) => Promise<R>;

/** Requests wait so long for the first graph. */
const graphWaitMs = 30_000;
const origin = 'gfapi';

export class Client {
  readonly services: Services;
  readonly files: OpenFiles;
  readonly open = new Set<GraphFile>();
  /** Of the volumes that are views of this client; a view that nobody has any more is forgotten. */
  readonly #caches = new Set<WeakRef<NameCache>>();
  readonly #gate: Gate;
  readonly #time = new RisingTime();
  readonly #timeoutMs: number | undefined;
  readonly #pid = process.pid;
  #nextId = 1;
  #operations = 0;
  #isClosing = false;
  #quiet: (() => void) | null = null;

  constructor(services: Services, limits: ClientLimits) {
    this.services = services;
    this.#gate = new Gate(limits.maxInFlight);
    this.#timeoutMs = limits.timeoutMs;
    this.files = new OpenFiles({ services, clientId: '', origin, graphWaitMs, all: () => this.open });
  }

  get isClosing(): boolean {
    return this.#isClosing;
  }

  /** Whether every request has an end: its data may then be in use beyond its answer. */
  get isBounded(): boolean {
    return this.#timeoutMs !== undefined;
  }

  get inFlight(): number {
    return this.#gate.inside;
  }

  get waiting(): number {
    return this.#gate.waiting;
  }

  nextId(): number {
    return this.#nextId++;
  }

  setGraph(top: Subvolume): Promise<void> {
    return this.files.setGraph(top);
  }

  upcall(event: Extract<GraphEvent, { type: 'upcall' }>): void {
    if (event.what === 'entry') this.#forget(event.gfid, event.name ?? null);
  }

  /** A name changes, by us. */
  forgetName(parent: Gfid, name: string): void {
    this.#forget(parent, name);
  }

  /** Names are taken away or replaced, by us: what was seen of them until that is done is of before. */
  async takingNames<R>(names: readonly { parent: Gfid; name: string }[], work: () => Promise<R>): Promise<R> {
    const forget = () => {
      for (const { parent, name } of names) this.#forget(parent, name);
    };
    forget();
    return work().finally(forget);
  }

  addCache(cache: NameCache): void {
    this.#caches.add(new WeakRef(cache));
  }

  #forget(parent: Gfid, name: string | null): void {
    for (const held of this.#caches) {
      const cache = held.deref();
      if (cache) cache.forget(parent, name);
      else this.#caches.delete(held);
    }
  }

  /** Counts what a caller asked for as one: `close` waits for the whole of it. */
  operation<T>(syscall: string, work: () => Promise<T>): Promise<T> {
    if (this.#isClosing) return Promise.reject(fsError(Errno.ESHUTDOWN, syscall));
    this.#operations++;
    return work().finally(() => this.#left());
  }

  /** One request in the graph that serves. A signal that ends it makes the promise reject; all else is a value. */
  run<R extends Outcome>(who: Identity, options: CallOptions | undefined, work: Work<R>): Promise<R | Failure> {
    const bounds = this.#bounds(options);
    if (bounds) return this.#bounded(bounds, who, null, work);
    const graph = this.files.graphs.current;
    if (graph && this.#gate.tryEnter()) return this.#start(graph, this.call(who), null, work);
    return this.#later(this.call(who), null, work);
  }

  /** One request on an open file, in the graph that serves. */
  runOn<R extends Outcome>(file: GraphFile, options: CallOptions | undefined, work: FileWork<R>): Promise<R | Failure> {
    const bounds = this.#bounds(options);
    if (bounds) return this.#bounded(bounds, file.who, file, work);
    const graph = this.files.graphs.current;
    if (graph && graph === file.graph && !file.isClosed && this.#gate.tryEnter())
      return this.#start(graph, this.call(file.who), file, work);
    return this.#later(this.call(file.who), file, work);
  }

  /** Waits for a lock: not counted among the requests, begun anew when the graph is replaced. */
  async waitOn(
    file: GraphFile,
    lockOwner: string,
    { signal, timeoutMs }: CallOptions,
    work: FileWork<Reply<'lk'>>,
  ): Promise<Reply<'lk'>> {
    if (signal?.aborted) throw abortError(signal);
    const late = new AbortController();
    const timer = timeoutMs === undefined ? undefined : this.services.clock.after(timeoutMs, () => late.abort());
    const ends = [late.signal, file.endingSignal, ...(signal ? [signal] : [])];
    this.#operations++;
    file.begin();
    try {
      for (;;) {
        const errno = await this.#ready(file);
        if (errno !== 0) return fail(errno as Errno);
        const { graph } = file;
        const call = { ...this.call(file.who), lockOwner, signal: AbortSignal.any([graph.left.signal, ...ends]) };
        const reply = await this.#inGraph(graph, call, file.fd, work);
        if (signal?.aborted && !reply.ok) throw abortError(signal);
        if (late.signal.aborted && !reply.ok) return fail(Errno.ETIMEDOUT);
        if (graph === this.files.graphs.current || file.endingSignal.aborted) return reply;
      }
    } finally {
      timer?.cancel();
      file.end();
      this.#left();
    }
  }

  /** Opens a file by gfid. */
  openFile(who: Identity, gfid: Gfid, flags: number, options?: CallOptions): Promise<Opened | Failure> {
    const kept = flagsToReopen(flags);
    return this.opening(who, options, async (top, call) => {
      const fd = new Fd(gfid, kept);
      const reply = await top.open(call, { loc: locOf(gfid), flags: kept, fd });
      if (reply.ok) return { ok: true, fd, directory: false, ...(reply.iatt ? { iatt: reply.iatt } : {}) };
      fd.release();
      return reply;
    });
  }

  openDirectory(who: Identity, gfid: Gfid, options?: CallOptions): Promise<Opened | Failure> {
    return this.opening(who, options, async (top, call) => {
      const fd = new Fd(gfid, 0);
      const reply = await top.opendir(call, { loc: locOf(gfid), fd });
      if (reply.ok) return { ok: true, fd, directory: true };
      fd.release();
      return reply;
    });
  }

  /** A request whose success is an open fd. One that comes after its caller gave up is closed again. */
  async opening(
    who: Identity,
    options: CallOptions | undefined,
    work: Work<OpenedFd | Failure>,
  ): Promise<Opened | Failure> {
    let file: GraphFile | undefined;
    let isGivenUp = false;
    const giveUp = () => {
      isGivenUp = true;
      void file?.close();
    };
    const request: Work<OpenedFd | Failure> = async (top, call, graph) => {
      const reply = await work(top, call, graph);
      if (!reply.ok) return reply;
      // While the request is under way the graph is not ended.
      if (isGivenUp) reply.fd.release();
      else file = this.#opened(who, reply, graph);
      return reply;
    };
    const reply = await this.run(who, options, request).catch((error: unknown) => {
      giveUp();
      throw error;
    });
    if (reply.ok) return { ok: true, file: file!, iatt: reply.iatt ?? null };
    giveUp();
    return reply;
  }

  #opened(who: Identity, { fd, directory }: OpenedFd, graph: ServedGraph): GraphFile {
    const file = new GraphFile(this, who, fd, directory, graph);
    this.open.add(file);
    return file;
  }

  /** Refuses what is new, waits for what is under way at most `ms`, closes what is open. */
  async close(ms: number): Promise<void> {
    this.#isClosing = true;
    for (const file of this.open) file.endWaits();
    if (this.#operations > 0)
      await new Promise<void>((resolve) => {
        const timer = this.services.clock.after(ms, resolve);
        this.#quiet = () => {
          timer.cancel();
          resolve();
        };
      });
    const closing = [...this.open].map((file) => file.close({ timeoutMs: ms }));
    await Promise.all(closing);
    this.files.graphs.end();
  }

  call(who: Identity): Call {
    const { uid, gid, groups } = who;
    const time = this.#time.at(this.services.clock.wall());
    return { uid, gid, groups, pid: this.#pid, lockOwner: '', clientId: '', time };
  }

  #bounds(options: CallOptions | undefined): CallOptions | null {
    if (options && (options.signal || options.timeoutMs !== undefined)) return options;
    return this.#timeoutMs === undefined ? null : { timeoutMs: this.#timeoutMs };
  }

  async #later<R extends Outcome>(
    call: Call,
    file: GraphFile | null,
    work: AnyWork<R>,
    isGivenUp: () => boolean = never,
  ): Promise<R | Failure> {
    this.#operations++;
    file?.begin();
    await this.#gate.enter();
    try {
      const errno = isGivenUp() ? Errno.ECANCELED : await this.#ready(file);
      if (errno !== 0) return fail(errno as Errno);
      const graph = file ? file.graph : this.files.graphs.current!;
      return await this.#inGraph(graph, call, file ? file.fd : null, work);
    } finally {
      this.#gate.leave();
      file?.end();
      this.#left();
    }
  }

  /** 0 when there is a graph, and the file is open on it. */
  async #ready(file: GraphFile | null): Promise<number> {
    if (file?.isClosed) return Errno.EBADF;
    if (!this.files.graphs.current && !(await this.files.graphs.wait()))
      return this.#isClosing ? Errno.ESHUTDOWN : Errno.ENOTCONN;
    return file ? this.files.move(file) : 0;
  }

  #start<R extends Outcome>(
    graph: ServedGraph,
    call: Call,
    file: GraphFile | null,
    work: AnyWork<R>,
  ): Promise<R | Failure> {
    this.#operations++;
    file?.begin();
    const done = () => {
      this.#gate.leave();
      file?.end();
      this.#left();
    };
    return this.#inGraph(graph, call, file ? file.fd : null, work, done);
  }

  #inGraph<R extends Outcome>(
    graph: ServedGraph,
    call: Call,
    fd: Fd | null,
    work: AnyWork<R>,
    done: () => void = nothing,
  ): Promise<R | Failure> {
    graph.begin();
    const end = <T extends Outcome>(value: T): T => {
      if (!value.ok) graph.failed(value.errno ?? 0);
      graph.end();
      done();
      return value;
    };
    try {
      return work(graph.top, call, (fd ?? graph) as never).then(end, (error: unknown) => end(this.#bug(error)));
    } catch (error) {
      return Promise.resolve(end(this.#bug(error)));
    }
  }

  #bug(error: unknown): Failure {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.services.log.write('ERROR', origin, `a request ended in an exception: ${text}`);
    return fail(Errno.EIO);
  }

  async #bounded<R extends Outcome>(
    { signal, timeoutMs }: CallOptions,
    who: Identity,
    file: GraphFile | null,
    work: AnyWork<R>,
  ): Promise<R | Failure> {
    if (signal?.aborted) throw abortError(signal);
    const { clock } = this.services;
    const call: Call = this.call(who);
    if (timeoutMs !== undefined) call.deadlineMs = clock.nowMs() + timeoutMs;
    if (signal) call.signal = signal;
    let end: 'abort' | 'timeout' | undefined;
    let wake: () => void = nothing;
    const given = new Promise<void>((resolve) => {
      wake = resolve;
    });
    const giveUp = (why: 'abort' | 'timeout') => {
      end ??= why;
      wake();
    };
    const onAbort = () => giveUp('abort');
    signal?.addEventListener('abort', onAbort, { once: true });
    const timer = timeoutMs === undefined ? undefined : clock.after(Math.max(0, timeoutMs), () => giveUp('timeout'));
    try {
      const reply = await Promise.race([this.#later(call, file, work, () => end !== undefined), given]);
      if (reply) return reply;
      if (signal && end === 'abort') throw abortError(signal);
      return fail(Errno.ETIMEDOUT);
    } finally {
      timer?.cancel();
      signal?.removeEventListener('abort', onAbort);
    }
  }

  #left(): void {
    if (--this.#operations === 0) this.#quiet?.();
  }
}

const never = () => false;
const nothing = () => {};
