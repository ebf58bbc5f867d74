import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PageStore, PagesOfFile } from './pages.ts';

describe('pages', () => {
  it('of the least weight go first, among them the least recently used', () => {
    const store = new PageStore(4 * 1200);
    const light = new PagesOfFile(0);
    const heavy = new PagesOfFile(5);
    const data = new Uint8Array(1000);
    store.put(heavy, 0, data);
    store.put(light, 0, data);
    store.put(light, 1, data);
    store.get(light, 0);
    store.put(heavy, 1, data);
    store.put(heavy, 2, data);
    expect([...light.pages.keys()]).toEqual([0]);
    store.put(heavy, 3, data);
    expect([...light.pages.keys()]).toEqual([]);
    expect([...heavy.pages.keys()]).toEqual([0, 1, 2, 3]);
  });

  it('never exceed the limit, and are counted to the byte', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(3), fc.nat(5), fc.nat(2000), fc.nat(2))), (steps) => {
        const store = new PageStore(5000);
        const files = [0, 1, 2, 3].map((weight) => new PagesOfFile(weight));
        for (const [f, index, size, what] of steps) {
          if (what === 0) store.put(files[f]!, index, new Uint8Array(size));
          else if (what === 1) store.remove(files[f]!, index);
          else store.setWeight(files[f]!, index);
          expect(store.usedBytes).toBeLessThanOrEqual(5000);
        }
        for (const file of files) store.clear(file);
        expect(store.usedBytes).toBe(0);
      }),
    );
  });
});
