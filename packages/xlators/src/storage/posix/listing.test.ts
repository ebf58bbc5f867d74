import { mkdirSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Gfid } from '@mortar/core';
import * as libc from '@mortar/libc';
import { entryName } from '@mortar/testing/arbitraries.ts';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { firstNameOffset, lastNameOffset, nameOffset } from '../../lib/name-offset.ts';
import { type ListedName, ListingCache, settle } from './listing.ts';
import type { OpenFile } from './open-files.ts';
import { temporaryBrick } from './rig.ts';

let directory: string;
let file: OpenFile;

beforeAll(() => {
  directory = join(temporaryBrick(), 'd');
  mkdirSync(directory);
  const osFd = libc.open(directory, libc.O_RDONLY | libc.O_DIRECTORY);
  file = { gfid: 'x' as Gfid, osFd, directory: true, by: '', pins: 0, closed: false };
  for (let i = 0; i < 500; i++) writeFileSync(join(directory, `n${i}`), '');
});

afterAll(() => {
  libc.close(file.osFd);
  rmSync(join(directory, '..'), { recursive: true });
});

/** All names, page by page, as a reader with a cursor gets them. */
function readAll(cache: ListingCache, most: number, between: (turn: number) => void = () => {}): ListedName[] {
  const all: ListedName[] = [];
  for (let turn = 0; ; turn++) {
    const page = cache.page(file, all.at(-1)?.offset ?? 0, null);
    if (typeof page === 'number') throw new Error(`errno ${-page}`);
    const names = page.names.slice(page.start, page.start + most);
    all.push(...names);
    if (page.complete && page.start + most >= page.names.length) return all;
    expect(names.length).toBeGreaterThan(0);
    between(turn);
  }
}

describe('the offset of a name', () => {
  it('is in its range, and the same everywhere', () => {
    fc.assert(
      fc.property(entryName, (name) => {
        const offset = nameOffset(name);
        expect(offset).toBeGreaterThanOrEqual(firstNameOffset);
        expect(offset).toBeLessThanOrEqual(lastNameOffset);
      }),
    );
    // Fixed for good: bricks of different versions continue each other's listings.
    expect([nameOffset('a'), nameOffset('file.txt'), nameOffset('\xff'.repeat(255))]).toMatchInlineSnapshot(`
      [
        703432680587,
        39895244306,
        898407519840,
      ]
    `);
  });

  it('scatters similar names', () => {
    const offsets = new Set(Array.from({ length: 100_000 }, (_, i) => nameOffset(`file-${i}.txt`)));
    expect(offsets.size).toBeGreaterThan(99_995);
    const low = [...offsets].filter((offset) => offset < lastNameOffset / 2).length;
    expect(low / offsets.size).toBeCloseTo(0.5, 1);
  });
});

describe('names of one hash', () => {
  it('follow each other by name', () => {
    const at = (name: string, offset: number) => ({ name, offset, type: 8 });
    const names = settle([at('c', 20), at('b', 20), at('d', 21), at('a', 20), at('e', 99)]);
    expect(names.map(({ name, offset }) => [name, offset])).toEqual([
      ['a', 20],
      ['b', 21],
      ['c', 22],
      ['d', 23],
      ['e', 99],
    ]);
  });
});

describe('a directory too large to be kept', () => {
  it('is listed in the same order as a small one', () => {
    const kept = readAll(new ListingCache(libc), 7);
    const passed = readAll(new ListingCache(libc, { listing: 100, pass: 32 }), 7);
    expect(kept).toHaveLength(500);
    expect(passed).toEqual(kept);
    expect(readAll(new ListingCache(libc, { listing: 499, pass: 1 }), 1)).toEqual(kept);
  });

  it('keeps every name that stays while others go', () => {
    const seen = readAll(new ListingCache(libc, { listing: 50, pass: 16 }), 16, (turn) => {
      if (turn < 10) unlinkSync(join(directory, `n${turn}`));
    });
    const names = new Set(seen.map(({ name }) => name));
    expect(names.size).toBe(seen.length);
    for (let i = 10; i < 500; i++) expect(names.has(`n${i}`)).toBe(true);
  });
});
