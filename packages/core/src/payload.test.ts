import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { freshBytes, lendBytes, pageAlignedBytes, poisonReturnedBytes, returnBytes } from './payload.ts';
import { keptTogether } from './xlator.ts';

afterEach(() => poisonReturnedBytes(false));

describe('fresh bytes', () => {
  it('have their size, begin on a multiple of 8 and never overlap', () => {
    const size = fc.oneof(fc.nat(40_000), fc.constantFrom(512, 1024, 4096, 16384, 65536, 1 << 20));
    fc.assert(
      fc.property(fc.array(size, { maxLength: 100 }), (sizes) => {
        const all = sizes.map((one, i) => freshBytes(one).fill(i % 256));
        all.forEach((bytes, i) => {
          expect(bytes.length).toBe(sizes[i]);
          expect(bytes.byteOffset % 8).toBe(0);
          expect(bytes.every((byte) => byte === i % 256)).toBe(true);
        });
      }),
      { numRuns: 20 },
    );
  });

  it('serve again when they were returned, and only then', () => {
    const first = freshBytes(4096);
    const second = freshBytes(4096);
    expect(second).not.toBe(first);
    returnBytes(first);
    expect(freshBytes(4096)).toBe(first);
    expect(freshBytes(4096)).not.toBe(first);
  });

  it('are never in two hands, whatever is returned, also twice', () => {
    const sizes = fc.constantFrom(512, 700, 4096, 32768, 1 << 20);
    const step = fc.oneof(fc.record({ take: sizes }), fc.record({ give: fc.nat(20), twice: fc.boolean() }));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const held: Buffer[] = [];
        for (const one of steps) {
          if ('take' in one) {
            const bytes = freshBytes(one.take);
            for (const other of held) expect(other).not.toBe(bytes);
            held.push(bytes);
          } else if (held.length > 0) {
            const [bytes] = held.splice(one.give % held.length, 1);
            returnBytes(bytes!);
            if (one.twice) returnBytes(bytes!);
          }
        }
      }),
      { numRuns: 50 },
    );
  });

  it('are kept in bounds', () => {
    const many = Array.from({ length: 40 }, () => freshBytes(1 << 20));
    for (const bytes of many) returnBytes(bytes);
    const again = new Set(Array.from({ length: 40 }, () => freshBytes(1 << 20)));
    expect(many.filter((bytes) => again.has(bytes)).length).toBeLessThanOrEqual(8);
  });

  it('are overwritten when they are returned, if a test wants that', () => {
    poisonReturnedBytes(true);
    const bytes = freshBytes(512).fill(1);
    returnBytes(bytes);
    expect(bytes.every((byte) => byte === 0xdb)).toBe(true);
  });
});

describe('lent bytes', () => {
  it('are given back once', () => {
    let back = 0;
    const bytes = lendBytes(Buffer.from('abc'), () => back++);
    returnBytes(bytes);
    returnBytes(bytes);
    expect(back).toBe(1);
  });

  it('are told from parts of them and from others', () => {
    let back = 0;
    const bytes = lendBytes(Buffer.from('abc'), () => back++);
    returnBytes(bytes.subarray(1));
    returnBytes(Buffer.from('abc'));
    expect(back).toBe(0);
  });
});

it('page-aligned bytes are zero and of the size asked for', () => {
  const bytes = pageAlignedBytes(10_000, 80);
  expect(bytes.length).toBe(10_000);
  expect(bytes.every((byte) => byte === 0)).toBe(true);
});

it.each([
  [[], 'nothing'],
  [['nothing', 'nothing'], 'nothing'],
  [['nothing', 'writes'], 'writes'],
  [['writes', 'all', 'nothing'], 'all'],
] as const)('who stands over %j keeps %s', (below, kept) => {
  expect(keptTogether(below)).toBe(kept);
});
