import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Changelog, shakenCount } from './changelog.ts';
import { bearers, wholeAmong } from './lasting.ts';
import { hasQuorum, quorumRule } from './quorum.ts';

/** As a replica set of `count` tells it. */
const quorumOf = (count: number) => (children: readonly number[]) =>
  hasQuorum(
    quorumRule('auto', 0, count),
    Array.from({ length: count }, (_, i) => children.includes(i)),
  );

describe('on whom an acknowledged change rests', () => {
  it('is nobody in particular while those that are believed are a quorum, or all there are', () => {
    expect(bearers([0, 1, 2], [0, 1], quorumOf(3))).toEqual([]);
    expect(bearers([0, 1], [0, 1, 2], quorumOf(3))).toEqual([]);
    // The one that holds data beside an arbiter.
    expect(bearers([0], [0, 2], quorumOf(3))).toEqual([]);
    // The first of two goes on alone.
    expect(bearers([0, 1], [0], quorumOf(2))).toEqual([]);
  });

  it('is the few that are believed where others make up the quorum', () => {
    expect(bearers([0, 1], [1], quorumOf(3))).toEqual([1]);
    expect(bearers([0, 1, 2], [1], quorumOf(3))).toEqual([1]);
    expect(bearers([0, 1], [1], quorumOf(2))).toEqual([1]);
    expect(bearers([0, 1, 2, 3], [1, 2], quorumOf(5))).toEqual([1, 2]);
  });

  it('is all of the believed that did it, or nobody because they are a quorum or all there are', () => {
    const children = fc.uniqueArray(fc.nat({ max: 4 }));
    fc.assert(
      fc.property(children, children, (done, believed) => {
        const right = done.filter((child) => believed.includes(child));
        const isEnough = right.length >= 3 || right.length === done.length;
        expect(bearers(done, believed, quorumOf(5))).toEqual(isEnough ? [] : right);
      }),
    );
  });
});

describe('who is known to have all that was acknowledged', () => {
  /** Of data: whom it accuses, and its dirty counter. */
  const log = (accused: readonly number[] = [], dirty = 0): Changelog => ({
    blames: [0, 1, 2].map((child) => [accused.includes(child) ? 1 : 0, 0, 0] as const),
    dirty: [dirty, 0, 0],
  });

  it('is whoever nobody accuses, also in doubt', () => {
    expect(wholeAmong([1, 2], [undefined, log([0]), log([0])], 'data', { quorumCount: 2 })).toEqual([1, 2]);
    expect(wholeAmong([2], [undefined, log([0], 1), log([0], 1)], 'data', { quorumCount: 2 })).toEqual([2]);
  });

  it('is not who is accused, or not believed beside another', () => {
    expect(wholeAmong([2], [undefined, log([0, 2]), log([0])], 'data', { quorumCount: 2 })).toEqual([]);
    expect(wholeAmong([2], [undefined, log([0], 1), log([0])], 'data', { quorumCount: 2 })).toEqual([]);
  });

  it('is not who lost something with its machine, be it all that is left', () => {
    expect(
      wholeAmong([1, 2], [undefined, log([0], shakenCount), log([0], shakenCount)], 'data', { quorumCount: 2 }),
    ).toEqual([]);
  });

  it('is nobody where all are accused', () => {
    const matrix = [log([2]), log([0, 2]), log([0, 1])];
    expect(wholeAmong([0, 1, 2], matrix, 'data', { quorumCount: 2 })).toEqual([]);
  });
});
