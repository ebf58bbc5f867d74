import { bySession, notLinearizable, type RegisterOperation } from '@mortar/testing/sim/register.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const write = (value: string, begin: number, end = Number.POSITIVE_INFINITY): RegisterOperation => ({
  kind: 'write',
  value,
  begin,
  end,
});
const read = (value: string, begin: number, end: number): RegisterOperation => ({ kind: 'read', value, begin, end });

/** By trying all orders: an operation may come next if none that ended before it began is left. */
function bruteForce(operations: readonly RegisterOperation[], value: string): boolean {
  if (operations.every((one) => one.end === Number.POSITIVE_INFINITY)) return true;
  const firstEnd = Math.min(...operations.map((one) => one.end));
  return operations.some((one, i) => {
    if (one.begin > firstEnd || (one.kind === 'read' && one.value !== value)) return false;
    return bruteForce(operations.toSpliced(i, 1), one.kind === 'write' ? one.value : value);
  });
}

describe('a register', () => {
  it('may answer either value while a write runs', () => {
    expect(notLinearizable([write('a', 1, 10), read('0', 2, 3), read('a', 4, 5)], '0')).toBeUndefined();
  });

  it('never goes back', () => {
    expect(notLinearizable([write('a', 1, 10), read('a', 2, 3), read('0', 4, 5)], '0')).toBeDefined();
  });

  it('never forgets what was acknowledged', () => {
    expect(notLinearizable([write('a', 1, 2), read('0', 3, 4)], '0')).toBeDefined();
  });

  it('may take a failed write or leave it, but not both', () => {
    expect(notLinearizable([write('a', 1), read('0', 5, 6), read('a', 7, 8)], '0')).toBeUndefined();
    expect(notLinearizable([write('a', 1), read('a', 5, 6), read('0', 7, 8)], '0')).toBeDefined();
  });

  it('answers nothing that nobody wrote, and nothing before it is written', () => {
    expect(notLinearizable([read('x', 1, 2)], '0')).toBeDefined();
    expect(notLinearizable([read('a', 1, 2), write('a', 3, 4)], '0')).toBeDefined();
  });

  it('is judged as by trying all orders', () => {
    const operation = fc.record({
      isRead: fc.boolean(),
      choice: fc.nat({ max: 3 }),
      begin: fc.nat({ max: 12 }),
      length: fc.nat({ max: 6 }),
      isLost: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 7 }), (drawn) => {
        // Instants are distinct, as in a history.
        const operations = drawn.map(({ isRead, choice, begin, length, isLost }, i) => {
          const from = begin + i / 100;
          const to = from + length + 0.005;
          if (isRead) return read(choice === 0 ? '0' : `w${choice - 1}`, from, to);
          return write(`w${i}`, from, isLost ? Number.POSITIVE_INFINITY : to);
        });
        expect(notLinearizable(operations, '0') === undefined).toBe(bruteForce(operations, '0'));
      }),
      { numRuns: 2000 },
    );
  });

  it('may lag behind others, but not behind what its own client did, when judged by session', () => {
    const of = (client: string, one: RegisterOperation) => ({ ...one, client });
    const stale = [of('x', write('a', 1, 2)), of('y', read('0', 3, 4))];
    expect(notLinearizable(stale, '0')).toBeDefined();
    expect(notLinearizable(bySession(stale), '0')).toBeUndefined();
    const own = [of('x', write('a', 1, 2)), of('x', read('0', 3, 4))];
    expect(notLinearizable(bySession(own), '0')).toBeDefined();
  });
});
