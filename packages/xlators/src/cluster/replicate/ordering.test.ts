import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Claim, Ordering } from './ordering.ts';

const tick = () => new Promise((resolve) => setImmediate(resolve));

describe('the order of own changes', () => {
  it('lets apart ranges and names run together', async () => {
    const order = new Ordering();
    await order.enter([{ start: 0, end: 10 }]);
    await order.enter([{ start: 10, end: 20 }]);
    await order.enter([{ name: 'metadata' }]);
    expect(order.length).toBe(3);
  });

  it('makes the later of two overlapping ones wait until the earlier left', async () => {
    const order = new Ordering();
    const leave = await order.enter([{ start: 0, end: 10 }]);
    let entered = false;
    const second = order.enter([{ start: 5, end: Number.POSITIVE_INFINITY }]).then(() => {
      entered = true;
    });
    await tick();
    expect(entered).toBe(false);
    leave();
    await second;
    expect(entered).toBe(true);
  });

  it('never admits two that conflict, admits all, and keeps the order of those that conflict', async () => {
    const claim = fc.oneof(
      fc.record({ name: fc.constantFrom('a', 'b', 'c') }),
      fc
        .tuple(fc.nat(20), fc.integer({ min: 1, max: 8 }))
        .map(([start, length]): Claim => ({ start, end: start + length })),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(claim, { minLength: 1, maxLength: 2 }), { maxLength: 12 }),
        async (requests) => {
          const order = new Ordering();
          const inside = new Set<number>();
          const log: number[] = [];
          const clash = (a: number, b: number) =>
            requests[a]!.some((x) =>
              requests[b]!.some((y) =>
                'name' in x ? 'name' in y && x.name === y.name : 'start' in y && x.start < y.end && y.start < x.end,
              ),
            );
          await Promise.all(
            requests.map(async (claims, i) => {
              const leave = await order.enter(claims);
              for (const other of inside) expect(clash(i, other)).toBe(false);
              inside.add(i);
              log.push(i);
              await tick();
              inside.delete(i);
              leave();
            }),
          );
          expect(log).toHaveLength(requests.length);
          for (const [at, i] of log.entries())
            for (const j of log.slice(at + 1)) if (j < i) expect(clash(i, j)).toBe(false);
        },
      ),
      { numRuns: 60 },
    );
  });
});
