import type { Clock } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { Laggards } from './laggards.ts';

/** Time that passes when told to. */
function manualClock() {
  let now = 0;
  let timers: { at: number; callback: () => void }[] = [];
  const clock = {
    nowMs: () => now,
    after: (ms: number, callback: () => void) => {
      const timer = { at: now + ms, callback };
      timers.push(timer);
      return {
        cancel: () => {
          timers = timers.filter((one) => one !== timer);
        },
      };
    },
  } as Clock;
  const pass = async (ms: number) => {
    for (const end = now + ms; ; ) {
      const next = timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (!next) {
        now = end;
        return;
      }
      timers = timers.filter((one) => one !== next);
      now = next.at;
      next.callback();
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return { clock, pass };
}

function rig(timeoutMs = 3000) {
  const { clock, pass } = manualClock();
  const told: string[] = [];
  const answer = new Map<number, (value: string) => void>();
  const probe = { answers: async () => undefined as unknown };
  const laggards = new Laggards({
    clock,
    timeoutMs,
    maySpare: (children) => children.length >= 2,
    probe: () => probe.answers(),
    changed: (child, lags) => told.push(`${child} ${lags ? 'lags' : 'is back'}`),
  });
  const ask = (child: number) => new Promise<string>((resolve) => answer.set(child, resolve));
  const collect = () => laggards.collect([0, 1, 2], ask, 'late', (text) => text !== 'absent');
  const say = async (child: number, text: string) => {
    answer.get(child)!(text);
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { laggards, told, collect, say, pass, probe };
}

function withResolvers() {
  let resolve: (text: string) => void = () => {};
  const promise = new Promise<string>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

describe('answers of several children', () => {
  it('are all waited for as long as they come in time', async () => {
    const { collect, say, pass, told } = rig();
    const all = collect();
    await say(0, 'a');
    await say(2, 'c');
    await pass(2900);
    await say(1, 'b');
    expect([...(await all)].sort()).toEqual([
      [0, 'a'],
      [1, 'b'],
      [2, 'c'],
    ]);
    expect(told).toEqual([]);
  });

  it('are not waited for longer than the time after a quorum, and their child is left out until it has paid', async () => {
    const { collect, say, pass, told, laggards } = rig();
    const all = collect();
    await say(0, 'a');
    await pass(60_000);
    expect(told).toEqual([]);
    await say(2, 'c');
    await pass(3600);
    expect((await all).get(1)).toBe('late');
    expect(laggards.has(1)).toBe(true);
    await say(1, 'b');
    expect(laggards.has(1)).toBe(false);
    expect(told).toEqual(['1 lags', '1 is back']);
  });

  it('of absence are no quorum', async () => {
    const { collect, say, pass, told } = rig();
    const all = collect();
    await say(0, 'a');
    await say(2, 'absent');
    await pass(60_000);
    expect(told).toEqual([]);
    await say(1, 'b');
    expect((await all).size).toBe(3);
  });

  it('are waited for without end where the time is 0', async () => {
    const { collect, say, pass } = rig(0);
    const all = collect();
    await say(0, 'a');
    await say(2, 'c');
    await pass(60_000);
    await say(1, 'b');
    expect((await all).get(1)).toBe('b');
  });
});

it('a question that breaks leaves nobody out', async () => {
  const { laggards, pass, told } = rig();
  const ask = (child: number) =>
    child === 1 ? new Promise<string>(() => {}) : child === 2 ? Promise.reject(new Error('bug')) : Promise.resolve('a');
  const all = laggards.collect([0, 3, 1, 2], ask, 'late', () => true);
  await expect(all).rejects.toThrow('bug');
  await pass(10_000);
  expect(told).toEqual([]);
});

it('who lags is not waited for by what was asked later either', async () => {
  const { collect, say, pass, told, laggards } = rig();
  const first = collect();
  await say(0, 'a');
  await say(2, 'c');
  await pass(2000);
  // Its answers take the place of the first one's: only child 1 owes two.
  const second = collect();
  await say(0, 'a');
  await say(2, 'c');
  await pass(1100);
  for (const all of [first, second]) expect((await all).get(1)).toBe('late');
  expect(told).toEqual(['1 lags']);
  const third = collect();
  await say(0, 'a');
  await say(2, 'c');
  expect((await third).get(1)).toBe('late');
  expect([told, laggards.has(1)]).toEqual([['1 lags'], true]);
});

it('who has answered all that was asked is back, however many waited for it at the same time', async () => {
  const { laggards, told, pass } = rig();
  const answers: (() => void)[] = [];
  const ask = (child: number) =>
    child === 1 ? new Promise<string>((resolve) => answers.push(() => resolve('b'))) : Promise.resolve('a');
  const all = [1, 2, 3].map(() => laggards.collect([0, 1, 2], ask, 'late', () => true));
  await new Promise((resolve) => setImmediate(resolve));
  await pass(4000);
  for (const one of all) expect((await one).get(1)).toBe('late');
  for (const answer of answers) answer();
  await new Promise((resolve) => setImmediate(resolve));
  expect([told, laggards.has(1)]).toEqual([['1 lags', '1 is back'], false]);
});

describe('one long answer', () => {
  it('is waited for while its child answers other questions', async () => {
    const { laggards, pass } = rig();
    const { promise, resolve } = withResolvers();
    const long = laggards.heed(1, promise, 'late');
    await pass(60_000);
    resolve('at last');
    expect(await long).toBe('at last');
  });

  it('is given up at once when its child is found to lag by others, and not begun while it does', async () => {
    const { laggards, collect, say, pass, probe } = rig();
    probe.answers = () => new Promise(() => {});
    const before = laggards.heed(1, new Promise<string>(() => {}), 'late');
    const all = collect();
    await say(0, 'a');
    await say(2, 'c');
    await pass(3100);
    await all;
    expect(await before).toBe('late');
    expect(await laggards.heed(1, new Promise<string>(() => {}), 'late')).toBe('late');
  });

  it('is given up when its child turns out to lag', async () => {
    const { laggards, collect, say, pass, probe } = rig();
    probe.answers = async () => {
      const all = collect();
      await say(0, 'a');
      await say(2, 'c');
      return all;
    };
    const long = laggards.heed(1, new Promise<string>(() => {}), 'late');
    await pass(10_000);
    expect(await long).toBe('late');
  });
});
