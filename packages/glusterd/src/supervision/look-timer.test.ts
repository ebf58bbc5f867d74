import { nodeClock } from '@mortar/rpc/transports/node-ports.ts';
import { expect, it } from 'vitest';
import { LookTimer } from './look-timer.ts';

/** Timers that run when the test says so. */
function handClock() {
  const timers: { ms: number; run: () => void; cancelled: boolean }[] = [];
  const clock = {
    ...nodeClock,
    after: (ms: number, run: () => void) => {
      const timer = { ms, run, cancelled: false };
      timers.push(timer);
      const cancel = () => {
        timer.cancelled = true;
      };
      return { cancel };
    },
  };
  return { timers, clock };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

it('looks a second after the look before has ended, never two at once', async () => {
  const { timers, clock } = handClock();
  let looks = 0;
  let end: () => void = () => undefined;
  const timer = new LookTimer(
    () => clock,
    () => {
      looks++;
      return new Promise((resolve) => {
        end = resolve;
      });
    },
  );
  timer.start();
  expect([timers.length, timers[0]!.ms, looks]).toEqual([1, 1000, 0]);
  timers[0]!.run();
  await settled();
  expect([timers.length, looks]).toEqual([1, 1]);
  end();
  await settled();
  expect(timers.length).toBe(2);
});

it('ends for good, also in the middle of a look', async () => {
  const { timers, clock } = handClock();
  const timer = new LookTimer(
    () => clock,
    async () => undefined,
  );
  timer.start();
  timers[0]!.run();
  timer.close();
  await settled();
  timer.start();
  expect([timers.length, timer.isClosed]).toEqual([1, true]);
  const other = new LookTimer(
    () => clock,
    async () => undefined,
  );
  other.start();
  other.close();
  expect(timers[1]!.cancelled).toBe(true);
});
