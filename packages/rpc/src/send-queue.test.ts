import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { type FrameLimits, headerBytes } from './frame.ts';
import { SendQueue } from './send-queue.ts';
import { CountingMetrics, ManualClock, settle } from './test-rig.ts';
import { MemoryStream } from './transports/memory.ts';

const limits: FrameLimits = { metaBytes: 64 * 1024, payloadBytes: 1 << 20 };
const queuedBytesMax = 1000;

let clock: ManualClock;
let metrics: CountingMetrics;
let received: Buffer[];
/** Deliveries that wait, while `holds`. */
let held: (() => void)[];
let holds: boolean;
let writes: number;
let reading: string[];
let stats: { bytesSent: number; framesSent: number };
let queue: SendQueue;

beforeEach(() => {
  clock = new ManualClock();
  metrics = new CountingMetrics();
  [received, held, holds, writes, reading, stats] = [[], [], false, 0, [], { bytesSent: 0, framesSent: 0 }];
  const [here, there] = MemoryStream.pair('peer', {
    transfer: (_from, _bytes, deliver) => {
      writes++;
      if (holds) held.push(deliver);
      else queueMicrotask(deliver);
    },
  });
  const room = Buffer.alloc(1 << 20);
  const none = { drained: () => undefined, closed: () => undefined };
  there.start({ ...none, space: () => room, received: (n) => void received.push(Buffer.from(room.subarray(0, n))) });
  const choked = { pauseReading: () => void reading.push('no'), resumeReading: () => void reading.push('yes') };
  queue = new SendQueue(here, choked, { clock, metrics, stats, queuedBytesMax });
  here.start({ ...none, space: () => room, received: () => undefined, drained: () => queue.drained() });
});

const put = (text: string, payload: Uint8Array | null = null, done?: (payload: Uint8Array) => void) =>
  queue.put(
    limits,
    0,
    1,
    2,
    0,
    0,
    0,
    (output) => {
      output.raw(Buffer.from(text));
      return payload && [payload];
    },
    done,
  );
const later = (text: string) =>
  queue.putLater(limits, 0, 1, (output) => {
    output.raw(Buffer.from(text));
    return null;
  });

/** The meta parts and payloads of what has arrived. */
function arrived(): string[] {
  const bytes = Buffer.concat(received);
  const frames: string[] = [];
  for (let at = 0; at < bytes.length; at += bytes.readUInt32LE(at))
    frames.push(bytes.toString('latin1', at + headerBytes, at + bytes.readUInt32LE(at)));
  return frames;
}

describe('what is sent', () => {
  it('leaves at the end of the tick, all at once and in order', async () => {
    for (const text of ['a', 'b', 'c']) put(text);
    expect([writes, queue.queuedBytes]).toEqual([0, 3 * (headerBytes + 1)]);
    await settle();
    expect([writes, arrived(), queue.queuedBytes]).toEqual([1, ['a', 'b', 'c'], 0]);
    expect(stats).toEqual({ framesSent: 3, bytesSent: 3 * (headerBytes + 1) });
  });

  it('arrives as it was given, whatever sizes, and whoever waits for a payload hears once that it was sent', () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ meta: fc.nat(300), payload: fc.option(fc.nat(20_000)), tick: fc.boolean() })),
        async (frames) => {
          received.length = 0;
          let done = 0;
          const wanted = [];
          for (const [i, { meta, payload, tick }] of frames.entries()) {
            const letter = String.fromCharCode(97 + (i % 26));
            const bytes = payload === null ? null : Buffer.alloc(payload, letter.toUpperCase());
            put(letter.repeat(meta), bytes, () => done++);
            wanted.push(letter.repeat(meta) + (bytes?.toString() ?? ''));
            if (tick) await settle();
          }
          await settle();
          expect(arrived()).toEqual(wanted);
          expect(done).toBe(frames.filter(({ payload }) => payload !== null).length);
        },
      ),
      { numRuns: 50 },
    ));

  it('waits for company, where nobody waits for it, but not for long', async () => {
    later('one');
    await settle();
    expect(writes).toBe(0);
    put('two');
    await settle();
    expect([writes, arrived()]).toEqual([1, ['one', 'two']]);
    later('three');
    await clock.advance(4);
    expect(writes).toBe(1);
    await clock.advance(1);
    await settle();
    expect([writes, arrived().at(-1)]).toEqual([2, 'three']);
  });

  it('is all but what cannot be sent', async () => {
    put('a');
    const tooLarge = () => put('x'.repeat(limits.metaBytes + 1));
    expect(tooLarge).toThrow('too large to send');
    const broken = () =>
      queue.put(limits, 0, 1, 2, 0, 0, 0, (output) => {
        output.raw(Buffer.from('half'));
        throw new Error('no more');
      });
    expect(broken).toThrow('no more');
    put('b');
    await settle();
    expect([arrived(), stats.framesSent]).toEqual([['a', 'b'], 2]);
  });

  it('is nothing after it was closed', async () => {
    put('a');
    queue.flush();
    later('late');
    queue.close();
    put('b');
    later('c');
    await clock.advance(100);
    await settle();
    expect(arrived()).toEqual(['a']);
  });
});

describe('a peer that does not read', () => {
  it('is not read from above the bound, once, until a quarter of it is left', async () => {
    holds = true;
    const wait = queue.untilDrained();
    await wait;
    for (let i = 0; i < 4; i++) {
      put('x'.repeat(500));
      await settle();
    }
    expect([reading, metrics.sum('rpc_choked_total')]).toEqual([['no'], 1]);
    let isDrained = false;
    void queue.untilDrained().then(() => {
      isDrained = true;
    });
    for (const deliver of held.splice(0, 3)) deliver();
    await settle();
    expect([reading, isDrained]).toEqual([['no'], false]);
    for (const deliver of held.splice(0)) deliver();
    await settle();
    expect([reading, isDrained, queue.queuedBytes]).toEqual([['no', 'yes'], true, 0]);
  });

  it('is stuck if it has taken nothing since that was asked before', async () => {
    holds = true;
    put('x'.repeat(500));
    await settle();
    expect([queue.isStuck(), queue.isStuck()]).toEqual([false, false]);
    for (let i = 0; i < 3; i++) {
      put('x'.repeat(500));
      await settle();
    }
    expect([queue.isStuck(), queue.isStuck()]).toEqual([true, true]);
    held.shift()!();
    await settle();
    expect([queue.isStuck(), queue.isStuck()]).toEqual([false, true]);
    put('x'.repeat(500));
    await settle();
    expect(queue.isStuck()).toBe(true);
  });

  it('is waited for no longer than it is there', async () => {
    holds = true;
    put('x'.repeat(2000));
    await settle();
    const waiting = queue.untilDrained();
    queue.close();
    await waiting;
  });
});
