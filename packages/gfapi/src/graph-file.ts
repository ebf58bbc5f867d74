/** An open file or directory by gfid: its fops, in whichever graph serves. Replies are values; nothing is copied. */
import {
  type Args,
  Errno,
  type Failure,
  type Fd,
  type Flock,
  fail,
  type Inode,
  type Reply,
  type Xdata,
} from '@mortar/core';
import { type HeldLock, LockBook, OpenFile, type ServedGraph } from '@mortar/host';
import type { CallOptions, Client, FileWork, Identity } from './client.ts';

export interface WriteHow extends CallOptions {
  /** At the end of the file, wherever that is; the offset is ignored. */
  append?: boolean;
  /** Acknowledged when it is on stable storage. */
  sync?: boolean;
  xdata?: Xdata;
}

export interface ReadHow extends CallOptions {
  xdata?: Xdata;
}

export class GraphFile extends OpenFile {
  readonly client: Client;
  readonly who: Identity;
  /** Of the process, as the owner of its locks. */
  readonly id: number;
  readonly #locks = new LockBook();
  readonly #inode: Inode;
  #wasWritten = false;
  #using = 0;
  #unused: (() => void) | null = null;
  #closing: Promise<Reply<'flush'>> | null = null;
  /** Ends lock waits when the file is closed. */
  readonly #ending = new AbortController();

  constructor(client: Client, who: Identity, fd: Fd, directory: boolean, graph: ServedGraph) {
    super(fd.gfid, fd.flags, directory, fd, graph);
    this.client = client;
    this.who = who;
    this.id = client.nextId();
    this.#inode = client.services.inodes.getHeld(fd.gfid);
  }

  /** Whether the data of a write may be changed as soon as it was answered with success (docs/payloads.md). */
  get returnsWrites(): boolean {
    return this.graph.returnsWrites;
  }

  /** Whether the data of a read is its caller's alone, and may be given back. */
  get returnsReads(): boolean {
    return this.graph.returnsReads;
  }

  /** Any fop on the fd, in the graph that serves. */
  run<R extends { ok: boolean }>(work: FileWork<R>, options?: CallOptions): Promise<R | Failure> {
    if (this.#closing) return Promise.resolve(fail(Errno.EBADF));
    return this.client.runOn(this, options, work);
  }

  /** A request on it begins, or is waiting to. */
  begin(): void {
    this.#using++;
  }

  end(): void {
    if (--this.#using === 0) this.#unused?.();
  }

  get endingSignal(): AbortSignal {
    return this.#ending.signal;
  }

  readv(offset: number, size: number, how?: ReadHow): Promise<Reply<'readv'>> {
    const xdata = how?.xdata;
    return this.run((top, call, fd) => {
      const args: Args<'readv'> = { fd, size, offset };
      if (xdata) args.xdata = xdata;
      return top.readv(call, args);
    }, how);
  }

  /**
   * One request, whatever its size: the graph's limit is 4 MiB. `data` must stay as it is until the answer; a function is
   * asked for it when it is known which graph gets it.
   */
  writev(offset: number, data: Uint8Array | (() => Uint8Array), how?: WriteHow): Promise<Reply<'writev'>> {
    this.#wasWritten = true;
    return this.run<Reply<'writev'>>((top, call, fd) => {
      const failed = this.takeFailure();
      if (failed !== null) return Promise.resolve(fail(failed));
      const args: Args<'writev'> = { fd, offset, data: typeof data === 'function' ? data() : data };
      if (how?.append) args.append = true;
      if (how?.sync) args.sync = true;
      if (how?.xdata) args.xdata = how.xdata;
      return top.writev(call, args);
    }, how);
  }

  async fsync(dataOnly: boolean, options?: CallOptions): Promise<Reply<'fsync'> | Reply<'fsyncdir'>> {
    const reply = await this.run<Reply<'fsync'> | Reply<'fsyncdir'>>(
      (top, call, fd) => (this.directory ? top.fsyncdir(call, { fd, dataOnly }) : top.fsync(call, { fd, dataOnly })),
      options,
    );
    return this.told(reply);
  }

  heldLocks(): readonly HeldLock[] {
    return this.#locks.isEmpty ? [] : this.#locks.of(this.id);
  }

  lockLost({ owner, start, end }: HeldLock): void {
    this.#locks.clear(owner, start, end);
  }

  lockTaken(lock: Omit<HeldLock, 'fh'>): void {
    this.#locks.set({ ...lock, fh: this.id });
  }

  lockGiven(owner: string, start: number, end: number): void {
    this.#locks.clear(owner, start, end);
  }

  /** Whoever waits for a lock waits no longer. */
  endWaits(): void {
    this.#ending.abort();
  }

  /** After what is under way. Errors of delayed writes come out here; it is closed whatever the answer. */
  close(options?: CallOptions): Promise<Reply<'flush'>> {
    this.#closing ??= this.#close(options).finally(() => this.#release());
    return this.#closing;
  }

  async #close(options: CallOptions | undefined): Promise<Reply<'flush'>> {
    this.endWaits();
    await this.#untilUnused(options?.timeoutMs);
    for (const { owner, start, end, pid, family } of this.heldLocks()) {
      const length = end === Number.POSITIVE_INFINITY ? 0 : end - start;
      const flock: Flock = { type: 'unlock', start, length, owner, pid };
      if (family) flock.family = family;
      const unlock: FileWork<Reply<'lk'>> = (top, call, fd) =>
        top.lk({ ...call, lockOwner: owner }, { fd, command: 'set', flock });
      await this.client.runOn(this, options, unlock);
    }
    if (this.directory || !this.#wasWritten) return { ok: true };
    return this.told(await this.client.runOn(this, options, (top, call, fd) => top.flush(call, { fd })));
  }

  #untilUnused(timeoutMs: number | undefined): Promise<void> | undefined {
    if (this.#using === 0) return undefined;
    return new Promise((resolve) => {
      const timer = timeoutMs === undefined ? undefined : this.client.services.clock.after(timeoutMs, resolve);
      this.#unused = () => {
        timer?.cancel();
        resolve();
      };
    });
  }

  #release(): void {
    this.isClosed = true;
    this.client.open.delete(this);
    this.fd.release();
    this.client.services.inodes.release(this.#inode);
  }
}
