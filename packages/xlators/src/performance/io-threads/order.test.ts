import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { settle } from '../../lib/translator-rig.ts';
import { Order } from './order.ts';

interface Run {
  id: number;
  keys: string[];
  changes: boolean;
  state: 'waiting' | 'running' | 'done';
  finish: () => void;
}

function start(order: Order, id: number, keys: string[], changes: boolean): Run {
  const run: Run = { id, keys, changes, state: 'waiting', finish: () => {} };
  void order
    .run(keys, changes, () => {
      run.state = 'running';
      return new Promise<void>((resolve) => {
        run.finish = resolve;
      });
    })
    .then(() => {
      run.state = 'done';
    });
  return run;
}

describe('order', () => {
  it('is not in the way of what is not registered', async () => {
    const order = new Order();
    expect(order.busy(['a'])).toBe(false);
    const run = start(order, 0, ['a', 'a'], true);
    await settle();
    expect([order.busy(['a']), order.busy(['b'])]).toEqual([true, false]);
    run.finish();
    await settle();
    expect(order.size).toBe(0);
  });

  it('goes on after a call that throws', async () => {
    const order = new Order();
    await expect(order.run(['a'], true, () => Promise.reject(new Error('bug')))).rejects.toThrow('bug');
    expect(order.size).toBe(0);
  });

  it('keeps changes of one thing apart and in order, lets reads run together, and forgets nobody', async () => {
    const step = fc.oneof(
      fc.record({
        keys: fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 3 }),
        changes: fc.boolean(),
      }),
      fc.record({ finish: fc.nat(5) }),
    );
    const touch = (a: Run, b: Run) => (a.changes || b.changes) && a.keys.some((key) => b.keys.includes(key));
    const check = async (steps: (typeof step extends fc.Arbitrary<infer S> ? S : never)[]) => {
      const order = new Order();
      const runs: Run[] = [];
      for (const action of steps) {
        if ('finish' in action) runs.filter((run) => run.state === 'running')[action.finish]?.finish();
        else runs.push(start(order, runs.length, action.keys, action.changes));
        await settle();
        for (const run of runs.filter((r) => r.state !== 'done')) {
          const before = runs.some((other) => other.id < run.id && other.state !== 'done' && touch(other, run));
          expect([run.id, run.state]).toEqual([run.id, before ? 'waiting' : 'running']);
        }
      }
      for (let running = runs; running.length > 0; running = runs.filter((run) => run.state === 'running')) {
        for (const run of running) run.finish();
        await settle();
      }
      expect(runs.every((run) => run.state === 'done')).toBe(true);
      expect(order.size).toBe(0);
    };
    await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 30 }), check), { numRuns: 200 });
  });
});
