import type { Clock } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { Patience } from './patience.ts';

function rig(withWaits = true) {
  const state = { now: 0, waits: 0 };
  const clock = { nowMs: () => state.now, ...(withWaits ? { waits: () => state.waits } : {}) } as unknown as Clock;
  const patience = new Patience(clock);
  const call = (ms: number, waits: number) =>
    patience.timed(() => {
      state.now += ms;
      state.waits += waits;
      return 7;
    });
  return { state, patience, call };
}

describe('Patience', () => {
  it('ends for a while when calls wait for the disk', () => {
    const { state, patience, call } = rig();
    expect(call(1, 1)).toBe(7);
    call(20, 1);
    // The first slow one makes it look closely.
    expect(patience.isFast).toBe(true);
    call(20, 1);
    expect(patience.isFast).toBe(false);
    state.now += 600;
    expect(patience.isFast).toBe(true);
    expect(patience.slowCalls).toBe(1);
  });

  it('does not end because the processor is busy with others', () => {
    const { patience, call } = rig();
    for (let i = 0; i < 10; i++) call(50, 0);
    expect(patience.isFast).toBe(true);
  });

  it('goes by time alone where waits are not counted', () => {
    const { patience, call } = rig(false);
    call(50, 0);
    expect(patience.isFast).toBe(false);
  });
});
