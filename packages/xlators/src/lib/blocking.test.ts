import { describe, expect, it } from 'vitest';
import { BlockingMeter } from './blocking.ts';
import { ManualClock } from './translator-rig.ts';

/** A thread of which it is known how often it has waited. */
function world() {
  let waits = 7;
  let asked = 0;
  const count = () => {
    asked++;
    return waits;
  };
  const clock = Object.assign(new ManualClock(), { waits: count });
  const meter = new BlockingMeter(clock);
  const measure = (ms: number, isWaiting: boolean) => {
    const from = clock.nowMs();
    const before = meter.waits(from);
    if (isWaiting) waits++;
    clock.burn(ms);
    return meter.blockedMs(from, before, clock.nowMs());
  };
  return { measure, asked: () => asked };
}

describe('how long a call kept the loop', () => {
  it('is the time it took where nobody knows of waits', () => {
    const clock = new ManualClock();
    const meter = new BlockingMeter(clock);
    const from = clock.nowMs();
    const before = meter.waits(from);
    clock.burn(5);
    expect(meter.blockedMs(from, before, clock.nowMs())).toBe(5);
  });

  it('is nothing if the thread had not the processor, but never waited', () => {
    const { measure } = world();
    for (let i = 0; i < 3; i++) expect(measure(5, false)).toBe(0);
  });

  it('is the time it took if it waited, from the second such call on', () => {
    const { measure } = world();
    measure(5, true);
    expect(measure(5, true)).toBe(5);
    expect(measure(3, true)).toBe(3);
  });

  it('is measured without counting while all calls are quick', () => {
    const { measure, asked } = world();
    for (let i = 0; i < 100; i++) expect(measure(0.5, true)).toBe(0.5);
    expect(asked()).toBe(0);
  });
});
