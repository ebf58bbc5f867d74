import { type Gfid, gfidFromBytes } from '@mortar/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type SyncHost, SyncTogether } from './sync-together.ts';

const ids = (count: number): Gfid[] => Array.from({ length: count }, (_, i) => gfidFromBytes(Buffer.alloc(16, i + 1)));

/** A disk with times of its own: what one object takes, what everything takes. */
class Disk implements SyncHost {
  nowMs = 0;
  oneMs = 1;
  allMs = 1;
  isWhole = true;
  tells = true;
  bad = new Set<Gfid>();
  readonly did: string[] = [];
  readonly clock = { nowMs: () => this.nowMs };
  flush = (gfid: Gfid) => void this.did.push(`flush ${gfid.slice(0, 2)}`);
  one = async (gfid: Gfid) => {
    this.did.push('one');
    this.nowMs += this.oneMs;
    return this.bad.has(gfid) ? 5 : 0;
  };
  all = async () => {
    this.did.push('all');
    this.nowMs += this.allMs;
    this.tells &&= this.isWhole;
    return this.isWhole;
  };
}

describe('many objects', () => {
  it('are on disk by one sync of everything, after what the process keeps of them; few by one each', async () => {
    const disk = new Disk();
    const together = new SyncTogether(disk);
    expect(await together.sync(ids(4))).toEqual([0, 0, 0, 0]);
    expect(disk.did).toEqual(['flush 01', 'flush 02', 'flush 03', 'flush 04', 'all']);
    disk.did.length = 0;
    await together.sync(ids(3));
    expect(disk.did).toEqual(['one', 'one', 'one']);
  });

  it('are asked one by one who it was when everything failed, and from then on', async () => {
    const disk = new Disk();
    const together = new SyncTogether(disk);
    disk.isWhole = false;
    const [first, ...others] = ids(5);
    disk.bad.add(first!);
    expect(await together.sync([first!, ...others])).toEqual([5, 0, 0, 0, 0]);
    disk.isWhole = true;
    disk.did.length = 0;
    await together.sync(ids(20));
    expect(new Set(disk.did)).toEqual(new Set(['one']));
  });

  it('do not wait for all else that the disk has to write: whichever was the faster is taken most of the time', async () => {
    const times = fc.record({ oneMs: fc.integer({ min: 1, max: 20 }), allMs: fc.integer({ min: 1, max: 2000 }) });
    await fc.assert(
      fc.asyncProperty(times, fc.integer({ min: 4, max: 64 }), async ({ oneMs, allMs }, count) => {
        const disk = Object.assign(new Disk(), { oneMs, allMs });
        const together = new SyncTogether(disk);
        for (let i = 0; i < 20; i++) await together.sync(ids(count));
        const begun = disk.nowMs;
        for (let i = 0; i < 100; i++) await together.sync(ids(count));
        expect(disk.nowMs - begun).toBeLessThanOrEqual(
          100 * Math.min(oneMs * count, allMs) + 0.35 * 100 * oneMs * count + 12 * allMs,
        );
      }),
    );
  });
});
