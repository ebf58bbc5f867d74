/** Whether a child has room for a file that is moved there. What children said just now holds for small files that follow. */
import { type Call, type Iatt, locOf, rootGfid, type Statfs } from '@mortar/core';
import type { Distribute } from './distribute.ts';

/** So long, and for so many bytes brought there since, it is not asked again. */
const knownMs = 100;
const knownBytes = 16 * 1024 * 1024;

interface Known {
  readonly statfs: Statfs;
  readonly atMs: number;
  /** Brought there since. */
  bytes: number;
}

export class Room {
  readonly #d: Distribute;
  readonly #known = new Map<number, Known>();
  /** Told how long it took to be told. */
  readonly #asked: (ms: number) => void;

  constructor(d: Distribute, asked: (ms: number) => void) {
    this.#d = d;
    this.#asked = asked;
  }

  /** Without force a file does not go where less space would be left, by percent, than where it is. */
  async has(
    call: Call,
    iatt: Iatt,
    from: number,
    to: number,
    kind: 'fix-layout' | 'migrate' | 'force' | 'detach',
  ): Promise<boolean> {
    const [there, here] = await Promise.all([this.#of(call, to), this.#of(call, from)]);
    if (!there || !here) return false;
    const bytes = iatt.blocks * 512;
    const left = free(there.statfs) - there.bytes - bytes;
    if (left < reserve(this.#d, there.statfs)) return false;
    const has = kind !== 'migrate' || percent(left, there.statfs) >= percent(free(here.statfs) + bytes, here.statfs);
    if (has) there.bytes += bytes;
    return has;
  }

  async #of(call: Call, child: number): Promise<Known | undefined> {
    const { clock } = this.#d.services;
    const beganMs = clock.nowMs();
    const known = this.#known.get(child);
    if (known && beganMs - known.atMs < knownMs && known.bytes < knownBytes) return known;
    const [reply] = await this.#d.ask([child], (one) => one.statfs(this.#d.ownCall(call), { loc: locOf(rootGfid) }));
    this.#asked(clock.nowMs() - beganMs);
    if (!reply!.ok) return undefined;
    const fresh = { statfs: reply!.statfs, atMs: beganMs, bytes: 0 };
    this.#known.set(child, fresh);
    return fresh;
  }
}

/** Whole percent: bricks that are about as full as each other are as good as each other. */
function percent(bytes: number, { blocks, fragmentSize }: Statfs): number {
  return Math.floor((bytes * 100) / Math.max(1, blocks * fragmentSize));
}

function free({ blocksAvailable, fragmentSize }: Statfs): number {
  return blocksAvailable * fragmentSize;
}

function reserve(d: Distribute, statfs: Statfs): number {
  const limit = d.options['min-free-disk'];
  return 'bytes' in limit ? limit.bytes : (statfs.blocks * statfs.fragmentSize * limit.percent) / 100;
}
