import fc from 'fast-check';
import { expect, it } from 'vitest';
import { nsBetween, RisingTime } from './rising-time.ts';

const at = (ns: number) => ({ sec: Math.floor(ns / 1e9), nsec: ns % 1e9 });

it('rises, whatever the clock does within a second, and is never behind it', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1000, max: 1_000_000_000 }), { minLength: 1, maxLength: 50 }), (looks) => {
      const time = new RisingTime();
      let last = time.at(at(5e9 - 1));
      for (const look of looks) {
        const wall = at(4e9 + look);
        const given = look % 3 === 0 ? time.next() : time.at(wall);
        expect(nsBetween(last, given)).toBeGreaterThan(0);
        expect(given.nsec).toBeLessThan(1e9);
        if (look % 3 !== 0) expect(nsBetween(wall, given)).toBeGreaterThanOrEqual(0);
        last = given;
      }
    }),
  );
});

it.each([
  ['stays where the clock is set back by a second', 1e9, 7e9 + 1],
  ['follows a clock that is set back by more', 1e9 + 1, 6e9 - 1],
])('%s', (_what, backNs, expected) => {
  const time = new RisingTime();
  time.at(at(7e9));
  expect(time.at(at(7e9 - backNs))).toEqual(at(expected));
});
