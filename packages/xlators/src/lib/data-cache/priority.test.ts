import { describe, expect, it } from 'vitest';
import { globPattern, Priorities } from './priority.ts';

describe('priorities', () => {
  it('are taken from the last pattern that fits', () => {
    const priorities = new Priorities('*.jpg:3,a*:2');
    expect(priorities.weightOf('b.jpg', '/d/b.jpg')).toBe(3);
    expect(priorities.weightOf('a.jpg', '/a.jpg')).toBe(2);
    expect(priorities.weightOf('x', undefined)).toBe(0);
    expect(new Priorities('').weightOf('x', undefined)).toBe(1);
    expect(() => new Priorities('*.jpg')).toThrow('*.jpg');
  });

  it('know the shell patterns', () => {
    expect(globPattern('[!a-c]?.x').test('dz.x')).toBe(true);
    expect(globPattern('[!a-c]?.x').test('az.x')).toBe(false);
    expect(globPattern('a.b').test('axb')).toBe(false);
  });
});
