import { simulate } from '@mortar/testing/sim/simulation.ts';
import { describe, expect, it } from 'vitest';
import { regressions } from './regressions.ts';

/** All that a person needs to run it again. */
async function problemsOf(seed: number, plan = {}): Promise<string[]> {
  const { problems } = await simulate(seed, { plan });
  return problems.map((problem) => `seed ${seed} (npm run sim -- --from ${seed} --seeds 1 --trace): ${problem}`);
}

describe('a simulated replica set', () => {
  it('does the same again for the same seed', async () => {
    for (const seed of [7, 17, 61]) {
      const first = await simulate(seed);
      const second = await simulate(seed);
      expect(second.hash).toBe(first.hash);
      expect(second.events).toBe(first.events);
      expect((await simulate(seed + 1)).hash).not.toBe(first.hash);
    }
  });

  it('works while nothing is wrong', async () => {
    for (let seed = 1; seed <= 20; seed++) expect(await problemsOf(seed, { faults: [] })).toEqual([]);
  });

  it.each(regressions)('stays whole where it once did not: $what', async ({ seed, plan }) => {
    expect(await problemsOf(seed, plan)).toEqual([]);
  });

  it('stays whole under cuts, partitions, crashes and pauses', { timeout: 240_000 }, async () => {
    const faults = ['cut', 'partition', 'half-partition', 'brick-kill', 'brick-power', 'client-crash', 'slow-disk'];
    const work = ['blocks', 'append', 'unique', 'truncate', 'attributes'];
    for (let seed = 1001; seed <= 1150; seed++) {
      const plan = { faults: [faults[seed % faults.length], faults[(seed * 3) % faults.length]], work };
      expect(await problemsOf(seed, plan)).toEqual([]);
    }
  });
});
