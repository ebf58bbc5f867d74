/** What `volume profile` shows: fops with latencies, reads and writes by size; since the start and since last asked. */
import type { FopName } from '@mortar/core';

export interface FopStats {
  hits: number;
  /** Microseconds; 0 while latency is not measured. */
  minMicros: number;
  maxMicros: number;
  totalMicros: number;
  measured: number;
}

/** Counts by the power of two at or below the size: key 12 is 4096 to 8191 bytes. */
export type SizeCounts = number[];

/** What a client is told about a file: its data, its attributes, its names; somebody waits for a lock. */
export type UpcallName = 'CI_STAT' | 'CI_XATTR' | 'CI_RENAME' | 'CI_FORGET' | 'LEASE_RECALL';

export interface Stats {
  /** On the clock that never goes back. */
  sinceMs: number;
  fops: Map<FopName, FopStats>;
  /** Notices to clients. */
  upcalls: Map<UpcallName, number>;
  reads: SizeCounts;
  writes: SizeCounts;
  bytesRead: number;
  bytesWritten: number;
}

function freshStats(nowMs: number): Stats {
  return { sinceMs: nowMs, fops: new Map(), upcalls: new Map(), reads: [], writes: [], bytesRead: 0, bytesWritten: 0 };
}

function hit(stats: Stats, fop: FopName, micros: number | undefined): void {
  let one = stats.fops.get(fop);
  if (!one) {
    one = { hits: 0, minMicros: 0, maxMicros: 0, totalMicros: 0, measured: 0 };
    stats.fops.set(fop, one);
  }
  one.hits++;
  if (micros === undefined) return;
  one.minMicros = one.measured === 0 ? micros : Math.min(one.minMicros, micros);
  one.maxMicros = Math.max(one.maxMicros, micros);
  one.totalMicros += micros;
  one.measured++;
}

function countSize(counts: SizeCounts, bytes: number): void {
  const power = bytes < 1 ? 0 : Math.floor(Math.log2(bytes));
  counts[power] = (counts[power] ?? 0) + 1;
}

/** One statistics as it is shown and sent: plain data. */
export interface ProfileSection {
  /** Whole seconds that it covers. */
  durationSeconds: number;
  bytesRead: number;
  bytesWritten: number;
  /** By block size in bytes (a power of two), smallest first. */
  blocks: { size: number; reads: number; writes: number }[];
  fops: { fop: FopName; hits: number; avgMicros: number; minMicros: number; maxMicros: number }[];
  upcalls: { name: UpcallName; hits: number }[];
}

export type ProfileKind = 'info' | 'cumulative' | 'incremental' | 'peek' | 'clear';

export interface ProfileInfo {
  cumulative?: ProfileSection;
  /** Number of the interval, from 0, and what happened in it. */
  interval?: ProfileSection & { number: number };
  cleared?: true;
}

export class Profile {
  #cumulative: Stats;
  #interval: Stats;
  #number = 0;

  constructor(nowMs: number) {
    this.#cumulative = freshStats(nowMs);
    this.#interval = freshStats(nowMs);
  }

  record(fop: FopName, micros: number | undefined): void {
    hit(this.#cumulative, fop, micros);
    hit(this.#interval, fop, micros);
  }

  upcall(name: UpcallName): void {
    for (const { upcalls } of [this.#cumulative, this.#interval]) upcalls.set(name, (upcalls.get(name) ?? 0) + 1);
  }

  read(bytes: number): void {
    for (const stats of [this.#cumulative, this.#interval]) {
      stats.bytesRead += bytes;
      countSize(stats.reads, bytes);
    }
  }

  wrote(bytes: number): void {
    for (const stats of [this.#cumulative, this.#interval]) {
      stats.bytesWritten += bytes;
      countSize(stats.writes, bytes);
    }
  }

  /** `info` and `incremental` end the interval, `peek` does not; `clear` forgets everything. */
  report(kind: ProfileKind, nowMs: number): ProfileInfo {
    if (kind === 'clear') {
      this.#cumulative = freshStats(nowMs);
      this.#interval = freshStats(nowMs);
      this.#number = 0;
      return { cleared: true };
    }
    const info: ProfileInfo = {};
    if (kind !== 'incremental') info.cumulative = section(this.#cumulative, nowMs);
    if (kind !== 'cumulative') info.interval = { ...section(this.#interval, nowMs), number: this.#number };
    if (kind === 'info' || kind === 'incremental') {
      this.#interval = freshStats(nowMs);
      this.#number++;
    }
    if (kind === 'peek') delete info.cumulative;
    return info;
  }
}

function section(stats: Stats, nowMs: number): ProfileSection {
  const powers = Math.max(stats.reads.length, stats.writes.length);
  const blocks: ProfileSection['blocks'] = [];
  for (let power = 0; power < powers; power++) {
    const reads = stats.reads[power] ?? 0;
    const writes = stats.writes[power] ?? 0;
    if (reads + writes > 0) blocks.push({ size: 2 ** power, reads, writes });
  }
  const fops = [...stats.fops].map(([fop, one]) => ({
    fop,
    hits: one.hits,
    avgMicros: one.measured === 0 ? 0 : one.totalMicros / one.measured,
    minMicros: one.minMicros,
    maxMicros: one.maxMicros,
  }));
  const durationSeconds = Math.floor((nowMs - stats.sinceMs) / 1000);
  const upcalls = [...stats.upcalls].map(([name, hits]) => ({ name, hits }));
  return { durationSeconds, bytesRead: stats.bytesRead, bytesWritten: stats.bytesWritten, blocks, fops, upcalls };
}
