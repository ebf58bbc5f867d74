import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Expectation } from './expectation.ts';

describe('an expectation', () => {
  it('starts hopeful, gives up after a row of misses, and still tries now and then', () => {
    const expectation = new Expectation(1);
    for (let i = 0; i < 16; i++) {
      expect(expectation.likely()).toBe(true);
      expectation.met(false);
    }
    const tries = Array.from({ length: 64 }, () => expectation.likely()).filter(Boolean);
    expect(tries).toHaveLength(4);
  });

  it('is back after one hit', () => {
    const expectation = new Expectation(4);
    for (let i = 0; i < 100; i++) expectation.met(false);
    expect(expectation.likely()).toBe(false);
    expectation.met(true);
    for (let i = 0; i < 4; i++) {
      expect(expectation.likely()).toBe(true);
      expectation.met(false);
    }
    expect(expectation.likely()).toBe(false);
  });

  it('never loses hope while hits make up for the misses', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(3), { maxLength: 200 }), (missesBetween) => {
        const expectation = new Expectation(4);
        for (const misses of missesBetween) {
          for (let i = 0; i < misses; i++) expectation.met(false);
          expectation.met(true);
          expect(expectation.likely()).toBe(true);
        }
      }),
    );
  });
});
