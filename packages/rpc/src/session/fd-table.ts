import { Fd } from '@mortar/core/fd.ts';
import type { Gfid } from '@mortar/core/gfid.ts';
import { fdNumberMax, type ServerFds, UnknownFdError } from '../codec/coder.ts';

/** Anonymous fds may be read and written. */
const readWrite = 2;

/** The open files of one client session, by the numbers that the client uses. */
export class FdTable implements ServerFds {
  readonly #fds = new Map<number, Fd>();
  readonly #numbers = new Map<Fd, number>();
  #next = 1;
  readonly max: number;

  constructor(max: number) {
    this.max = max;
  }

  get size(): number {
    return this.#fds.size;
  }

  get isFull(): boolean {
    return this.#fds.size >= this.max;
  }

  find(id: number, gfid: Gfid): Fd {
    if (id === 0) return new Fd(gfid, readWrite);
    const fd = this.#fds.get(id);
    if (fd?.gfid !== gfid) throw new UnknownFdError(`this session has no fd ${id} of ${gfid}`);
    return fd;
  }

  make(gfid: Gfid, flags: number): Fd {
    return new Fd(gfid, flags);
  }

  register(fd: Fd): number {
    while (this.#fds.has(this.#next)) this.#step();
    const id = this.#next;
    this.#fds.set(id, fd);
    this.#numbers.set(fd, id);
    this.#step();
    return id;
  }

  #step(): void {
    this.#next = this.#next >= fdNumberMax ? 1 : this.#next + 1;
  }

  has(fd: Fd): boolean {
    return this.#numbers.has(fd);
  }

  release(id: number): void {
    const fd = this.#fds.get(id);
    if (!fd) return;
    this.#fds.delete(id);
    this.#numbers.delete(fd);
    fd.release();
  }

  releaseAll(): void {
    for (const id of [...this.#fds.keys()]) this.release(id);
  }

  all(): IterableIterator<[number, Fd]> {
    return this.#fds.entries();
  }
}
