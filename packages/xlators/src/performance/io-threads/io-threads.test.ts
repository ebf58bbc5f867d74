import { Errno, Fd, type Gfid, locAt, locOf } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { errnoOfReply, type Rig, rig, rigCall, settle } from '../../lib/translator-rig.ts';
import { type IoThreads, xlator } from './index.ts';
import { Places } from './places.ts';

const hot = '00000000-0000-0000-0000-0000000000aa' as Gfid;
const cold = '00000000-0000-0000-0000-0000000000cc' as Gfid;
const delayMs = 10;

/** A brick one of whose directories is cold: each call there takes 10 ms, of the event loop if it runs inline. */
async function make(options: Record<string, string> = {}): Promise<Rig<IoThreads>> {
  const r = await rig<typeof xlator.options, IoThreads>(xlator, options);
  const { clock } = r.services;
  r.child.answers.lookup = async (_, { loc, xdata }) => {
    if (loc.parent === cold) {
      if (xdata?.offload) await clock.sleep(delayMs);
      else clock.burn(delayMs);
    } else clock.burn(0.02);
    return { ok: true } as never;
  };
  return r;
}

/** Walks through the cold directory while asking for something hot each millisecond; the delays of the hot answers. */
async function walk(r: Rig<IoThreads>, forMs: number): Promise<{ delays: number[]; found: number }> {
  const { clock } = r.services;
  const delays: number[] = [];
  let found = 0;
  let walking = true;
  const walker = async () => {
    for (let i = 0; walking; i++) {
      await r.xlator.ops.lookup(rigCall('walker'), { loc: locAt(cold, `f${i}`) });
      await clock.sleep(0);
      found++;
    }
  };
  for (let i = 0; i < 20; i++) await r.xlator.ops.lookup(rigCall('hot'), { loc: locOf(hot) });
  const begun = clock.nowMs();
  for (let at = 1; at <= forMs; at++) {
    clock.after(at, async () => {
      await r.xlator.ops.lookup(rigCall('hot'), { loc: locOf(hot) });
      delays.push(clock.nowMs() - begun - at);
    });
  }
  const walkers = [1, 2, 3, 4].map(walker);
  await clock.advance(forMs);
  walking = false;
  await clock.advance(1000);
  await Promise.all(walkers);
  return { delays, found };
}

const percentile = (values: number[], p: number) => [...values].sort((a, b) => a - b)[Math.floor(values.length * p)]!;

describe('a brick with one cold directory', () => {
  it('stalls for everyone when nothing is decided', async () => {
    const { delays } = await walk(await make({ 'pass-through': 'on' }), 500);
    expect(percentile(delays, 0.5)).toBeGreaterThan(delayMs);
  });

  it('serves the rest without a stall, and the cold directory with four calls at a time', async () => {
    const r = await make();
    const { delays, found } = await walk(r, 500);
    expect(percentile(delays, 0.5)).toBeLessThan(1);
    expect(percentile(delays, 0.9)).toBeLessThan(1);
    expect(Math.max(...delays)).toBeLessThanOrEqual(4 * delayMs);
    expect(found).toBeGreaterThan(120);
    expect(r.xlator.dump()).toMatchObject({ running: 0, queued: 0 });
  });
});

describe('performance/io-threads', () => {
  const slow = async (r: Rig<IoThreads>) => {
    for (let i = 0; i < 20; i++) await r.xlator.ops.lookup(rigCall('x'), { loc: locOf(hot) });
    r.xlator.notify({ type: 'storage-slow', gfid: cold, ms: 10 }, null);
  };

  it('learns from storage what it cannot measure, and keeps that to itself', async () => {
    const r = await make();
    await slow(r);
    await r.xlator.ops.stat(rigCall('c'), { loc: locOf(cold), xdata: { heal: true } });
    expect(r.child.calls.at(-1)).toMatchObject({ fop: 'stat', args: { xdata: { heal: true, offload: true } } });
    expect(r.events).toEqual([]);
  });

  it('takes a slow change for the journal, a slow look for the disk', async () => {
    const r = await make();
    const { clock } = r.services;
    const burning = async () => {
      clock.burn(delayMs);
      return { ok: true } as never;
    };
    Object.assign(r.child.answers, { setattr: burning, mkdir: burning });
    for (let i = 0; i < 20; i++) await r.xlator.ops.lookup(rigCall('x'), { loc: locOf(hot) });
    const looks = async () => {
      await r.xlator.ops.stat(rigCall('c'), { loc: locOf(cold) });
      return (r.child.calls.at(-1)!.args as { xdata?: object }).xdata;
    };
    await r.xlator.ops.setattr(rigCall('c'), { loc: locOf(cold), attr: { mode: 0o600 } });
    await r.xlator.ops.mkdir(rigCall('c'), { loc: locAt(cold, 'd'), mode: 0o700, gfid: hot });
    expect(await looks()).toBeUndefined();
    await r.xlator.ops.lookup(rigCall('c'), { loc: locAt(cold, 'd') });
    expect(await looks()).toEqual({ offload: true });
  });

  it('leaves locks and requests alone, and places each step of a compound', async () => {
    const r = await make();
    await slow(r);
    const flock = { type: 'write' as const, start: 0, length: 0, owner: '', pid: 0 };
    await r.xlator.ops.inodelk(rigCall('c'), { loc: locOf(cold), domain: 'd', command: 'try', flock });
    expect((r.child.calls.at(-1)!.args as { xdata?: object }).xdata).toBeUndefined();
    const steps = [
      { fop: 'stat', args: { loc: locOf(cold) } },
      { fop: 'stat', args: { loc: locOf(hot) } },
    ];
    await r.xlator.ops.compound(rigCall('c'), { steps });
    expect(r.child.calls.slice(-2).map(({ args }) => (args as { xdata?: object }).xdata)).toEqual([
      { offload: true },
      undefined,
    ]);
  });

  it('keeps changes of one file in order across the way back inline', async () => {
    const r = await make();
    const finish: (() => void)[] = [];
    const order: number[] = [];
    r.child.answers.writev = async (_, { offset, xdata }) => {
      if (xdata?.offload) await new Promise<void>((resolve) => finish.push(resolve));
      order.push(offset);
      return { ok: true } as never;
    };
    await slow(r);
    const fd = new Fd(cold);
    const write = (offset: number) => r.xlator.ops.writev(rigCall('c'), { fd, offset, data: new Uint8Array(1) });
    const writes = [write(1), write(2)];
    await settle();
    await r.services.clock.advance(300);
    writes.push(write(3));
    await settle();
    expect(order).toEqual([]);
    finish[0]!();
    await settle();
    expect(order).toEqual([1]);
    finish[1]!();
    await Promise.all(writes);
    expect(order).toEqual([1, 2, 3]);
  });

  it('bounds what is off the loop, by priority', async () => {
    const places = new Places({ total: 2, high: 2, normal: 1, low: 1, least: 1 });
    const running: string[] = [];
    const finish = new Map<string, () => void>();
    const run = (name: string, priority: 'high' | 'low' | 'least', client = 'c') =>
      places.run(
        priority,
        client,
        () => {
          running.push(name);
          return new Promise<string>((resolve) => finish.set(name, () => resolve(name)));
        },
        'refused',
      );
    const all = [
      run('low1', 'low'),
      run('low2', 'low'),
      run('least', 'least'),
      run('high', 'high'),
      run('low3', 'low', 'd'),
    ];
    await settle();
    expect(running).toEqual(['low1', 'least']);
    expect(places.dropClient('d')).toBe(1);
    finish.get('low1')!();
    await settle();
    expect(running.slice(2)).toEqual(['high']);
    finish.get('least')!();
    await settle();
    expect(running.slice(3)).toEqual(['low2']);
    for (const done of finish.values()) done();
    expect(await Promise.all(all)).toEqual(['low1', 'low2', 'least', 'high', 'refused']);
    expect([places.taken, places.queued]).toEqual([0, 0]);
  });

  it('drops the queue of a client that is gone, if told to, and reports what hangs', async () => {
    const r = await make({ 'thread-count': '1', 'cleanup-disconnected-reqs': 'on', 'watchdog-secs': '30' });
    r.child.answers.stat = () => new Promise(() => {});
    await slow(r);
    void r.xlator.ops.stat(rigCall('a'), { loc: locOf(cold) });
    const second = r.xlator.ops.stat(rigCall('b'), { loc: locOf(cold) });
    await settle();
    r.xlator.notify({ type: 'session-ended', clientId: 'b' }, null);
    expect(errnoOfReply(await second)).toBe(Errno.ENOTCONN);
    expect(r.child.events).toHaveLength(1);
    await r.services.clock.advance(30_000);
    expect(r.services.lines.at(-1)?.text).toBe('stat of a has waited for the disk for 30 s');
  });
});
