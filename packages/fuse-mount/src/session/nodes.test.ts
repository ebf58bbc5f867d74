import { emptyIatt, FileType, type Gfid, InodeTable } from '@mortar/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NodeTable } from './nodes.ts';

const gfid = (n: number) => `00000000-0000-4000-8000-${n.toString(16).padStart(12, '0')}` as Gfid;
const iatt = (n: number) => emptyIatt(gfid(n), FileType.regular);

describe('numbers of nodes', () => {
  it('are never given twice, find their node, and nothing when it is gone', () => {
    const step = fc.record({ file: fc.nat(12), forget: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const nodes = new NodeTable(new InodeTable(4));
        const given = new Map<number, number>();
        const live = new Map<number, number>();
        for (const { file, forget } of steps) {
          const known = live.get(file);
          if (forget && known !== undefined) {
            nodes.forget(known, 1);
            live.delete(file);
            expect(nodes.byId(known)).toBeUndefined();
          } else if (known === undefined) {
            const { id } = nodes.lookedUp(iatt(file + 2), null, null);
            expect(given.has(id)).toBe(false);
            expect(Number.isSafeInteger(id)).toBe(true);
            given.set(id, file);
            live.set(file, id);
          }
          for (const [one, id] of live) expect(nodes.byId(id)?.gfid).toBe(gfid(one + 2));
          expect(nodes.size).toBe(live.size + 1);
          expect(new Set([...nodes.all()].map(({ id }) => id))).toEqual(new Set([1, ...live.values()]));
        }
      }),
      { numRuns: 50 },
    );
  });

  it('that were never given find nothing', () => {
    const nodes = new NodeTable(new InodeTable());
    for (const id of [0, 2, 2 ** 26 + 1, 2 ** 52, 2 ** 60, -1, Number.NaN]) expect(nodes.byId(id)).toBeUndefined();
    expect(nodes.byId(1)).toBe(nodes.root);
  });

  it('leave nothing held when all is given back', () => {
    const inodes = new InodeTable();
    const nodes = new NodeTable(inodes);
    for (let n = 0; n < 10; n++) nodes.lookedUp(iatt(n + 2), null, null);
    for (let n = 0; n < 10; n++) nodes.lookedUp(iatt(n + 2), null, null);
    expect(inodes.stats().active).toBe(11);
    nodes.clear();
    // The root is held by the table itself.
    expect(inodes.stats().active).toBe(1);
  });
});
