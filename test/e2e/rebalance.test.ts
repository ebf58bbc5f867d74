/**
 * Volumes grow and shrink while a client works and another one looks, and processes are killed on the way: 3 bricks become 5,
 * 4 and 3 again; 2 x replica 3 becomes 3 x replica 3 and 2 x again. MORTAR_REBALANCE_ROUNDS: how often; MORTAR_REBALANCE_SEED:
 * what is done in which order (not how fast).
 */
import { afterEach, describe, expect, it } from 'vitest';
import { BusyVolume } from '../support/busy-volume.ts';
import { type Brick, startCluster } from '../support/cluster.ts';
import { canMount } from '../support/sandbox.ts';

const rounds = Number(process.env.MORTAR_REBALANCE_ROUNDS ?? 1);
const firstSeed = Number(process.env.MORTAR_REBALANCE_SEED ?? Date.now() % 1_000_000);
const patienceMs = 120_000 + rounds * 400_000;

describe.skipIf(!canMount)('no file vanishes, appears twice or reads as it was before', () => {
  const cluster = startCluster();
  let current: BusyVolume | undefined;
  const begin = async (volume: string, seed: number) => {
    console.log(`${volume}: seed ${seed}`);
    const busy = new BusyVolume(cluster, volume, seed);
    current = busy;
    await busy.begin();
    return busy;
  };
  afterEach(() => current?.stop());

  it(
    'while 3 bricks become 5, 4 and 3 again',
    async () => {
      const volume = 'plain';
      const bricks = await cluster.createAndStart(volume, [], 3);
      const busy = await begin(volume, firstSeed);
      for (let round = 0; round < rounds; round++) {
        const [first, second] = [0, 1].map((i) => cluster.brick(`${volume}-r${round}-${i}`).name) as [string, string];
        const meanwhile = async () => {
          await busy.killBrick(cluster.brickPid(volume, busy.random.pick(bricks)));
          await busy.killClient();
        };
        const grown = await busy.grow([first, second], meanwhile, true);
        const shrunk = [await busy.shrink([second]), await busy.shrink([first])];
        console.log(`${volume} round ${round}: ${[grown, ...shrunk].join('')}`);
      }
      console.log(await busy.end());
      await cluster.destroy(volume, ...busy.mounts);
    },
    patienceMs,
  );

  it(
    'while a set of replicas is added and goes, and bricks die',
    async () => {
      const volume = 'sets';
      const bricks = await cluster.createAndStart(volume, ['replica', '3'], 6);
      const busy = await begin(volume, firstSeed + 1);
      for (let round = 0; round < rounds; round++) {
        const added = [0, 1, 2].map((i) => cluster.brick(`${volume}-r${round}-${i}`));
        const names = added.map(({ name }) => name);
        let killed: Brick | undefined;
        const grown = await busy.grow(names, async () => {
          killed = busy.random.pick([...bricks, ...added]);
          await cluster.kill(cluster.brickPid(volume, killed));
          await busy.killClient();
          await cluster.must('volume', 'start', volume, 'force');
        });
        const shrunk = await busy.shrink(names);
        console.log(`${volume} round ${round}: brick ${killed?.path} and a client killed\n${grown}${shrunk}`);
        // Another brick of the same set must not go before.
        await busy.quiet(() => cluster.healed(volume));
        busy.check();
      }
      console.log(await busy.end());
      await cluster.healed(volume);
      await cluster.destroy(volume, ...busy.mounts);
      expect(busy.mounts).toHaveLength(3);
    },
    patienceMs,
  );
});
