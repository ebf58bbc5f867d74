import { Errno, type Gfid, gfidFromBytes } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { SyncGather } from './sync-gather.ts';

const id = (i: number): Gfid => gfidFromBytes(Buffer.alloc(16, i));

/** Rounds that end when they are told to. */
function rig() {
  const rounds: { gfids: readonly Gfid[]; end: (errnos: number[]) => void; fail: (error: Error) => void }[] = [];
  const gather = new SyncGather((gfids) => new Promise((end, fail) => rounds.push({ gfids, end, fail })));
  return { gather, rounds };
}

const tick = () => new Promise((resolve) => setImmediate(resolve));

describe('syncs of several objects', () => {
  it('that are asked for at once are one, and each hears of its own', async () => {
    const { gather, rounds } = rig();
    const all = [1, 2, 3].map((i) => gather.sync(id(i)));
    await tick();
    expect(rounds.map(({ gfids }) => gfids)).toEqual([[id(1), id(2), id(3)]]);
    rounds[0]!.end([0, Errno.EIO, 0]);
    expect(await Promise.all(all)).toEqual([0, Errno.EIO, 0]);
  });

  it('that are asked for while others run begin after those: what was written since is not in them', async () => {
    const { gather, rounds } = rig();
    const first = gather.sync(id(1));
    await tick();
    const again = gather.sync(id(1));
    const other = gather.sync(id(2));
    await tick();
    expect(rounds).toHaveLength(1);
    rounds[0]!.end([0]);
    expect(await first).toBe(0);
    await tick();
    expect(rounds[1]!.gfids).toEqual([id(1), id(2)]);
    rounds[1]!.end([0, 0]);
    expect(await Promise.all([again, other])).toEqual([0, 0]);
    await tick();
    expect(rounds).toHaveLength(2);
  });

  it('are bounded rounds', async () => {
    const { gather, rounds } = rig();
    const bytes = (i: number) => gfidFromBytes(Buffer.concat([Buffer.from([i >> 8, i & 255]), Buffer.alloc(14, 1)]));
    const all = Array.from({ length: 300 }, (_, i) => gather.sync(bytes(i)));
    for (const expected of [256, 44]) {
      await tick();
      const { gfids, end } = rounds.at(-1)!;
      expect(gfids).toHaveLength(expected);
      end(gfids.map(() => 0));
    }
    expect(new Set(await Promise.all(all))).toEqual(new Set([0]));
  });

  it('go on after a round that threw', async () => {
    const { gather, rounds } = rig();
    const one = gather.sync(id(1));
    await tick();
    rounds[0]!.fail(new Error('bug'));
    await expect(one).rejects.toThrow('bug');
    const next = gather.sync(id(1));
    await tick();
    rounds[1]!.end([0]);
    expect(await next).toBe(0);
  });
});
