/** Directory layouts: which child has which range of name hashes (docs/distribute.md). Pure. */
import { strict as assert } from 'node:assert';

export const maxHash = 0xffffffff;
/** Commit hash of a layout of which nothing is known, or whose children disagree. */
export const invalidCommit = 1;
/** Commit hash of ranges that were dealt anew where there had been others: names may be where they were before. No volume has it. */
export const changedCommit = 2;

export const LayoutType = { hash: 0, user: 1 } as const;

/** One child's part of a directory's layout, as its xattr has it. `start` and `stop` both 0: no names. */
export interface Range {
  readonly commit: number;
  readonly type: number;
  readonly start: number;
  readonly stop: number;
}

/** What is known of a child's part: a range, no xattr, no directory, or no answer. */
export type Part = { state: 'range'; range: Range } | { state: 'bare' } | { state: 'missing' } | { state: 'down' };

/** A directory's layout; parts in the order of the children. */
export interface Layout {
  readonly parts: readonly Part[];
  /** The children's common commit hash, `invalidCommit` if they differ. */
  readonly commit: number;
}

export function encodeRange(range: Range): Uint8Array {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt32BE(range.commit, 0);
  bytes.writeUInt32BE(range.type, 4);
  bytes.writeUInt32BE(range.start, 8);
  bytes.writeUInt32BE(range.stop, 12);
  return bytes;
}

/** Undefined for what is no layout: another length, an unknown type, an inverted range. */
export function decodeRange(bytes: Uint8Array): Range | undefined {
  if (bytes.length !== 16) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16);
  const type = view.getUint32(4);
  const range = { commit: view.getUint32(0), type, start: view.getUint32(8), stop: view.getUint32(12) };
  if (type !== LayoutType.hash && type !== LayoutType.user) return undefined;
  return range.start <= range.stop ? range : undefined;
}

export function ownsNames(range: Range): boolean {
  return range.stop !== 0;
}

export function layoutOf(parts: readonly Part[]): Layout {
  let commit: number | undefined;
  for (const part of parts) {
    if (part.state !== 'range') continue;
    if (commit === undefined) commit = part.range.commit;
    else if (commit !== part.range.commit) commit = invalidCommit;
  }
  return { parts, commit: commit ?? invalidCommit };
}

/**
 * A layout read where another one was known. If ranges moved and no commit hash with them, somebody moved them who does
 * not keep the promise that it gives (no file is misplaced), as setfattr on the bricks: it is not believed from then on.
 */
export function readAfter(before: Layout, now: Layout): Layout {
  const pairs = now.parts.flatMap((part, i) => {
    const old = before.parts[i];
    return part.state === 'range' && old?.state === 'range' ? [[old.range, part.range] as const] : [];
  });
  const isSame = pairs.every(([a, b]) => a.commit === b.commit);
  const moved = pairs.some(([a, b]) => a.start !== b.start || a.stop !== b.stop);
  const doubted = before.commit === invalidCommit && pairs.some(([a]) => a.commit !== invalidCommit);
  return isSame && (moved || doubted) ? { ...now, commit: invalidCommit } : now;
}

/** Whether no range of it is known to have been dealt anew, nor to carry the commit hash of a rebalance. */
export function isAsFirstDealt({ parts }: Layout): boolean {
  return parts.every((part) => part.state !== 'range' || part.range.commit === invalidCommit);
}

/** The child whose range has the hash; undefined in a hole. */
export function childOfHash(layout: Layout, hash: number): number | undefined {
  for (let i = 0; i < layout.parts.length; i++) {
    const part = layout.parts[i]!;
    if (part.state === 'range' && ownsNames(part.range) && part.range.start <= hash && hash <= part.range.stop)
      return i;
  }
  return undefined;
}

export interface Anomalies {
  holes: number;
  overlaps: number;
  missing: number;
  bare: number;
  down: number;
}

export function anomaliesOf(layout: Layout): Anomalies {
  const found = { holes: 0, overlaps: 0, missing: 0, bare: 0, down: 0 };
  const ranges: Range[] = [];
  for (const part of layout.parts) {
    if (part.state === 'range') {
      if (ownsNames(part.range)) ranges.push(part.range);
    } else found[part.state]++;
  }
  ranges.sort((a, b) => a.start - b.start || a.stop - b.stop);
  let next = 0;
  for (const { start, stop } of ranges) {
    if (start > next) found.holes++;
    else if (start < next) found.overlaps++;
    next = Math.max(next, stop + 1);
  }
  if (next <= maxHash) found.holes++;
  return found;
}

/** Whether distribute ever gave the directory a layout; one that was made on the bricks by hand has none. */
export function hasRange(layout: Layout): boolean {
  return layout.parts.some((part) => part.state === 'range');
}

/** A child as the assignment of ranges sees it. */
export interface Candidate {
  readonly name: string;
  /** Up, not leaving the volume, not failed. */
  readonly usable: boolean;
  /** Size in MiB, for weighting; 0 when unknown. */
  readonly chunks: number;
}

export interface Assignment {
  /** Hash of the directory's path (or gfid): decides who gets the first range. */
  readonly seed: number;
  /** At most so many children; 0: all. */
  readonly spread: number;
  readonly weighted: boolean;
  readonly commit: number;
}

/** The ranges of a new directory, in the order of `children`; all 0 for a child that gets none. */
export function assignRanges(children: readonly Candidate[], { seed, spread, weighted, commit }: Assignment): Range[] {
  const order = children.map((_, i) => i).sort((a, b) => compareBytes(children[a]!.name, children[b]!.name));
  const usable = children.filter((child) => child.usable).length;
  const use = spread > 0 && spread <= usable ? spread : usable;
  const chosen = order
    .map((_, k) => order[(seed + k) % order.length]!)
    .filter((i) => children[i]!.usable)
    .slice(0, use);
  const byWeight = weighted && chosen.every((i) => children[i]!.chunks > 0);
  const weightOf = (i: number) => (byWeight ? children[i]!.chunks : 1);
  const unit = maxHash / chosen.reduce((sum, i) => sum + weightOf(i), 0);
  const ranges: Range[] = children.map(() => ({ commit, type: LayoutType.hash, start: 0, stop: 0 }));
  let start = 0;
  for (const i of chosen) {
    const size = Math.trunc(unit * weightOf(i));
    const stop = i === chosen.at(-1) ? maxHash : start + size - 1;
    assert(start <= stop + 1 && stop <= maxHash);
    // A child so small that it gets no hash at all owns nothing.
    if (stop >= start) ranges[i] = { commit, type: LayoutType.hash, start, stop };
    start += size;
  }
  return ranges;
}

function compareBytes(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
