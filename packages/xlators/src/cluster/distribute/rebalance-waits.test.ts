/** A rebalance changes nothing while a client is there that would not find what it moves. */
import type { Log } from '@mortar/core';
import { ManualClock } from '@mortar/rpc/test-rig.ts';
import { expect, it } from 'vitest';
import { create, list, nextTurn, volume } from './grown-rig.ts';
import { type Census, LateClients } from './late-clients.ts';
import { Rebalance, type RebalanceKind } from './rebalance.ts';
import type { DistributeRig } from './rig.ts';

const late: Census = { late: [{ program: 'p', host: 'h', processId: 1 }], isClear: false, unasked: [] };
const clear: Census = { late: [], isClear: true, unasked: [] };

async function grown(kind: RebalanceKind, count = 60) {
  const { small, client, close } = await volume();
  for (let i = 0; i < count; i++) (await create(small, `f${i}`, Buffer.from(`${i}`))).fd.release();
  const mover = await client('mover');
  const clock = new ManualClock();
  const log: Log = { level: 'INFO', setLevel: () => undefined, write: () => undefined };
  const state = { census: late };
  const waits = new LateClients({ clock, log, name: 'd', ask: async () => state.census });
  return { mover, clock, state, close, rebalance: new Rebalance(mover.d, kind, waits) };
}

const pause = () => new Promise((resolve) => setTimeout(resolve, 200));
const layouts = async (rig: DistributeRig) =>
  Promise.all([0, 1, 2].map(async (i) => (await rig.onBrick(i, '/'))?.xattrs['trusted.glusterfs.dht']));

it.each<RebalanceKind>(['migrate', 'fix-layout'])('neither layouts nor files, for %s', async (kind) => {
  const { mover, clock, state, close, rebalance } = await grown(kind);
  const before = await layouts(mover);
  const ended = rebalance.run();
  await pause();
  await clock.advance(10_000);
  expect(rebalance.awaited()).toEqual([{ program: 'p', host: 'h', processId: 1, seconds: 10 }]);
  expect([rebalance.status().scanned, await layouts(mover)]).toEqual([0, before]);
  state.census = clear;
  await clock.advance(2000);
  expect(await ended).toMatchObject({ state: 'completed' });
  expect(await layouts(mover)).not.toEqual(before);
  expect(rebalance.awaited()).toEqual([]);
  await close();
});

it('and is stopped at once while it waits', async () => {
  const { mover, close, rebalance } = await grown('migrate');
  const before = await layouts(mover);
  const ended = rebalance.run();
  await pause();
  rebalance.stop();
  expect(await ended).toMatchObject({ state: 'stopped', scanned: 0 });
  expect(await layouts(mover)).toEqual(before);
  await close();
});

it('any more when one comes while files move, until it has gone', async () => {
  const count = 300;
  const { mover, clock, state, close, rebalance } = await grown('migrate', count);
  state.census = clear;
  let moves = 0;
  mover.doors[2]!.refuse = (fop) => {
    // As soon as files go to the new brick.
    if (fop === 'compound' && ++moves === 1) {
      state.census = late;
      void clock.advance(5000);
    }
    return undefined;
  };
  const ended = rebalance.run();
  while (moves === 0) await nextTurn();
  await pause();
  const { movedFiles } = rebalance.status();
  expect(rebalance.awaited()).toHaveLength(1);
  await pause();
  expect(rebalance.status()).toMatchObject({ state: 'running', movedFiles });
  state.census = clear;
  await clock.advance(2000);
  const after = await ended;
  expect(after.state).toBe('completed');
  expect(after.movedFiles).toBeGreaterThan(movedFiles);
  expect((await list(mover)).length).toBe(count);
  await close();
});
