import fc from 'fast-check';
import { expect, it } from 'vitest';
import { idleTime } from './idle-time.ts';

it('is short for a first use, and after a pause that no lease outlasts', () => {
  expect(idleTime(Number.POSITIVE_INFINITY, 1000)).toBe(100);
  expect(idleTime(1001, 1000)).toBe(100);
});

it('outlasts a pause like the last one, if a lease may be kept for that', () => {
  fc.assert(
    fc.property(fc.nat(5000), fc.nat(5000), (pauseMs, mostMs) => {
      const ms = idleTime(pauseMs, mostMs);
      expect(ms).toBeLessThanOrEqual(mostMs);
      if (pauseMs <= mostMs) expect(ms).toBeGreaterThanOrEqual(Math.min(pauseMs, mostMs));
      expect(ms).toBeGreaterThanOrEqual(Math.min(100, mostMs));
    }),
  );
});
