import { poolFaults } from '@mortar/testing/pool-sim/faults.ts';
import { crowded, forgetful, type PoolRunOptions, simulatePool } from '@mortar/testing/pool-sim/simulation.ts';
import { describe, expect, it } from 'vitest';

/** All that a person needs to run it again. */
async function problemsOf(seed: number, options: PoolRunOptions = {}): Promise<string[]> {
  const { problems } = await simulatePool(seed, options);
  return problems.map((problem) => `seed ${seed} (npm run sim -- pool --from ${seed} --seeds 1 --trace): ${problem}`);
}

describe('a simulated pool', () => {
  it('does the same again for the same seed', async () => {
    for (const seed of [7, 17, 61]) {
      const first = await simulatePool(seed);
      const second = await simulatePool(seed);
      expect(second.hash).toBe(first.hash);
      expect(second.events).toBe(first.events);
      expect((await simulatePool(seed + 1)).hash).not.toBe(first.hash);
    }
  });

  it('works while nothing is wrong', async () => {
    for (let seed = 1; seed <= 30; seed++) expect(await problemsOf(seed, { faults: [] })).toEqual([]);
  });

  it('agrees under whatever a seed draws', async () => {
    for (let seed = 1001; seed <= 1500; seed++) expect(await problemsOf(seed)).toEqual([]);
  });

  it('has what was wrong with a seed mended: who joined through two took what the one that was removed had left for all', async () => {
    expect(await problemsOf(50302)).toEqual([]);
  });

  it('agrees where many work at the same time and nodes die as they write', async () => {
    for (let seed = 1; seed <= 100; seed++) expect(await problemsOf(seed, crowded)).toEqual([]);
  });

  it('lets nobody commit whose lock was broken', async () => {
    for (let seed = 1; seed <= 100; seed++)
      for (const options of [{}, crowded]) expect(await problemsOf(seed, { ...options, isThorough: true })).toEqual([]);
  });

  it('takes members back that lost their disks', async () => {
    for (let seed = 1; seed <= 100; seed++) expect(await problemsOf(seed, forgetful)).toEqual([]);
  });

  it('agrees under everything at once', async () => {
    for (let seed = 1; seed <= 100; seed++) expect(await problemsOf(seed, { faults: poolFaults })).toEqual([]);
  });
});
