import type { Gfid } from '@mortar/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LastWriters } from './last-writers.ts';
import { allTimes, type Times } from './mdata.ts';

const gfid = '00000000-0000-0000-0000-0000000000aa' as Gfid;
const clients = ['a', 'b', 'c'];

/** Steps of a client's clock, in nanoseconds, before each of its changes. */
const changes = fc.array(fc.record({ client: fc.nat(2), after: fc.integer({ min: 1, max: 5 }) }), { maxLength: 40 });
const skews = fc.tuple(fc.nat(100), fc.nat(100), fc.nat(100));
const start = { sec: 9, nsec: 999_999_950 };

function timeOf(ns: number) {
  const nsec = start.nsec + ns;
  const sec = Math.floor(nsec / 1e9);
  return { sec: start.sec + sec, nsec: nsec - sec * 1e9 };
}

function mtimeOf({ mtime, mtimeNsec }: Times): number {
  return (mtime - start.sec) * 1e9 + mtimeNsec;
}

describe('times of changes by several clients', () => {
  it('go forward with each change, however wrong their clocks are', () => {
    fc.assert(
      fc.property(changes, skews, (made, wrongBy) => {
        const writers = new LastWriters();
        const times = allTimes(start);
        let nowNs = 0;
        for (const { client, after } of made) {
          nowNs += after;
          const before = mtimeOf(times);
          writers.raise(times, gfid, clients[client]!, timeOf(nowNs + wrongBy[client]!));
          expect(mtimeOf(times)).toBeGreaterThan(before);
          expect(times.mtimeNsec).toBeLessThan(1e9);
        }
      }),
    );
  });

  it('are the same where changes of one client overtake each other', () => {
    fc.assert(
      fc.property(
        changes,
        skews,
        fc.array(fc.integer({ min: -50, max: 50 }), { minLength: 1 }),
        (made, wrongBy, own) => {
          const ends = [own, [...own].reverse()].map((order) => {
            const writers = new LastWriters();
            const times = allTimes(start);
            let nowNs = 0;
            for (const { client, after } of made) {
              nowNs += after;
              writers.raise(times, gfid, clients[client]!, timeOf(nowNs + wrongBy[client]!));
            }
            // Microseconds around what the file has: its clock may be behind for all of them, for some, or for none.
            const around = mtimeOf(times) - start.nsec;
            for (const us of order) writers.raise(times, gfid, 'd', timeOf(around + us * 1000));
            return mtimeOf(times);
          });
          expect(ends[0]).toBe(ends[1]);
        },
      ),
    );
  });

  it('go forward where the clock of a client is set back by more than a second, until it has caught up', () => {
    const writers = new LastWriters();
    const times = allTimes({ sec: 0, nsec: 0 });
    const raise = (sec: number, nsec = 0) => {
      writers.raise(times, gfid, 'a', { sec, nsec });
      return [times.mtime, times.mtimeNsec];
    };
    expect(raise(100)).toEqual([100, 0]);
    // Overtaken by the one before.
    expect(raise(99)).toEqual([100, 0]);
    expect(raise(98, 999_999_999)).toEqual([100, 1]);
    expect(raise(99, 500_000_000)).toEqual([100, 2]);
    expect(raise(101)).toEqual([101, 0]);
    expect(raise(100, 500_000_000)).toEqual([101, 0]);
  });

  it('go forward where the time was set to one that is to come, also after it was forgotten who wrote last', () => {
    const writers = new LastWriters();
    const times = allTimes({ sec: 100, nsec: 0 });
    for (let i = 1; i <= 3; i++) {
      if (i === 3) writers.forget(gfid);
      writers.raise(times, gfid, 'a', { sec: i, nsec: 0 });
      expect([times.mtime, times.mtimeNsec]).toEqual([100, i]);
    }
  });
});
