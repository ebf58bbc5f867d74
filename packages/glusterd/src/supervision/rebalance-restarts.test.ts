import { describe, expect, it } from 'vitest';
import { RebalanceRestarts } from './rebalance-restarts.ts';

describe('a process of a rebalance', () => {
  it('that died is started again after pauses that double, and given up after the sixth death in ten minutes', () => {
    const restarts = new RebalanceRestarts();
    let deaths: number[] = [];
    const pauses: (number | undefined)[] = [];
    for (let i = 0; i < 6; i++) {
      const died = restarts.died('t', deaths, i * 100, 0);
      deaths = died.deaths;
      pauses.push(died.pauseMs);
    }
    expect(pauses).toEqual([1000, 2000, 4000, 8000, 16_000, undefined]);
    // The first two were ten minutes ago and more.
    expect(restarts.died('t', deaths, 700, 0)).toEqual({ deaths: [200, 300, 400, 500, 700], pauseMs: 16_000 });
  });

  it('is due once, when its pause is over', () => {
    const restarts = new RebalanceRestarts();
    expect(restarts.due('t', 0)).toBe('unknown');
    restarts.died('t', [], 0, 5000);
    expect([5999, 6000, 6001].map((ms) => restarts.due('t', ms))).toEqual(['later', 'now', 'unknown']);
  });

  it('that nobody has started is overdue after a minute and a half; what began, or is no task any more, is forgotten', () => {
    const restarts = new RebalanceRestarts();
    expect([0, 89_999, 90_000].map((ms) => restarts.isOverdue('t', ms))).toEqual([false, false, true]);
    restarts.began('t');
    expect(restarts.isOverdue('t', 100_000)).toBe(false);
    restarts.keepOnly(new Set(['other']));
    expect(restarts.isOverdue('t', 300_000)).toBe(false);
  });
});
