import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { freshBytes } from './payload.ts';

describe('fresh bytes', () => {
  it('have their size, begin on a multiple of 8 and never overlap', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(40_000), { maxLength: 100 }), (sizes) => {
        const all = sizes.map((size, i) => freshBytes(size).fill(i % 256));
        all.forEach((bytes, i) => {
          expect(bytes.length).toBe(sizes[i]);
          expect(bytes.byteOffset % 8).toBe(0);
          expect(bytes.every((byte) => byte === i % 256)).toBe(true);
        });
      }),
      { numRuns: 20 },
    );
  });
});
