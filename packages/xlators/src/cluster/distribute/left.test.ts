import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Left } from './left.ts';

/** Files cost something each and something by the byte, and a bit more or less by chance; each is done when its time is over. */
const runs = fc.record({
  sizes: fc.array(fc.integer({ min: 0, max: 50_000_000 }), { minLength: 40, maxLength: 300 }),
  perFileMs: fc.integer({ min: 5, max: 200 }),
  bytesPerMs: fc.integer({ min: 1000, max: 200_000 }),
  noise: fc.array(fc.double({ min: 0.9, max: 1.1, noNaN: true }), { minLength: 40, maxLength: 300 }),
});

it('in the last half tells the time left within a fifth', () => {
  fc.assert(
    fc.property(runs, ({ sizes, perFileMs, bytesPerMs, noise }) => {
      const costs = sizes.map((bytes, i) => (perFileMs + bytes / bytesPerMs) * noise[i % noise.length]!);
      const total = costs.reduce((sum, ms) => sum + ms, 0);
      const left = new Left();
      for (const bytes of sizes) left.expect(bytes);
      left.begin(0);
      let nowMs = 0;
      for (const [i, bytes] of sizes.entries()) {
        nowMs += costs[i]!;
        left.done(nowMs, bytes, costs[i]!);
        const rest = total - nowMs;
        if (nowMs < total / 2 || i === sizes.length - 1) continue;
        const told = left.ms(nowMs)!;
        expect(Math.abs(told - rest)).toBeLessThanOrEqual(rest * 0.2 + total * 0.001);
      }
    }),
  );
});

/** A process that has just begun is slow, and others on the machine come and go: at first files cost several times as much. */
const slowStarts = fc.record({
  files: fc.integer({ min: 400, max: 4000 }),
  slowUntil: fc.double({ min: 0.02, max: 0.05, noNaN: true }),
  slowness: fc.integer({ min: 2, max: 5 }),
  atOnce: fc.integer({ min: 1, max: 64 }),
});

it('in the last half tells the time left within a fifth after a slow start, too', () => {
  fc.assert(
    fc.property(slowStarts, ({ files, slowUntil, slowness, atOnce }) => {
      const costs = Array.from({ length: files }, (_, i) => (i < files * slowUntil ? slowness : 1));
      const total = costs.reduce((sum, ms) => sum + ms, 0);
      const left = new Left();
      left.expect(4096 * files, files);
      left.begin(0);
      let nowMs = 0;
      for (const [i, ms] of costs.entries()) {
        nowMs += ms;
        left.done(nowMs, 4096, ms * atOnce);
        const rest = total - nowMs;
        if (i === files - 1 || nowMs < total / 2) continue;
        expect(Math.abs(left.ms(nowMs)! - rest)).toBeLessThanOrEqual(rest * 0.2 + total * 0.001);
      }
    }),
    { numRuns: 12 },
  );
});

it('knows nothing before the first file is done, and nothing is left after the last', () => {
  const left = new Left();
  left.expect(10);
  expect(left.ms(5)).toBeUndefined();
  left.begin(5);
  expect(left.ms(9)).toBeUndefined();
  left.done(8, 10, 3);
  expect(left.ms(9)).toBe(0);
});

it('does not tell from a few small files how long large ones take', () => {
  const left = new Left();
  for (let i = 0; i < 100; i++) left.expect(4096 + (i % 2));
  for (let i = 0; i < 100; i++) left.expect(10_000_000);
  left.begin(0);
  // By chance those with a byte more took longer: a hundred seconds for each large file.
  for (let i = 0; i < 100; i++) left.done(5 * (i + 1), 4096 + (i % 2), 5 + (i % 2) * 0.01);
  expect(left.ms(500)).toBeUndefined();
  for (let i = 0; i < 10; i++) left.done(500 + 100 * (i + 1), 10_000_000, 100);
  expect(left.ms(1500)).toBeCloseTo(9000, -3);
});
