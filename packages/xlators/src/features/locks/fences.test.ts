import { SeededRandom } from '@mortar/testing/sim/random.ts';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Fences } from './fences.ts';

const numbersOf = (fences: Fences, count: number) => Array.from({ length: count }, () => fences.issue('client').number);

it('gives no number that an earlier run of the brick gave', () => {
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const random = new SeededRandom(seed);
      const [first, second] = [new Fences(random), new Fences(random)];
      const old = new Set(numbersOf(first, 100));
      expect(old.size).toBe(100);
      expect(numbersOf(second, 100).some((number) => old.has(number))).toBe(false);
      for (const number of old) expect(second.find(number, 'client')).toBeUndefined();
    }),
  );
});

it('counts from the last place without passing what a number can hold', () => {
  const last = { bytes: () => new Uint8Array(), integer: (below: number) => below - 1 };
  expect(Number.isSafeInteger(numbersOf(new Fences(last), 3).at(-1)! + 2 ** 51)).toBe(true);
});
