import { nodeClock } from '@mortar/rpc/transports/node-ports.ts';
import { describe, expect, it } from 'vitest';
import { LockTable, lockLifeMs } from './lock.ts';

let now = 0;
const clock = { ...nodeClock, nowMs: () => now };

describe('the cluster lock', () => {
  it('is held by one operation a volume, and shows by whom and how long', () => {
    const locks = new LockTable(clock);
    const holder = locks.take('v', 'n1', 'volume set');
    now += 7000;
    expect(() => locks.take('v', 'n2', 'volume stop')).toThrow(/in progress for v\..*volume set by node n1, for 7 s/);
    expect(locks.holders()).toMatchObject([{ subject: 'v', ageMs: 7000 }]);
    locks.take('w', 'n2', 'volume stop');
    locks.release('v', holder);
    locks.take('v', 'n2', 'volume stop');
  });

  it('of everything waits for none and lets none in', () => {
    const locks = new LockTable(clock);
    const one = locks.take('v', 'n1', 'volume set');
    expect(() => locks.take('all', 'n1', 'volume set')).toThrow(/for the cluster/);
    locks.release('v', one);
    locks.take('all', 'n1', 'volume set');
    expect(() => locks.take('v', 'n1', 'volume set')).toThrow();
  });

  it('is gone when it is broken', () => {
    const locks = new LockTable(clock);
    const holder = locks.take('v', 'n1', 'volume set');
    expect(locks.isHeld('v', holder)).toBe(true);
    expect(locks.break()).toMatchObject([{ subject: 'v', holder }]);
    expect(locks.isHeld('v', holder)).toBe(false);
    expect(locks.holders()).toEqual([]);
  });

  it('expires, and its late holder releases nothing', () => {
    const locks = new LockTable(clock);
    const late = locks.take('v', 'n1', 'volume set');
    now += lockLifeMs + 1;
    const next = locks.take('v', 'n2', 'volume stop');
    locks.release('v', late);
    expect(locks.holders().map(({ holder }) => holder)).toEqual([next]);
  });
});
