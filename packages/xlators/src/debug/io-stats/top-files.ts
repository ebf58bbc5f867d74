/** What `volume top` shows: how often each file was opened, read, written or listed, and how fast. Bounded. */
import type { Args, Clock, FopName, Gfid, InodeTable } from '@mortar/core';

export type TopKind = 'open' | 'read' | 'write' | 'opendir' | 'readdir';
export type TopOperation = TopKind | 'read-perf' | 'write-perf' | 'clear';

export interface TopAnswer {
  openNow: number;
  openMax: number;
  /** `YYYY-MM-DD hh:mm:ss`, UTC; empty: nothing was open yet. */
  openMaxTime: string;
  /** Number of operations or megabytes a second (of the fastest, at `time`), largest first. */
  members: { name: string; value: number; time?: string }[];
  cleared?: true;
}

interface Member {
  readonly gfid: Gfid;
  readonly value: number;
  readonly time?: string;
}

interface Speed {
  megabytesPerSecond: number;
  time: string;
}

/** Files that are remembered of a kind; the one that was new longest ago makes room. */
const filesMax = 4096;
const kinds: Partial<Record<FopName, TopKind>> = {
  open: 'open',
  create: 'open',
  readv: 'read',
  writev: 'write',
  opendir: 'opendir',
  readdir: 'readdir',
  readdirp: 'readdir',
};

export function topKind(fop: FopName): TopKind | undefined {
  return kinds[fop];
}

export class TopFiles {
  readonly #clock: Clock;
  readonly #inodes: InodeTable;
  readonly #counts = new Map<TopKind, Map<Gfid, number>>();
  readonly #speeds = new Map<'read' | 'write', Map<Gfid, Speed>>();
  #openNow = 0;
  #openMax = 0;
  #openMaxTime = '';

  constructor(clock: Clock, inodes: InodeTable) {
    this.#clock = clock;
    this.#inodes = inodes;
  }

  count(kind: TopKind, args: object): void {
    const gfid = gfidOf(args);
    if (gfid === null) return;
    const counts = entry(this.#counts, kind);
    const before = counts.get(gfid);
    if (before === undefined) makeRoom(counts);
    counts.set(gfid, (before ?? 0) + 1);
  }

  opened(args: Args<'open'> | Args<'create'>): void {
    this.#openNow++;
    if (this.#openNow > this.#openMax) {
      this.#openMax = this.#openNow;
      this.#openMaxTime = this.#now();
    }
    args.fd.onRelease(() => {
      this.#openNow--;
    });
  }

  took(kind: 'read' | 'write', args: object, bytes: number, micros: number): void {
    const gfid = gfidOf(args);
    if (gfid === null || micros <= 0) return;
    const megabytesPerSecond = bytes / micros;
    const speeds = entry(this.#speeds, kind);
    const before = speeds.get(gfid);
    if (before && before.megabytesPerSecond >= megabytesPerSecond) return;
    if (!before) makeRoom(speeds);
    speeds.set(gfid, { megabytesPerSecond, time: this.#now() });
  }

  /** `pathOf`: asked of those that are shown and have no name in memory. */
  async report(
    operation: TopOperation,
    count: number,
    pathOf: (gfid: Gfid) => Promise<string | undefined>,
  ): Promise<TopAnswer> {
    if (operation === 'clear') return this.#clear();
    const all: Member[] =
      operation === 'read-perf' || operation === 'write-perf'
        ? this.#fastest(operation === 'read-perf' ? 'read' : 'write')
        : [...entry(this.#counts, operation)].map(([gfid, value]) => ({ gfid, value }));
    all.sort((a, b) => b.value - a.value);
    const members: TopAnswer['members'] = [];
    for (const { gfid, ...shown } of all.slice(0, count)) {
      const path = this.#inodes.pathOf(gfid) ?? (await pathOf(gfid));
      members.push({ name: path ?? `<gfid:${gfid}>`, ...shown });
    }
    return { ...this.#open(), members };
  }

  #fastest(kind: 'read' | 'write'): Member[] {
    const speeds = [...entry(this.#speeds, kind)];
    return speeds.map(([gfid, { megabytesPerSecond: value, time }]) => ({ gfid, value, time }));
  }

  #clear(): TopAnswer {
    this.#counts.clear();
    this.#speeds.clear();
    this.#openMax = this.#openNow;
    this.#openMaxTime = '';
    return { ...this.#open(), members: [], cleared: true };
  }

  #open() {
    return { openNow: this.#openNow, openMax: this.#openMax, openMaxTime: this.#openMaxTime };
  }

  #now(): string {
    const { sec, nsec } = this.#clock.wall();
    const date = new Date(sec * 1000).toISOString();
    return `${date.slice(0, 10)} ${date.slice(11, 19)} +0000.${`${Math.floor(nsec / 1000)}`.padStart(6, '0')}`;
  }
}

/** Of the file that a call opens, reads, writes or lists. */
function gfidOf(args: object): Gfid | null {
  const { fd, gfid, loc } = args as { fd?: { gfid: Gfid }; gfid?: Gfid; loc?: { gfid: Gfid | null } };
  return fd?.gfid ?? gfid ?? loc?.gfid ?? null;
}

function entry<K, T>(maps: Map<K, Map<Gfid, T>>, kind: K): Map<Gfid, T> {
  let map = maps.get(kind);
  if (!map) {
    map = new Map();
    maps.set(kind, map);
  }
  return map;
}

function makeRoom(map: Map<Gfid, unknown>): void {
  if (map.size < filesMax) return;
  const [oldest] = map.keys();
  map.delete(oldest!);
}
