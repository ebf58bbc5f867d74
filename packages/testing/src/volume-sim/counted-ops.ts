/** Requests of programs in one graph, counted: a graph that was replaced ends when it has had none for a while. */
import { type Fop, type FopName, type Fops, fopNames } from '@mortar/core';

export class CountedOps {
  readonly ops: Fops;
  readonly #nowMs: () => number;
  #running = 0;
  #lastMs = 0;

  constructor(ops: Fops, nowMs: () => number) {
    this.#nowMs = nowMs;
    const counted = (name: FopName) => {
      const run = ops[name] as unknown as Fop<FopName>;
      return (...args: Parameters<Fop<FopName>>) => this.#count(run(...args));
    };
    this.ops = Object.fromEntries(fopNames.map((name) => [name, counted(name)])) as unknown as Fops;
  }

  #count<R>(reply: Promise<R>): Promise<R> {
    this.#running++;
    return reply.finally(() => {
      this.#running--;
      this.#lastMs = this.#nowMs();
    });
  }

  /** Since nothing has been under way for so long. */
  isIdle(ms: number): boolean {
    return this.#running === 0 && this.#nowMs() - this.#lastMs >= ms;
  }
}
