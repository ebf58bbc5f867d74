import { describe, expect, it } from 'vitest';
import { LifeSigns } from './life-signs.ts';
import { ManualClock } from './test-rig.ts';

function start() {
  const clock = new ManualClock();
  let pings = 0;
  const signs = new LifeSigns(clock, () => pings++);
  const answers: boolean[] = [];
  const ask = (ms = 3000) => void signs.within(ms).then((isAlive) => answers.push(isAlive));
  return { clock, signs, answers, ask, pings: () => pings };
}

describe('a peer', () => {
  it('that says anything in time is alive, and all who asked hear it', async () => {
    const { clock, signs, answers, ask, pings } = start();
    ask();
    await clock.advance(1000);
    ask();
    await clock.advance(1999);
    expect(answers).toEqual([]);
    signs.heard();
    await clock.advance(0);
    expect([answers, pings()]).toEqual([[true, true], 1]);
    await clock.advance(10_000);
    expect(answers).toEqual([true, true]);
  });

  it('that says nothing is silent, for later ones at once, until it is heard', async () => {
    const { clock, signs, answers, ask, pings } = start();
    ask();
    await clock.advance(2000);
    ask();
    await clock.advance(1000);
    expect(answers).toEqual([false, false]);
    ask();
    await clock.advance(0);
    expect([answers, pings()]).toEqual([[false, false, false], 1]);
    signs.heard();
    ask();
    await clock.advance(2999);
    expect([answers.length, pings()]).toEqual([3, 2]);
    await clock.advance(1);
    expect(answers).toEqual([false, false, false, false]);
  });

  it('is given its time again where who asks was stopped', async () => {
    const { clock, signs, answers, ask } = start();
    ask();
    clock.jump(60_000);
    // Before what the peer has sent meanwhile is read.
    ask();
    await clock.advance(0);
    expect(answers).toEqual([]);
    signs.heard();
    await clock.advance(10_000);
    expect(answers).toEqual([true, true]);
  });

  it('that has gone is not waited for', async () => {
    const { clock, signs, answers, ask } = start();
    ask();
    signs.end(false);
    await clock.advance(10_000);
    expect(answers).toEqual([false]);
  });
});
