import { type Clock, Errno } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { AwaitedDevice } from './awaited.ts';
import { plainTraits } from './guarded.ts';
import { MemoryDevice } from './memory.ts';

/** Time passes when the test says so. */
class HandClock implements Clock {
  #nowMs = 1000;
  #timers: { atMs: number; callback: () => void }[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  wall() {
    return { sec: 0, nsec: 0 };
  }

  after(ms: number, callback: () => void) {
    const timer = { atMs: this.#nowMs + ms, callback };
    this.#timers.push(timer);
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((one) => one !== timer);
      },
    };
  }

  async sleep(): Promise<void> {}

  get timers(): number {
    return this.#timers.length;
  }

  pass(ms: number): void {
    this.#nowMs += ms;
    const due = this.#timers.filter(({ atMs }) => atMs <= this.#nowMs);
    this.#timers = this.#timers.filter((one) => !due.includes(one));
    for (const { callback } of due) callback();
  }
}

function awaited(clock: Clock): AwaitedDevice {
  return new AwaitedDevice({ sizeBytes: 1 << 20, traits: plainTraits, clock, waitMs: 5000 });
}

describe('a device that is not there yet', () => {
  it('lets requests wait until it is there', async () => {
    const clock = new HandClock();
    const device = awaited(clock);
    const written = device.write(4096, Buffer.alloc(512, 7), false);
    clock.pass(4999);
    const below = new MemoryDevice({ sizeBytes: 2 << 20 });
    device.come(below);
    expect(await written).toEqual({ ok: true });
    const read = await below.read(4096, 512);
    expect(read.ok && Buffer.concat(read.pieces).equals(Buffer.alloc(512, 7))).toBe(true);
    expect(device.sizeBytes).toBe(2 << 20);
    expect(clock.timers).toBe(0);
  });

  it('fails what has waited long enough, and all that comes afterwards, until it is there', async () => {
    const clock = new HandClock();
    const device = awaited(clock);
    const early = device.flush();
    clock.pass(3000);
    const late = device.read(0, 512);
    clock.pass(2000);
    expect(await early).toEqual({ ok: false, errno: Errno.EIO });
    expect(await late).toEqual({ ok: false, errno: Errno.EIO });
    expect(device.read(0, 512)).toEqual({ ok: false, errno: Errno.EIO });
    device.come(new MemoryDevice({ sizeBytes: 1 << 20 }));
    expect(await device.read(0, 512)).toMatchObject({ ok: true });
  });

  it('refuses at once what no device would do', () => {
    expect(awaited(new HandClock()).read(1 << 20, 1)).toEqual({ ok: false, errno: Errno.EINVAL });
  });
});
