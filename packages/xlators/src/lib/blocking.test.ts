import { describe, expect, it } from 'vitest';
import { begin, blockedMs } from './blocking.ts';
import { ManualClock } from './translator-rig.ts';

function clockThatWaits(): { clock: ManualClock; wait: (ms: number) => void } {
  let waits = 7;
  const clock = Object.assign(new ManualClock(), { waits: () => waits });
  const wait = (ms: number) => {
    waits++;
    clock.burn(ms);
  };
  return { clock, wait };
}

describe('how long a call kept the loop', () => {
  it('is the time it took where nobody knows of waits', () => {
    const clock = new ManualClock();
    const begun = begin(clock);
    clock.burn(5);
    expect(blockedMs(clock, begun, clock.nowMs())).toBe(5);
  });

  it('is nothing if the thread had not the processor, but never waited', () => {
    const { clock } = clockThatWaits();
    const begun = begin(clock);
    clock.burn(5);
    expect(blockedMs(clock, begun, clock.nowMs())).toBe(0);
  });

  it('is the time it took if it waited', () => {
    const { clock, wait } = clockThatWaits();
    const begun = begin(clock);
    wait(5);
    expect(blockedMs(clock, begun, clock.nowMs())).toBe(5);
  });
});
