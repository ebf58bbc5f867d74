/** How full the children are; where a new file goes when the child it hashes to is too full. */
import { type Clock, locOf, type Reply, rootGfid, type Statfs } from '@mortar/core';
import type { Layout } from './layout.ts';

export interface SpaceLimits {
  readonly disk: { percent: number } | { bytes: number };
  readonly inodesPercent: number;
}

const refreshMs = 1000;
const mib = 2 ** 20;

export type AskStatfs = (child: number, loc: ReturnType<typeof locOf>) => Promise<Reply<'statfs'>>;

export class Space {
  readonly #clock: Clock;
  readonly #ask: AskStatfs;
  readonly #known: (Statfs | undefined)[];
  #askedAtMs = Number.NEGATIVE_INFINITY;
  #running: Promise<void> | undefined;
  limits: SpaceLimits;

  constructor(clock: Clock, children: number, limits: SpaceLimits, ask: AskStatfs) {
    this.#clock = clock;
    this.#ask = ask;
    this.#known = Array.from({ length: children }, () => undefined);
    this.limits = limits;
  }

  /** Asks again when the last answer is older than a second. Waits only when nothing is known yet. */
  async refresh(): Promise<void> {
    if (this.#clock.nowMs() - this.#askedAtMs >= refreshMs) {
      this.#askedAtMs = this.#clock.nowMs();
      this.#running = Promise.all(this.#known.map((_, i) => this.#refreshOne(i))).then(() => {
        this.#running = undefined;
      });
    }
    if (this.#running && this.#known.every((one) => one === undefined)) await this.#running;
  }

  async #refreshOne(child: number): Promise<void> {
    const reply = await this.#ask(child, locOf(rootGfid));
    if (reply.ok) this.#known[child] = reply.statfs;
  }

  /** Size in units of 1 MiB, 0 when unknown: the weight of a child in new layouts. */
  chunks(child: number): number {
    const statfs = this.#known[child];
    if (!statfs || statfs.blockSize <= 0 || statfs.blocks <= 0) return 0;
    const perChunk = mib / statfs.blockSize;
    return perChunk < 1 ? Math.ceil((statfs.blocks * statfs.blockSize) / mib) : Math.ceil(statfs.blocks / perChunk);
  }

  /** The child for a new file that hashes to `hashed`: that one unless it leaves the volume, or is too full and another isn't. */
  choose(hashed: number, layout: Layout, usable: (child: number) => boolean): number {
    if (usable(hashed) && !this.#isFull(hashed)) return hashed;
    let best: number | undefined;
    let bestSpace = 0;
    let bestInodes = 0;
    const fits = (i: number) => layout.parts[i]?.state === 'range' && usable(i) && this.#known[i] !== undefined;
    for (let i = 0; i < this.#known.length; i++) {
      if (!fits(i) || this.#isFull(i)) continue;
      const { spacePercent, inodesPercent } = this.#free(i);
      if (spacePercent <= bestSpace && inodesPercent <= bestInodes) continue;
      best = i;
      bestSpace = spacePercent;
      bestInodes = inodesPercent;
    }
    return best ?? this.#roomiest(fits) ?? hashed;
  }

  #roomiest(fits: (child: number) => boolean): number | undefined {
    let best: number | undefined;
    let bestBytes = 0;
    for (let i = 0; i < this.#known.length; i++) {
      if (!fits(i)) continue;
      const { bytes, inodesPercent } = this.#free(i);
      if (bytes <= bestBytes || inodesPercent <= 0) continue;
      best = i;
      bestBytes = bytes;
    }
    return best;
  }

  #isFull(child: number): boolean {
    if (!this.#known[child]) return false;
    const { bytes, spacePercent, inodesPercent } = this.#free(child);
    const { disk } = this.limits;
    const diskFull = 'percent' in disk ? spacePercent < disk.percent : bytes < disk.bytes;
    return diskFull || inodesPercent < this.limits.inodesPercent;
  }

  #free(child: number): { bytes: number; spacePercent: number; inodesPercent: number } {
    const statfs = this.#known[child]!;
    const percent = (part: number, whole: number) => (whole > 0 ? (part * 100) / whole : 100);
    return {
      bytes: statfs.blocksAvailable * statfs.fragmentSize,
      spacePercent: percent(statfs.blocksAvailable, statfs.blocks),
      // File systems that make inodes as needed report none: no limit.
      inodesPercent: percent(statfs.filesFree, statfs.files),
    };
  }
}
