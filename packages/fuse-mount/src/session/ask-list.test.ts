import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Ask } from './ask.ts';
import { AskList } from './ask-list.ts';

const ask = (unique: number) => ({ uniqueLow: unique, uniqueHigh: 0, before: null, after: null }) as unknown as Ask;

describe('the list of requests under way', () => {
  it('keeps their order whichever leaves, and finds them by number', () => {
    const step = fc.record({ add: fc.boolean(), at: fc.nat(20) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const list = new AskList();
        const model: Ask[] = [];
        steps.forEach(({ add, at }, i) => {
          if (add || model.length === 0) {
            const one = ask(i);
            list.add(one);
            model.push(one);
          } else {
            const [gone] = model.splice(at % model.length, 1);
            list.remove(gone!);
            expect(list.find(gone!.uniqueLow, 0)).toBeUndefined();
          }
        });
        expect(list.list()).toEqual(model);
        for (const one of model) expect(list.find(one.uniqueLow, 0)).toBe(one);
      }),
    );
  });
});
