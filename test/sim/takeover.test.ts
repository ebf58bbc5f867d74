import { DeviceGuard } from '@mortar/xlators/features/block/device-guard.ts';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { takeOver } from './takeover.ts';

/** More, or others: `TAKEOVER_SEEDS=1000-2000`. */
const [from = 1, to = 25] = (process.env.TAKEOVER_SEEDS ?? '').split('-').filter(Boolean).map(Number);
const seeds = to - from + 1;

describe('a block device that is taken over', { timeout: Math.max(240_000, seeds * 5000) }, () => {
  afterEach(() => vi.restoreAllMocks());

  it('keeps what was acknowledged, and nothing of its former holder lands any more', async () => {
    let acknowledged = 0;
    let refused = 0;
    for (let seed = from; seed <= to; seed++) {
      const verdict = await takeOver(seed);
      expect(verdict.problems, `seed ${seed}`).toEqual([]);
      acknowledged += verdict.acknowledged;
      refused += verdict.refused;
    }
    expect(acknowledged).toBeGreaterThan(seeds);
    expect(refused).toBeGreaterThan(seeds);
  });

  it('does neither where bricks let everybody in', async () => {
    // All but the question with which a holder makes sure that there is a guard.
    vi.spyOn(DeviceGuard.prototype, 'isPlain').mockImplementation((epoch) => epoch !== 1);
    let seed = 1;
    while (seed < 10 && (await takeOver(seed)).problems.length === 0) seed++;
    expect(seed).toBeLessThan(10);
  });
});
