import fc from 'fast-check';
import { expect, it } from 'vitest';
import { sum } from './checksum.ts';
import { parseLines, printLines } from './lines.ts';

const key = fc.stringMatching(/^[a-z0-9._-]{1,20}$/);
const value = fc.string().filter((text) => !text.includes('\n'));

it('reads back what it writes, whatever a value holds', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(key, value)), (lines) => {
      expect(parseLines(printLines(lines))).toEqual(lines);
    }),
  );
});

it('sums up any bytes to 32 bits, buffer by buffer', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 3000 }), (bytes) => {
      const whole = sum(bytes);
      expect(whole).toBeGreaterThanOrEqual(0);
      expect(whole).toBeLessThan(2 ** 32);
      if (bytes.length > 1024) expect(sum(bytes.subarray(1024), sum(bytes.subarray(0, 1024)))).toBe(whole);
    }),
  );
});
