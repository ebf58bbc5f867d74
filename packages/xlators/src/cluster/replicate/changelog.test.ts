import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { changelogOf, decodeVector, dirtyKey, encodeVector, negated, type Vector } from './changelog.ts';

const key = (j: number) => `trusted.afr.vol-client-${j}`;
const keys = [key(0), key(1), key(2)];
const none: Vector = [0, 0, 0];

describe('changelog vectors', () => {
  it('have GlusterFS bytes', () => {
    expect(Buffer.from(encodeVector([1, 0, 2])).toString('hex')).toBe('000000010000000000000002');
    expect(decodeVector(Buffer.from('000000020000000100000000', 'hex'))).toEqual([2, 1, 0]);
  });

  it('read as zeros when absent or cut short', () => {
    expect(decodeVector(undefined)).toEqual(none);
    expect(decodeVector(Buffer.alloc(11, 1))).toEqual(none);
  });

  it('survive a round trip, also negative', () => {
    const int = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
    fc.assert(
      fc.property(fc.tuple(int, int, int), (vector) => {
        expect(decodeVector(encodeVector(vector))).toEqual(vector);
      }),
    );
  });

  it('subtract to zero', () => {
    expect(negated([1, 2, 0])).toEqual([-1, -2, 0]);
  });

  it('are found under the names of the children', () => {
    const log = changelogOf({ [key(2)]: encodeVector([1, 0, 0]), [dirtyKey]: encodeVector([0, 0, 1]) }, keys);
    expect(log).toEqual({ blames: [none, none, [1, 0, 0]], dirty: [0, 0, 1] });
  });
});
