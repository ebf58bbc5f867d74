import { describe, expect, it } from 'vitest';
import { ManualClock, settle } from '../../lib/translator-rig.ts';
import { Left } from './left.ts';
import { paceOf, Throttle } from './throttle.ts';

describe('the pace of a rebalance', () => {
  it('is a word or a number of files', () => {
    expect(['lazy', 'normal', 'aggressive', '7', '1000', 'x', '0'].map((one) => paceOf(one).files)).toEqual([
      1, 4, 16, 7, 64, 4, 4,
    ]);
  });

  it('changes with its setting, while files are moved', async () => {
    let setting = 'lazy';
    let running = 0;
    const ends: (() => void)[] = [];
    const throttle = new Throttle(new ManualClock(), () => setting);
    const all = throttle.each(Array.from({ length: 12 }), async () => {
      running++;
      await new Promise<void>((resolve) => ends.push(resolve));
      running--;
    });
    const ended = async () => {
      ends.shift()?.();
      await settle();
      return running;
    };
    await settle();
    expect(running).toBe(1);
    setting = 'normal';
    expect(await ended()).toBe(4);
    setting = 'lazy';
    expect(await ended()).toBe(3);
    setting = 'aggressive';
    expect(await ended()).toBe(9);
    while (ends.length > 0) await ended();
    await all;
  });

  it('counts sixteen small files as one', async () => {
    let setting = 'lazy';
    let running = 0;
    const ends: (() => void)[] = [];
    const throttle = new Throttle(new ManualClock(), () => setting);
    const work = async () => {
      running++;
      await new Promise<void>((resolve) => ends.push(resolve));
      running--;
    };
    const small = throttle.each(Array.from({ length: 40 }), work, () => true);
    await settle();
    expect(running).toBe(16);
    setting = 'normal';
    ends.shift()?.();
    await settle();
    expect(running).toBe(39);
    await small;
    const large = throttle.each(Array.from({ length: 3 }), work);
    await settle();
    // 39 of 64 parts are taken.
    expect(running).toBe(40);
    while (running > 0) {
      ends.shift()?.();
      await settle();
    }
    await large;
    await throttle.idle();
  });

  it('rests once for all the small files that count as one', async () => {
    const clock = new ManualClock();
    const throttle = new Throttle(clock, () => 'normal');
    for (let i = 0; i < 20; i++) throttle.took(2);
    for (let i = 0; i < 20; i++) throttle.took(100);
    let begun = 0;
    const all = throttle.each(
      Array.from({ length: 40 }),
      async () => {
        begun++;
      },
      () => true,
    );
    const passed: number[] = [];
    for (let i = 0; i < 3; i++) {
      await settle();
      passed.push(begun);
      clock.advance(throttle.restMs);
    }
    await all;
    expect(passed).toEqual([15, 31, 40]);
  });

  it('rests when requests get slow, unless it is to be aggressive', () => {
    let setting = 'lazy';
    const throttle = new Throttle(new ManualClock(), () => setting);
    for (let i = 0; i < 20; i++) throttle.took(2);
    expect(throttle.restMs).toBe(0);
    for (let i = 0; i < 20; i++) throttle.took(100);
    const lazy = throttle.restMs;
    expect(lazy).toBeGreaterThan(500);
    setting = 'normal';
    expect(throttle.restMs).toBeLessThan(lazy);
    setting = 'aggressive';
    expect(throttle.restMs).toBe(0);
  });
});

describe('the time left', () => {
  it.each([1, 2, 3, 4, 5])('is within a fifth over the last half of a run (seed %i)', (seed) => {
    let state = seed * 7919;
    const random = () => {
      state = (state * 48271) % 2147483647;
      return state / 2147483647;
    };
    // Most are small, a few large; a file costs 10 ms and 1 s for 100 MB, give or take a fifth; four at once.
    const sizes = Array.from({ length: 3000 }, () => Math.floor(100 / random() ** 1.5) + random() * 4096);
    const costs = sizes.map((bytes) => (10 + bytes / 1e5) * (0.8 + 0.4 * random()));
    const wholeMs = costs.reduce((sum, ms) => sum + ms, 0) / 4;
    const left = new Left();
    for (const bytes of sizes) left.expect(bytes);
    left.begin(1000);
    let nowMs = 1000;
    expect(left.ms(nowMs)).toBeUndefined();
    for (const [i, bytes] of sizes.entries()) {
      nowMs += costs[i]! / 4;
      left.done(nowMs, bytes, costs[i]!);
      const really = wholeMs + 1000 - nowMs;
      const isLate = nowMs - 1000 > wholeMs / 2 && really > 50;
      if (isLate) expect(Math.abs(left.ms(nowMs)! - really) / really, `after ${i}`).toBeLessThan(0.2);
    }
    expect(left.ms(nowMs)).toBe(0);
  });
});
