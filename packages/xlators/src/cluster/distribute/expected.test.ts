import { describe, expect, it } from 'vitest';
import { Expected } from './expected.ts';
import { layoutOf } from './layout.ts';

const range = (start: number, stop: number) => ({
  state: 'range' as const,
  range: { commit: 1, type: 0, start, stop },
});
const halves = layoutOf([range(0, 0x7fffffff), range(0x80000000, 0xffffffff)]);

function told(files: Expected) {
  const sum = { count: 0, bytes: 0 };
  files.misplaced(halves, (count, bytes) => {
    sum.count += count;
    sum.bytes += bytes;
  });
  return sum;
}

describe('what is to be moved of a directory', () => {
  it('is exact for few names', () => {
    const files = new Expected();
    files.add(0, 0x7fffffff, 10);
    files.add(0, 0x80000000, 100);
    files.add(1, 0xffffffff, 1000);
    files.add(1, 5, 10_000);
    expect(told(files)).toEqual({ count: 2, bytes: 10_100 });
  });

  it('is about right for any number of them', () => {
    const files = new Expected();
    const count = 200_000;
    for (let i = 0; i < count; i++) files.add(i % 2, Math.imul(i, 2_654_435_761) >>> 0, 3);
    const { count: misplaced, bytes } = told(files);
    expect(Math.abs(misplaced - count / 2)).toBeLessThan(count / 100);
    expect(bytes).toBe(3 * misplaced);
  });
});
