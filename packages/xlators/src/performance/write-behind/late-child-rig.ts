/** For tests: a child with one file whose requests end late, in any order, and some of them in vain. */
import { type Args, type Call, Errno, emptyIatt, FileType, fail, type Gfid, type Iatt, type Reply } from '@mortar/core';
import type { RigChild } from '../../lib/translator-rig.ts';

export const testGfid = '00000000-0000-4000-8000-000000000abc' as Gfid;

export class LateFile {
  data = Buffer.alloc(0);
  /** Bytes of writes under way. */
  underWay = 0;
  mostUnderWay = 0;
  writes: { offset: number; size: number }[] = [];
  failures = 0;
  readonly #pending: (() => void)[] = [];
  readonly #next: (below: number) => number;
  /** Of 100 writes so many fail. */
  failing = 0;
  #ticks = 1;

  constructor(child: RigChild, next: (below: number) => number) {
    this.#next = next;
    child.answers = {
      writev: (_call: Call, args: Args<'writev'>) => this.#write(args),
      readv: (_call: Call, { size, offset }: Args<'readv'>) =>
        this.#late(() => ({
          ok: true as const,
          data: Uint8Array.from(this.data.subarray(offset, offset + size)),
          iatt: this.iatt(),
        })),
      fstat: () => this.#late(() => ({ ok: true as const, iatt: this.iatt() })),
      stat: () => this.#late(() => ({ ok: true as const, iatt: this.iatt() })),
      lookup: () => this.#late(() => ({ ok: true as const, iatt: this.iatt(), postParent: emptyIatt(), xattrs: {} })),
      ftruncate: (_call: Call, { size }: Args<'ftruncate'>) =>
        this.#late(() => {
          this.#resize(size);
          return { ok: true as const, pre: emptyIatt(), post: this.iatt() };
        }),
      fsync: () => this.#late(() => ({ ok: true as const, pre: emptyIatt(), post: this.iatt() })),
    };
  }

  iatt(): Iatt {
    return { ...emptyIatt(testGfid, FileType.regular), size: this.data.length, ctime: this.#ticks };
  }

  /** Ends one request that is under way, if there is one. */
  step(): boolean {
    if (this.#pending.length === 0) return false;
    this.#pending.splice(this.#next(this.#pending.length), 1)[0]!();
    return true;
  }

  /** Ends requests as they come, until told to stop. */
  run(): () => void {
    let isOver = false;
    const turn = () => {
      if (isOver) return;
      if (this.#next(3) > 0) this.step();
      setImmediate(turn);
    };
    setImmediate(turn);
    return () => {
      isOver = true;
    };
  }

  #write({ offset, data }: Args<'writev'>): Promise<Reply<'writev'>> {
    this.writes.push({ offset, size: data.length });
    this.underWay += data.length;
    this.mostUnderWay = Math.max(this.mostUnderWay, this.underWay);
    const bytes = Uint8Array.from(data);
    return this.#late(() => {
      this.underWay -= bytes.length;
      if (this.#next(100) < this.failing) {
        this.failures++;
        return fail(Errno.ENOSPC);
      }
      if (offset + bytes.length > this.data.length) this.#resize(offset + bytes.length);
      this.data.set(bytes, offset);
      this.#ticks++;
      return { ok: true, written: bytes.length, pre: emptyIatt(), post: this.iatt() };
    });
  }

  #resize(size: number): void {
    const next = Buffer.alloc(size);
    this.data.copy(next, 0, 0, Math.min(size, this.data.length));
    this.data = next;
    this.#ticks++;
  }

  #late<R>(what: () => R): Promise<R> {
    return new Promise((resolve) => this.#pending.push(() => resolve(what())));
  }
}
