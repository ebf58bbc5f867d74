import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { defaultPlacement, Placement } from './placement.ts';

const { firstRestMs, longestRestMs } = defaultPlacement;

/** Ten quick newcomers, so that one slow one says little about the rest. */
function warmed(): Placement {
  const placement = new Placement();
  for (let i = 0; i < 10; i++) placement.blocked([`hot${i}`], 0.01, 0);
  return placement;
}

describe('placement', () => {
  it('keeps quick calls inline', () => {
    const placement = warmed();
    for (let now = 0; now < 1000; now++) {
      expect(placement.decide(['hot0'], now)).toBe('inline');
      placement.blocked(['hot0'], 0.05, now);
    }
    expect(placement.slowGroups()).toBe(0);
  });

  it('takes a group off the loop after one slow call, and no other that is known', () => {
    const placement = warmed();
    placement.blocked(['hot1'], 10, 0);
    expect(placement.decide(['hot1'], 1)).toBe('offload');
    expect(placement.decide(['hot0', 'hot1'], 1)).toBe('offload');
    expect(placement.decide(['hot0'], 1)).toBe('inline');
  });

  it('notices many calls that are each a little slow', () => {
    const placement = warmed();
    for (let i = 0; i < 10; i++) placement.blocked(['hot0'], 1.5, i);
    expect(placement.decide(['hot0'], 10)).toBe('offload');
  });

  it('lets newcomers pay for one another', () => {
    const placement = new Placement();
    expect(placement.decide(['cold0'], 0)).toBe('inline');
    placement.blocked(['cold0'], 10, 0);
    for (let i = 1; i < 100; i++) {
      expect(placement.decide([`cold${i}`], i)).toBe('offload');
      placement.offloaded([`cold${i}`], 10, i);
    }
    expect(placement.decide(['new'], firstRestMs)).toBe('probe');
    expect(placement.decide(['newer'], firstRestMs)).toBe('offload');
    placement.blocked(['new'], 0.01, firstRestMs);
    expect(placement.decide(['newest'], firstRestMs)).toBe('inline');
    expect(placement.decide(['cold99'], firstRestMs)).toBe('offload');
  });

  it('tries one call after a rest, and goes back when it is quick', () => {
    const placement = warmed();
    placement.blocked(['hot0'], 10, 0);
    expect(placement.decide(['hot0'], firstRestMs - 1)).toBe('offload');
    expect(placement.decide(['hot0'], firstRestMs)).toBe('probe');
    expect(placement.decide(['hot0'], firstRestMs)).toBe('offload');
    placement.blocked(['hot0'], 0.05, firstRestMs);
    expect(placement.decide(['hot0'], firstRestMs)).toBe('inline');
  });

  it('rests longer each time the probe was slow, up to a limit', () => {
    const placement = warmed();
    placement.blocked(['hot0'], 10, 0);
    let now = 0;
    const rests: number[] = [];
    for (let i = 0; i < 8; i++) {
      const since = now;
      while (placement.decide(['hot0'], now) !== 'probe') now += 10;
      rests.push(now - since);
      placement.blocked(['hot0'], 10, now);
    }
    expect(rests.slice(0, 4)).toEqual([200, 400, 800, 1600]);
    expect(Math.max(...rests)).toBe(longestRestMs);
  });

  it('tries sooner when calls elsewhere have become quick', () => {
    const placement = warmed();
    placement.blocked(['hot0'], 10, 0);
    placement.offloaded(['hot0'], 10, 20);
    expect(placement.decide(['hot0'], 20)).toBe('offload');
    placement.offloaded(['hot0'], 0.2, 30);
    expect(placement.decide(['hot0'], 30)).toBe('probe');
  });

  it('remembers a bounded number of groups', () => {
    const placement = new Placement({ ...defaultPlacement, groupsMax: 100 });
    for (let i = 0; i < 1000; i++) placement.blocked([`g${i}`], 0, i);
    expect(placement.groups).toBe(100);
  });

  it('has, for any disk, at most one probe of a group at a time, and blocks the loop rarely', () => {
    const run = (slow: boolean[]) => {
      const placement = warmed();
      let blockedMs = 0;
      slow.forEach((isSlow, now) => {
        const where = placement.decide(['hot0'], now);
        const ms = isSlow ? 10 : 0.05;
        if (where === 'offload') placement.offloaded(['hot0'], ms, now);
        else {
          if (where === 'probe') expect(placement.decide(['hot0'], now)).toBe('offload');
          blockedMs += ms;
          placement.blocked(['hot0'], ms, now);
        }
      });
      if (slow.every(Boolean)) expect(blockedMs).toBeLessThanOrEqual(10 * (1 + slow.length / firstRestMs));
    };
    const disks = fc.oneof(
      fc.array(fc.boolean(), { maxLength: 500 }),
      fc.nat(3000).map((length) => Array.from({ length }, () => true)),
    );
    fc.assert(fc.property(disks, run), { numRuns: 100 });
  });
});
