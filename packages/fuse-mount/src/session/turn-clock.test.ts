import type { Timespec } from '@mortar/core';
import { expect, it } from 'vitest';
import { TurnClock } from './turn-clock.ts';

/** A clock of which each look takes the next time. */
function clockOf(times: Timespec[]) {
  const clock = { nowMs: () => 0, wall: () => times.shift()!, after: () => ({ cancel() {} }), sleep: async () => {} };
  return { turns: new TurnClock(clock), left: () => times.length };
}

const at = (sec: number, nsec: number): Timespec => ({ sec, nsec });

it('looks once for sixteen requests of a turn, and each has a time of its own', () => {
  const { turns, left } = clockOf([at(7, 999_999_990), at(8, 100)]);
  const times = Array.from({ length: 16 }, () => turns.now());
  expect(left()).toBe(1);
  expect(times[9]).toEqual(at(7, 999_999_999));
  expect(times[10]).toEqual(at(8, 0));
  expect(new Set(times.map(({ sec, nsec }) => `${sec}.${nsec}`)).size).toBe(16);
  expect(turns.now()).toEqual(at(8, 100));
  turns.turn();
  expect(left()).toBe(0);
});

it('looks again in the next turn, and goes on from the time before where the clock stands', () => {
  const { turns } = clockOf([at(7, 1000), at(7, 1000), at(7, 5000)]);
  const looks = Array.from({ length: 3 }, () => {
    turns.turn();
    return turns.now();
  });
  expect(looks).toEqual([at(7, 1000), at(7, 1001), at(7, 5000)]);
});
