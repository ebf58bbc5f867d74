import { expect, it } from 'vitest';
import { ExtentList } from './extents.ts';

it('makes one extent of equal neighbours, and ends where there is no room', () => {
  const list = new ExtentList(2);
  expect(list.add(10, true, true)).toBe(true);
  expect(list.add(0, false, false)).toBe(true);
  expect(list.add(5, true, true)).toBe(true);
  expect(list.add(7, false, false)).toBe(true);
  expect(list.add(3, true, true)).toBe(false);
  // What would fit the last one is not next to it any more.
  expect(list.add(4, false, false)).toBe(false);
  expect(list.extents).toEqual([
    { length: 15, hole: true, zero: true },
    { length: 7, hole: false, zero: false },
  ]);
});
