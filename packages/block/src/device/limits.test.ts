import type { Clock, Timer } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { Limiter, type Limits } from './limits.ts';
import { MemoryDevice } from './memory.ts';
import { PausableDevice } from './pause.ts';

/** Time passes when the test says so. */
class TestClock implements Clock {
  now = 0;
  readonly #timers = new Set<{ at: number; callback: () => void }>();
  nowMs = () => this.now;
  wall = () => ({ sec: 0, nsec: 0 });
  after(ms: number, callback: () => void): Timer {
    const timer = { at: this.now + ms, callback };
    this.#timers.add(timer);
    return { cancel: () => void this.#timers.delete(timer) };
  }
  sleep = (ms: number) => new Promise<void>((resolve) => this.after(ms, resolve));
  async pass(ms: number): Promise<void> {
    for (const end = this.now + ms; this.now < end; this.now++) {
      for (const timer of [...this.#timers]) {
        if (timer.at > this.now || !this.#timers.delete(timer)) continue;
        timer.callback();
      }
      await Promise.resolve();
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const kibibyte = 1024;

function rig(limits: Limits) {
  const clock = new TestClock();
  const limiter = new Limiter(clock, limits);
  const device = new MemoryDevice({ sizeBytes: 1024 * kibibyte });
  const reader = (own?: Limits) => {
    const share = limiter.share(device, own);
    const count = { done: 0 };
    const ask = (times: number, length: number) => {
      for (let i = 0; i < times; i++)
        void Promise.resolve(share.read(0, length)).then(() => {
          count.done++;
        });
    };
    return { ask, count };
  };
  return { clock, limiter, reader };
}

describe('Limiter', () => {
  it('answers at once below the limits', () => {
    const { limiter } = rig({ operationsPerSecond: 10 });
    const share = limiter.share(new MemoryDevice({ sizeBytes: 100 }));
    expect(share.read(0, 10)).toMatchObject({ ok: true });
  });

  it('lets a burst go, then as much as a second allows', async () => {
    const { clock, reader } = rig({ operationsPerSecond: 100, burstOperations: 20 });
    const { ask, count } = reader();
    ask(500, 10);
    await clock.pass(1);
    expect(count.done).toBe(20);
    await clock.pass(1000);
    expect(count.done).toBeGreaterThanOrEqual(118);
    expect(count.done).toBeLessThanOrEqual(121);
  });

  it('counts bytes, and lets one request that is larger than a burst go as a debt', async () => {
    const { clock, reader } = rig({ bytesPerSecond: 100 * kibibyte, burstBytes: 10 * kibibyte });
    const { ask, count } = reader();
    ask(2, 100 * kibibyte);
    await clock.pass(1);
    expect(count.done).toBe(1);
    await clock.pass(900);
    expect(count.done).toBe(1);
    await clock.pass(200);
    expect(count.done).toBe(2);
  });

  it('is fair to who asks little beside one with a deep queue', async () => {
    const { clock, reader } = rig({ operationsPerSecond: 100, burstOperations: 1 });
    const greedy = reader();
    const modest = reader();
    greedy.ask(1000, 4096);
    await clock.pass(500);
    modest.ask(20, 4096);
    await clock.pass(440);
    expect(modest.count.done).toBeGreaterThanOrEqual(19);
  });

  it('is fair by bytes, not by requests', async () => {
    const { clock, reader } = rig({ bytesPerSecond: 1024 * kibibyte, burstBytes: 64 * kibibyte });
    const large = reader();
    const small = reader();
    large.ask(1000, 64 * kibibyte);
    small.ask(1000, 4 * kibibyte);
    await clock.pass(1000);
    const ratio = (small.count.done * 8) / (large.count.done * 68);
    expect(ratio).toBeGreaterThan(0.8);
    expect(ratio).toBeLessThan(1.25);
  });

  it('holds back who has a limit of his own without holding back others', async () => {
    const { clock, reader } = rig({ operationsPerSecond: 1000, burstOperations: 1 });
    const slow = reader({ operationsPerSecond: 10, burstOperations: 1 });
    const fast = reader();
    slow.ask(100, 10);
    fast.ask(2000, 10);
    await clock.pass(1000);
    expect(slow.count.done).toBeGreaterThanOrEqual(9);
    expect(slow.count.done).toBeLessThanOrEqual(12);
    expect(fast.count.done).toBeGreaterThan(900);
  });
});

describe('limits that change', () => {
  it('count for who waits already, and for who has the device open', async () => {
    const { clock, limiter, reader } = rig({ operationsPerSecond: 1, burstOperations: 1 });
    const { ask, count } = reader();
    ask(500, 10);
    await clock.pass(10);
    expect(count.done).toBe(1);
    limiter.change({}, {});
    await clock.pass(1);
    expect(count.done).toBe(500);
    limiter.change({}, { operationsPerSecond: 10, burstOperations: 5 });
    ask(50, 10);
    await clock.pass(1);
    expect(count.done).toBe(505);
  });
});

describe('PausableDevice', () => {
  it('waits for what is under way, holds back what comes, and goes on in order', async () => {
    let open: () => void = () => undefined;
    const below = new MemoryDevice({ sizeBytes: 100 });
    const slow = Object.assign(Object.create(below) as MemoryDevice, {
      flush: () => new Promise<{ ok: true }>((resolve) => (open = () => resolve({ ok: true }))),
      read: (offset: number, length: number) => below.read(offset, length),
      write: (offset: number, bytes: Uint8Array, fua: boolean) => below.write(offset, bytes, fua),
    });
    const device = new PausableDevice(slow);
    const events: string[] = [];
    void Promise.resolve(device.flush()).then(() => events.push('flushed'));
    const paused = device.pause().then(() => events.push('paused'));
    void Promise.resolve(device.write(0, Buffer.from('a'), false)).then(() => events.push('write'));
    void Promise.resolve(device.read(0, 1)).then(() => events.push('read'));
    await new Promise((resolve) => setImmediate(resolve));
    expect(events).toEqual([]);
    open();
    await paused;
    await new Promise((resolve) => setImmediate(resolve));
    expect(events.toSorted()).toEqual(['flushed', 'paused']);
    expect(device.isPaused).toBe(true);
    device.resume();
    await new Promise((resolve) => setImmediate(resolve));
    expect(events.slice(2)).toEqual(['write', 'read']);
  });
});
