import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Gfid, gfidFromBytes, rootGfid } from './gfid.ts';
import { InodeTable } from './inode-table.ts';

const gfid = (n: number): Gfid => {
  const bytes = new Uint8Array(16);
  new DataView(bytes.buffer).setUint32(12, n + 1000);
  return gfidFromBytes(bytes);
};

describe('inode table', () => {
  it('keeps one object a gfid while it is held', () => {
    const table = new InodeTable(2);
    const inode = table.hold(table.get(gfid(1)));
    for (let i = 2; i < 50; i++) table.get(gfid(i));
    expect(table.get(gfid(1))).toBe(inode);
    expect(table.stats()).toEqual({ active: 2, lru: 2, limit: 2 });
  });

  it('forgets the longest unused first and tells the owners of slots', () => {
    const table = new InodeTable(2);
    const forgotten: unknown[] = [];
    const slot = table.allocateSlot((inode, state) => forgotten.push([inode.gfid, state]));
    table.get(gfid(1)).slots[slot] = 'one';
    table.get(gfid(2)).slots[slot] = 'two';
    table.get(gfid(1));
    table.get(gfid(3));
    expect(forgotten).toEqual([[gfid(2), 'two']]);
    expect(table.find(gfid(2))).toBeUndefined();
  });

  it('forgets at once what a smaller limit has no room for, but not what is held', () => {
    const table = new InodeTable(9);
    const forgotten: Gfid[] = [];
    const slot = table.allocateSlot((inode) => void forgotten.push(inode.gfid));
    for (let i = 1; i < 6; i++) table.get(gfid(i)).slots[slot] = i;
    table.hold(table.get(gfid(1)));
    table.limit = 2;
    expect(forgotten).toEqual([gfid(2), gfid(3)]);
    expect(table.stats()).toEqual({ active: 2, lru: 2, limit: 2 });
    table.limit = 0;
    for (let i = 10; i < 30; i++) table.get(gfid(i));
    expect(table.stats().lru).toBe(22);
  });

  it('keeps the order of use over any getting, holding and dropping', () => {
    const step = fc.record({ what: fc.constantFrom('get', 'hold', 'release', 'drop'), n: fc.nat(7) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const table = new InodeTable(3);
        const held = new Map<Gfid, number>();
        let idle: Gfid[] = [];
        const use = (id: Gfid) => {
          idle = [...idle.filter((other) => other !== id), id].slice(-3);
        };
        for (const { what, n } of steps) {
          const id = gfid(n);
          const holds = held.get(id) ?? 0;
          if (what === 'drop') {
            table.drop(id);
            idle = idle.filter((other) => other !== id);
          } else if (what === 'release') {
            if (holds === 0) continue;
            table.release(table.get(id));
            held.set(id, holds - 1);
            if (holds === 1) use(id);
          } else {
            const inode = table.get(id);
            if (holds === 0) use(id);
            if (what === 'get') continue;
            table.hold(inode);
            held.set(id, holds + 1);
            idle = idle.filter((other) => other !== id);
          }
        }
        const active = [...held.values()].filter((count) => count > 0).length + 1;
        expect(table.stats()).toEqual({ active, lru: idle.length, limit: 3 });
        for (const id of idle) expect(table.find(id)).toBeDefined();
      }),
    );
  });

  it('frees a slot on all inodes and gives its number out again', () => {
    const table = new InodeTable();
    const slot = table.allocateSlot();
    table.get(gfid(1)).slots[slot] = 'state';
    table.freeSlot(slot);
    expect(table.allocateSlot()).toBe(slot);
    expect(table.get(gfid(1)).slots[slot]).toBeUndefined();
  });

  it('knows the path of a directory as far as its names are known', () => {
    const table = new InodeTable();
    table.link(rootGfid, 'a', table.get(gfid(1)));
    table.link(gfid(1), 'b', table.get(gfid(2)));
    expect(table.pathOf(gfid(2))).toBe('/a/b');
    expect(table.pathOf(rootGfid)).toBe('/');
    expect(table.pathOf(gfid(3))).toBeUndefined();
  });

  it('survives a cycle of names', () => {
    const table = new InodeTable();
    table.link(gfid(2), 'a', table.get(gfid(1)));
    table.link(gfid(1), 'b', table.get(gfid(2)));
    expect(table.pathOf(gfid(1))).toBeUndefined();
  });

  it('refuses a release without a hold', () => {
    const table = new InodeTable();
    expect(() => table.release(table.get(gfid(1)))).toThrow(/released more often/);
  });

  it('gives an inode held, whether it was known, idle or new', () => {
    const table = new InodeTable(2);
    const fresh = table.getHeld(gfid(1));
    expect([fresh.holds, table.get(gfid(1))]).toEqual([1, fresh]);
    expect(table.getHeld(gfid(1)).holds).toBe(2);
    table.release(fresh);
    table.release(fresh);
    expect(table.stats().lru).toBe(1);
    expect(table.getHeld(gfid(1))).toBe(fresh);
    expect(table.stats()).toMatchObject({ active: 2, lru: 0 });
  });
});
