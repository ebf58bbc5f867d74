import { readFileSync } from 'node:fs';
import { type Gfid, newGfid } from '@mortar/core';
import { nodeRandom } from '@mortar/rpc/transports/node-ports.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isOfPart, shareOf } from './share.ts';

const { volumes } = JSON.parse(
  readFileSync(new URL('../../../../../test/fixtures/dht/dht-dir-layouts.json', import.meta.url), 'utf8'),
) as { volumes: { dirs: { gfid: Gfid; gfid_hash: string }[] }[] };

const gfids = fc
  .uint8Array({ minLength: 16, maxLength: 16 })
  .map((bytes) => newGfid({ ...nodeRandom, bytes: () => bytes }));
describe('the share of a rebalance process', () => {
  it('is everything without others', () => {
    const share = shareOf('', 3);
    expect(share.has(7)).toBe(true);
    fc.assert(fc.property(gfids, fc.nat(100), (gfid, child) => share.isMine(child, gfid)));
  });

  it('gives each file of a child to exactly one of those that share it', () => {
    fc.assert(
      fc.property(gfids, fc.integer({ min: 1, max: 40 }), (gfid, of) => {
        const mine = Array.from({ length: of }, (_, turn) => shareOf(`0:${turn}/${of}`, 1));
        expect(mine.filter((share) => share.isMine(0, gfid))).toHaveLength(1);
      }),
    );
  });

  it('deals the files of a child out evenly', () => {
    const counts = [0, 0, 0];
    for (let i = 0; i < 3000; i++) {
      const gfid = newGfid(nodeRandom);
      for (const turn of [0, 1, 2]) if (isOfPart(gfid, { turn, of: 3 })) counts[turn]!++;
    }
    for (const count of counts) expect(count).toBeGreaterThan(800);
  });

  it('goes by the same hash of the gfid as GlusterFS', () => {
    for (const { gfid, gfid_hash } of volumes.flatMap(({ dirs }) => dirs))
      for (const of of [2, 3, 7]) expect(isOfPart(gfid, { turn: Number(gfid_hash) % of, of })).toBe(true);
  });

  it('leaves children to others that it does not name', () => {
    const share = shareOf('1:0/1,2:1/2', 3);
    expect([0, 1, 2].map((child) => share.has(child))).toEqual([false, true, true]);
    fc.assert(fc.property(gfids, (gfid) => share.isMine(1, gfid) && !share.isMine(0, gfid)));
  });

  it.each([
    ['1', /CHILD:TURN\/OF/],
    ['1:2/2', /turn below/],
    ['1:0/0', /turn below/],
    ['1:-1/2', /CHILD:TURN\/OF/],
    ['b:0/1', /CHILD:TURN\/OF/],
    ['2:0/1', /no child 2/],
    ['1:0/2,1:1/2', /child 1 is there twice/],
  ])('refuses %s', (text, message) => {
    expect(() => shareOf(text, 2)).toThrow(message);
  });
});
