import { describe, expect, it } from 'vitest';
import type { Stream } from '../stream.ts';
import { LinesLog, ManualClock, seededRandom, settle } from '../test-rig.ts';
import { Reconnecting } from './reconnecting.ts';

/** A server that is there or not; an attempt may take its time. */
async function start({ isThere = false, takesMs = 0 } = {}) {
  const clock = new ManualClock();
  const log = new LinesLog();
  const server = { isThere, takesMs };
  const attempts: number[] = [];
  const told: string[] = [];
  const streams: { destroyed: boolean }[] = [];
  const reconnecting: Reconnecting = new Reconnecting({
    clock,
    random: seededRandom(3),
    log,
    name: 'client',
    transport: {
      connect: async () => {
        // Where it is was looked for at the beginning of the attempt.
        const { isThere: found } = server;
        if (server.takesMs > 0) await clock.sleep(server.takesMs);
        if (!found) throw new Error('nobody there');
        const stream = { destroyed: false };
        streams.push(stream);
        const destroy = () => Object.assign(stream, { destroyed: true });
        return { destroy } as unknown as Stream;
      },
    } as never,
    resolve: async () => ({ kind: 'memory', name: 'brick' }),
    connecting: () => void attempts.push(clock.nowMs()),
    connected: () => {
      told.push('up');
      reconnecting.succeeded();
    },
    gone: () => void told.push('gone'),
    down: () => void told.push('down'),
  });
  reconnecting.start();
  await settle();
  return { reconnecting, clock, log, server, attempts, told, streams };
}

const gaps = (times: readonly number[]) => times.slice(1).map((time, i) => time - times[i]!);

async function isSettled(promise: Promise<void>): Promise<boolean> {
  let isDone = false;
  void promise.then(() => {
    isDone = true;
  });
  await settle();
  return isDone;
}

describe('reconnecting', () => {
  it('waits longer and longer, three seconds at most', async () => {
    const { clock, attempts } = await start();
    await clock.advance(60_000);
    const waits = gaps(attempts);
    expect(waits[0]).toBeLessThanOrEqual(100);
    expect(Math.max(...waits)).toBeLessThanOrEqual(3000);
    expect(Math.min(...waits.slice(6))).toBeGreaterThanOrEqual(1500);
  });

  it('tells once that it is down, and once more after it was up', async () => {
    const { reconnecting, clock, server, told } = await start();
    await clock.advance(10_000);
    expect(told).toEqual(['down']);
    server.isThere = true;
    await clock.advance(3000);
    server.isThere = false;
    reconnecting.failed('cut');
    await clock.advance(10_000);
    expect(told).toEqual(['down', 'up', 'down']);
  });

  it('complains once of what stays the same', async () => {
    const { clock, log } = await start();
    await clock.advance(20_000);
    expect(log.lines).toHaveLength(1);
  });
});

describe('who says that the server is there', () => {
  it('makes it try at once, and hears when it has tried', async () => {
    const { reconnecting, clock, server, attempts, told } = await start();
    await clock.advance(20_000);
    await clock.advance(attempts.at(-1)! + 200 - clock.nowMs());
    server.isThere = true;
    const count = attempts.length;
    const tried = reconnecting.asked();
    await clock.advance(0);
    await tried;
    expect(attempts).toHaveLength(count + 1);
    expect(told.at(-1)).toBe('up');
  });

  it('hears of an attempt that failed, too', async () => {
    const { reconnecting, clock } = await start();
    await clock.advance(20_000);
    const tried = reconnecting.asked();
    await clock.advance(100);
    expect(await isSettled(tried)).toBe(true);
  });

  it('is not content with an attempt that began before', async () => {
    const { reconnecting, clock, server, attempts, told } = await start({ takesMs: 500 });
    expect(attempts).toEqual([0]);
    server.isThere = true;
    const tried = reconnecting.asked();
    await clock.advance(500);
    expect(await isSettled(tried)).toBe(false);
    await clock.advance(500);
    expect(await isSettled(tried)).toBe(true);
    expect(attempts).toEqual([0, 500]);
    expect(told).toEqual(['down', 'up']);
  });

  it('cannot make it try more than once in a tenth of a second', async () => {
    const { reconnecting, clock, attempts } = await start();
    for (let i = 0; i < 1000; i++) {
      void reconnecting.asked();
      await clock.advance(3);
    }
    expect(Math.min(...gaps(attempts))).toBeGreaterThanOrEqual(50);
    expect(
      gaps(attempts)
        .slice(1)
        .every((gap) => gap >= 50),
    ).toBe(true);
    expect(attempts.length).toBeLessThanOrEqual(3000 / 50);
  });

  it('waits for nothing when it is stopped or up', async () => {
    const { reconnecting, clock, server, attempts } = await start({ isThere: true });
    server.isThere = true;
    await clock.advance(1);
    await reconnecting.asked();
    reconnecting.stop();
    await reconnecting.asked();
    reconnecting.needed();
    await clock.advance(10_000);
    expect(attempts).toHaveLength(1);
  });

  it('waits no longer when it is stopped meanwhile, and what arrives then is closed', async () => {
    const { reconnecting, clock, server, streams, told } = await start({ isThere: true, takesMs: 500 });
    const tried = reconnecting.asked();
    reconnecting.stop();
    expect(await isSettled(tried)).toBe(true);
    server.takesMs = 0;
    reconnecting.start();
    await clock.advance(1000);
    expect(streams.map(({ destroyed }) => destroyed)).toEqual([false, true]);
    expect(told).toEqual(['up']);
  });
});

describe('a request that needs the server', () => {
  it('makes it try at once', async () => {
    const { reconnecting, clock, attempts } = await start();
    await clock.advance(20_000);
    await clock.advance(attempts.at(-1)! + 200 - clock.nowMs());
    const count = attempts.length;
    reconnecting.needed();
    await clock.advance(0);
    expect(attempts).toHaveLength(count + 1);
  });

  it('makes it try less often the longer it was in vain, until it comes or somebody says so', async () => {
    const { reconnecting, clock, attempts } = await start();
    const useFor = async (ms: number) => {
      for (let i = 0; i < ms / 5; i++) {
        reconnecting.needed();
        await clock.advance(5);
      }
    };
    await clock.advance(20_000);
    await useFor(20_000);
    const before = attempts.length;
    await useFor(10_000);
    expect(attempts.length - before).toBeGreaterThanOrEqual(9);
    expect(attempts.length - before).toBeLessThanOrEqual(20);
    void reconnecting.asked();
    const asked = attempts.length;
    await useFor(300);
    expect(attempts.length - asked).toBeGreaterThanOrEqual(2);
  });
});
