import { type Dirent, emptyIatt, FileType, type Gfid, rootGfid } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { OpenAhead } from './open-ahead.ts';

/** Inode numbers in an order of their own. */
const numberOf = (i: number) => (i * 7_368_787) % 0xff_ffff;
const gfidOf = (i: number) => `00000000-0000-4000-8000-${numberOf(i).toString(16).padStart(12, '0')}` as Gfid;
const nameOf = (i: number) => `f${i.toString().padStart(6, '0')}`;

function entry(i: number, size = 100, type: FileType = FileType.regular): Dirent {
  const gfid = gfidOf(i);
  return {
    name: nameOf(i) as Dirent['name'],
    gfid,
    type,
    offset: i,
    iatt: { ...emptyIatt(gfid, type), size },
    xattrs: null,
  };
}

const count = 1000;
/** As storage lists: in no order that a person would see. */
const listed = Array.from({ length: count }, (_, i) => (i * 389) % count);
const sorted = Array.from({ length: count }, (_, i) => i);
const numbered = [...sorted].sort((a, b) => numberOf(a) - numberOf(b));

function make(order: readonly number[] = listed): OpenAhead {
  const ahead = new OpenAhead(65_536);
  for (let at = 0; at < order.length; at += 100)
    ahead.listed(
      rootGfid,
      order.slice(at, at + 100).map((i) => entry(i)),
    );
  return ahead;
}

/** Opens in this order, each opening ahead ending at once; which had been opened ahead. */
function run(ahead: OpenAhead, order: readonly number[]): number[] {
  const known = new Set<Gfid>();
  return order.filter((i) => {
    const wasKnown = known.has(gfidOf(i));
    for (const gfid of ahead.opened(gfidOf(i), wasKnown)) {
      known.add(gfid);
      ahead.arrived();
    }
    return wasKnown;
  });
}

describe('opening ahead', () => {
  it.each([
    ['of the listing', listed],
    ['of names', sorted],
    ['of names, some left out', sorted.filter((i) => i % 3 !== 1)],
    ['of inode numbers', numbered],
  ])('follows the order %s', (_, order) => {
    const found = run(make(), order);
    expect(found.length).toBeGreaterThan(order.length - 10);
  });

  it('opens little that is not used, however far it was wrong', () => {
    const ahead = make();
    run(ahead, sorted.slice(0, 300));
    expect(ahead.counts.opened - ahead.counts.used).toBeLessThan(150);
    const random = Array.from({ length: 300 }, (_, i) => (i * 7919 + 13) % count);
    const before = ahead.counts.opened;
    run(ahead, random);
    expect(ahead.counts.opened - before).toBeLessThan(30);
  });

  it('ends where nothing comes of it, and is tried again later', () => {
    const ahead = make();
    const vain = (order: readonly number[]) => {
      let opened = 0;
      for (const i of order) {
        const next = ahead.opened(gfidOf(i), false);
        opened += next.length;
        for (const _ of next) ahead.arrived();
      }
      return opened;
    };
    const once = vain(sorted);
    expect(once).toBeLessThan(250);
    expect(vain(sorted)).toBeGreaterThan(0);
    expect(run(ahead, sorted).length + run(ahead, sorted).length).toBeGreaterThan(count / 2);
  });

  it('goes on with names that are listed meanwhile', () => {
    const ahead = new OpenAhead(65_536);
    const known = new Set<Gfid>();
    let hits = 0;
    for (let i = 0; i < 500; i++) {
      if (i % 50 === 0)
        ahead.listed(
          rootGfid,
          sorted.slice(i, i + 100).map((one) => entry(one)),
        );
      if (known.has(gfidOf(i))) hits++;
      for (const gfid of ahead.opened(gfidOf(i), known.has(gfidOf(i)))) {
        known.add(gfid);
        ahead.arrived();
      }
    }
    expect(hits).toBeGreaterThan(480);
  });

  it('is of small files alone, and of those that were listed', () => {
    const ahead = new OpenAhead(65_536);
    const entries = sorted.slice(0, 100).map((i) => {
      if (i % 4 === 1) return entry(i, 0);
      if (i % 4 === 2) return entry(i, 70_000);
      return i % 4 === 3 ? entry(i, 10, FileType.directory) : entry(i);
    });
    ahead.listed(rootGfid, [...entries, { ...entry(200), iatt: null }]);
    const opened = [0, 4, 8, 12].flatMap((i) => ahead.opened(gfidOf(i), false));
    expect(opened.length).toBeGreaterThan(0);
    const small = new Set(sorted.filter((i) => i % 4 === 0).map(gfidOf));
    expect(opened.every((gfid) => small.has(gfid))).toBe(true);
    expect(ahead.opened(gfidOf(999), false)).toEqual([]);
  });

  it('has no more under way than it may', () => {
    const ahead = make();
    let underWay = 0;
    for (const i of sorted) underWay += ahead.opened(gfidOf(i), false).length;
    expect(underWay).toBeLessThanOrEqual(64);
  });

  it('remembers so many directories, and so many names of each', () => {
    const ahead = new OpenAhead(65_536);
    for (let d = 0; d < 40; d++)
      ahead.listed(
        gfidOf(1_000_000 + d),
        sorted.slice(0, 5).map((i) => entry(10_000 * d + i)),
      );
    const opens = (d: number) => [0, 1, 2].flatMap((i) => ahead.opened(gfidOf(10_000 * d + i), false));
    expect([opens(0).length, opens(39).length > 0]).toEqual([0, true]);
    const huge = new OpenAhead(65_536);
    for (let i = 0; i < 40_000; i += 100)
      huge.listed(
        rootGfid,
        Array.from({ length: 100 }, (_, j) => entry(i + j)),
      );
    expect([0, 1, 2].flatMap((i) => huge.opened(gfidOf(i), false))).toEqual([]);
    expect([39_900, 39_901, 39_902].flatMap((i) => huge.opened(gfidOf(i), false)).length).toBeGreaterThan(0);
  });
});
