import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NameHasher } from './hash.ts';
import {
  anomaliesOf,
  assignRanges,
  type Candidate,
  childOfHash,
  decodeRange,
  encodeRange,
  layoutOf,
  maxHash,
  ownsNames,
  type Range,
  readAfter,
} from './layout.ts';

interface Volume {
  volume: string;
  subvols: number;
  options: Record<string, string>;
  brick_chunks_1MiB: Record<string, number> | null;
  dirs: { path: string; gfid: string; path_hash: string; gfid_hash: string; layout: Record<string, string | null> }[];
}
const { volumes } = JSON.parse(
  readFileSync(new URL('../../../../../test/fixtures/dht/dht-dir-layouts.json', import.meta.url), 'utf8'),
) as { volumes: Volume[] };

const hex = (range: Range) => Buffer.from(encodeRange(range)).toString('hex');
const whole = (ranges: readonly Range[]) => layoutOf(ranges.map((range) => ({ state: 'range', range })));

describe('the layout of a new directory', () => {
  for (const volume of volumes)
    it(`is what the reference client wrote on ${volume.volume}`, () => {
      const hasher = new NameHasher();
      const byGfid = volume.options['cluster.randomize-hash-range-by-gfid'] === 'on';
      const names = Array.from({ length: volume.subvols }, (_, i) => `${volume.volume}-client-${i}`);
      const children: Candidate[] = names.map((name) => ({
        name,
        usable: true,
        chunks: volume.brick_chunks_1MiB?.[name] ?? 0,
      }));
      for (const dir of volume.dirs) {
        const path = Buffer.from(dir.path, 'utf8').toString('latin1');
        expect(hasher.hash(path)).toBe(Number(dir.path_hash));
        expect(hasher.hash(dir.gfid)).toBe(Number(dir.gfid_hash));
        if (dir.path === '/' && volume.subvols === 1) continue;
        const ranges = assignRanges(children, {
          seed: hasher.hash(byGfid ? dir.gfid : path),
          spread: Number(volume.options['cluster.subvols-per-directory'] ?? 0),
          weighted: volume.options['cluster.weighted-rebalance'] !== 'off',
          // Word 0 is the commit hash at the time; the ranges are what is assigned.
          commit: 0,
        });
        const written = names.map((name) => dir.layout[name]!.slice(8));
        expect(
          ranges.map((range) => hex(range).slice(8)),
          `${volume.volume} ${dir.path}`,
        ).toEqual(written);
      }
    });

  const candidates = fc.array(
    fc.record({ name: fc.string({ maxLength: 4 }), usable: fc.boolean(), chunks: fc.nat(1 << 24) }),
    { minLength: 1, maxLength: 20 },
  );
  it('covers every hash exactly once, with any children, weights and spread', () => {
    fc.assert(
      fc.property(candidates, fc.nat(maxHash), fc.nat(24), fc.boolean(), (children, seed, spread, weighted) => {
        fc.pre(children.some((child) => child.usable));
        const ranges = assignRanges(children, { seed, spread, weighted, commit: 5 });
        const { holes, overlaps } = anomaliesOf(whole(ranges));
        expect({ holes, overlaps }).toEqual({ holes: 0, overlaps: 0 });
        ranges.forEach((range, i) => {
          if (!children[i]!.usable) expect(ownsNames(range)).toBe(false);
        });
      }),
    );
  });
});

describe('a layout', () => {
  it('survives its xattr', () => {
    fc.assert(
      fc.property(fc.nat(maxHash), fc.nat(1), fc.nat(maxHash), fc.nat(maxHash), (commit, type, a, b) => {
        const range = { commit, type, start: Math.min(a, b), stop: Math.max(a, b) };
        expect(decodeRange(encodeRange(range))).toEqual(range);
      }),
    );
  });

  it('is refused when it is none', () => {
    expect(decodeRange(Buffer.alloc(15))).toBeUndefined();
    expect(decodeRange(Buffer.from('00000000000000020000000000000001', 'hex'))).toBeUndefined();
    expect(decodeRange(Buffer.from('00000000000000000000000200000001', 'hex'))).toBeUndefined();
  });

  const range = (start: number, stop: number, commit = 0): Range => ({ commit, type: 0, start, stop });

  it('tells holes and overlaps', () => {
    expect(anomaliesOf(whole([range(0, 99), range(200, maxHash)])).holes).toBe(1);
    expect(anomaliesOf(whole([range(0, 99)])).holes).toBe(1);
    expect(anomaliesOf(whole([range(0, 99), range(50, maxHash)])).overlaps).toBe(1);
    expect(anomaliesOf(whole([range(0, 0), range(0, maxHash)]))).toEqual({
      holes: 0,
      overlaps: 0,
      missing: 0,
      bare: 0,
      down: 0,
    });
    expect(anomaliesOf(layoutOf([{ state: 'down' }, { state: 'missing' }, { state: 'bare' }]))).toEqual({
      holes: 1,
      overlaps: 0,
      missing: 1,
      bare: 1,
      down: 1,
    });
  });

  it('finds the child of a hash, bounds included', () => {
    const layout = whole([range(0, 0), range(0, 99), range(100, maxHash)]);
    expect([0, 99, 100, maxHash].map((hash) => childOfHash(layout, hash))).toEqual([1, 1, 2, 2]);
    expect(childOfHash(whole([range(0, 9)]), 10)).toBeUndefined();
  });

  it('has the commit hash on which its children agree, else the invalid one', () => {
    expect(whole([range(0, 9, 7), range(10, 20, 7)]).commit).toBe(7);
    expect(whole([range(0, 9, 7), range(10, 20, 8)]).commit).toBe(1);
    expect(layoutOf([{ state: 'bare' }]).commit).toBe(1);
  });
});

describe('a layout that is read where another one was known', () => {
  const range = (commit: number, start: number, stop: number): Range => ({ commit, type: 0, start, stop });
  const old = whole([range(7, 0, 9), range(7, 10, maxHash)]);
  const swapped = whole([range(7, 10, maxHash), range(7, 0, 9)]);

  it('is believed to misplace no file, unless its ranges moved and its commit hash did not', () => {
    expect(readAfter(old, old).commit).toBe(7);
    expect(readAfter(old, whole([range(8, 10, maxHash), range(8, 0, 9)])).commit).toBe(8);
    expect(readAfter(old, swapped).commit).toBe(1);
    expect(readAfter(readAfter(old, swapped), swapped).commit).toBe(1);
    expect(readAfter(readAfter(old, swapped), whole([range(8, 0, 9), range(8, 10, maxHash)])).commit).toBe(8);
  });

  it('is as good as before when a child only was away', () => {
    const away = layoutOf([{ state: 'down' }, { state: 'range', range: range(7, 10, maxHash) }]);
    expect(readAfter(old, away).commit).toBe(7);
    expect(readAfter(away, old).commit).toBe(7);
  });
});
