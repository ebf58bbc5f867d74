import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { gfidBytes, gfidFromBytes, isGfid, newGfid, rootGfid } from './gfid.ts';

describe('gfid', () => {
  it('is the canonical text of its 16 bytes', () => {
    const bytes = Buffer.from('65dc137aa9b946f58f3d9e9cb176ae83', 'hex');
    expect(gfidFromBytes(bytes)).toBe('65dc137a-a9b9-46f5-8f3d-9e9cb176ae83');
    expect(gfidBytes(rootGfid).toString('hex')).toBe('00000000000000000000000000000001');
  });

  it('survives text and back for any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
        const gfid = gfidFromBytes(bytes);
        expect(isGfid(gfid)).toBe(true);
        expect(new Uint8Array(gfidBytes(gfid))).toEqual(bytes);
      }),
    );
  });

  it('made new is a version 4 UUID', () => {
    const random = { bytes: (n: number) => new Uint8Array(n).fill(255), integer: () => 0 };
    expect(newGfid(random)).toBe('ffffffff-ffff-4fff-bfff-ffffffffffff');
  });

  it('refuses other texts', () => {
    for (const text of ['', 'x', '65DC137A-a9b9-46f5-8f3d-9e9cb176ae83', '65dc137aa9b946f58f3d9e9cb176ae83'])
      expect(isGfid(text)).toBe(false);
  });
});
