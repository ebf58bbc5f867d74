import { describe, expect, it } from 'vitest';
import { hasQuorum, quorumCount, quorumRule } from './quorum.ts';

describe('quorum', () => {
  it('is off for two replicas and more than half for three, unless told otherwise', () => {
    expect(quorumRule(undefined, 0, 2).type).toBe('none');
    expect(quorumRule(undefined, 0, 3).type).toBe('auto');
    expect(quorumRule('none', 0, 3).type).toBe('none');
  });

  it('auto needs more than half, or half with the first child', () => {
    const two = quorumRule('auto', 0, 2);
    expect(hasQuorum(two, [true, false])).toBe(true);
    expect(hasQuorum(two, [false, true])).toBe(false);
    const three = quorumRule('auto', 0, 3);
    expect(hasQuorum(three, [false, true, true])).toBe(true);
    expect(hasQuorum(three, [true, false, false])).toBe(false);
    expect(quorumCount(three, 3)).toBe(2);
  });

  it('fixed needs its count, at most all and at least one', () => {
    expect(hasQuorum(quorumRule('fixed', 2, 3), [true, false, false])).toBe(false);
    expect(hasQuorum(quorumRule('fixed', 9, 3), [true, true, true])).toBe(true);
    expect(hasQuorum(quorumRule('fixed', 0, 3), [false, false, false])).toBe(false);
  });

  it('none needs somebody', () => {
    expect(hasQuorum(quorumRule('none', 0, 2), [false, true])).toBe(true);
    expect(hasQuorum(quorumRule('none', 0, 2), [false, false])).toBe(false);
  });
});
