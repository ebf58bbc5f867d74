import { TagWindow } from '@mortar/block/rsio/tag-window.ts';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { sessionsUnder } from './rsio-sessions.ts';

/** More, or others: `SESSION_SEEDS=1000-2000`. */
const [from = 1, to = 40] = (process.env.SESSION_SEEDS ?? '').split('-').filter(Boolean).map(Number);

describe('sessions of the RSIO-style protocol', { timeout: Math.max(120_000, (to - from) * 3000) }, () => {
  afterEach(() => vi.restoreAllMocks());

  it('keep what was answered, and do nothing late', async () => {
    let writes = 0;
    let takeOvers = 0;
    for (let seed = from; seed <= to; seed++) {
      const verdict = await sessionsUnder(seed);
      expect(verdict.problems, `seed ${seed}`).toEqual([]);
      writes += verdict.writes;
      takeOvers += verdict.takeOvers;
    }
    expect(writes).toBeGreaterThan(to - from);
    expect(takeOvers).toBeGreaterThan((to - from) / 10);
  });

  const isCaught = async (plant: () => void, isGuarded = true) => {
    plant();
    let seed = 1;
    while (seed < 60 && (await sessionsUnder(seed, isGuarded)).problems.length === 0) seed++;
    expect(seed).toBeLessThan(60);
  };

  it('would do neither if requests that come again were done again', () =>
    isCaught(() => void vi.spyOn(TagWindow.prototype, 'meet').mockReturnValue('new')));

  it('would do neither if storage took what a former server still holds', () => isCaught(() => undefined, false));
});
