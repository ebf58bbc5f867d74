import { simulateVolume } from '@mortar/testing/volume-sim/simulation.ts';
import { describe, expect, it } from 'vitest';

/** All that a person needs to run it again. */
async function problemsOf(seed: number, plan = {}, flags = ''): Promise<string[]> {
  const { problems } = await simulateVolume(seed, { plan });
  return problems.map(
    (problem) => `seed ${seed} (npm run sim -- volume ${flags}--from ${seed} --seeds 1 --trace): ${problem}`,
  );
}

describe('a simulated distributed volume that grows and shrinks', () => {
  it('does the same again for the same seed', { timeout: 240_000 }, async () => {
    for (const [seed, late] of [
      [2, false],
      [990011, true],
    ] as const) {
      const [first, second] = [
        await simulateVolume(seed, { plan: { late } }),
        await simulateVolume(seed, { plan: { late } }),
      ];
      expect(second.hash).toBe(first.hash);
      expect(first.moved).toBeGreaterThan(5);
      expect(first.operations).toBeGreaterThan(100);
    }
  });

  it('has every file once, under its names and with its data', { timeout: 600_000 }, async () => {
    for (let seed = 2; seed <= 9; seed++) expect(await problemsOf(seed)).toEqual([]);
  });

  it.each([
    { what: 'told names of a brick that was down to be nowhere', seed: 5 },
    { what: 'told that a name was gone when its brick was', seed: 19 },
    { what: 'told that a name was taken when its brick was gone', seed: 118 },
    { what: 'left the mark of a move whose mover had been paused', seed: 940008 },
    { what: 'did not make a directory on a new brick, and told ESTALE', seed: 940184 },
    { what: 'left what a rename was to replace where it had just moved', seed: 970033 },
    { what: 'showed what had been replaced when it had just moved', seed: 970185 },
    { what: 'kept a lock that was given back while its brick was away, in a compound', seed: 970783 },
    { what: 'did not find what was renamed past it on a brick that goes', seed: 970549 },
    { what: 'told that a name was taken by what was to be renamed to it', seed: 970533 },
    { what: 'left what was replaced because the old name could not be taken away', seed: 971794 },
    { what: 'had no word of what a client that died had replaced, without a linkto', seed: 960250 },
  ])('stays whole where it once did not: $what', { timeout: 240_000 }, async ({ seed }) => {
    expect(await problemsOf(seed, { trees: false, late: false })).toEqual([]);
  });

  it('loses no file that all clients rename at once', { timeout: 240_000 }, async () => {
    expect(await problemsOf(9, { rivals: true }, '--rivals ')).toEqual([]);
  });

  it.each([{ what: 'was not removed since a mover had a linkto in it', seed: 980044 }])(
    'lets directories come and go where it once did not: $what',
    { timeout: 240_000 },
    async ({ seed }) => {
      expect(await problemsOf(seed, { trees: true, late: false })).toEqual([]);
    },
  );

  it.each([
    { what: 'each with bricks of its own', shares: 'apart', seed: 3 },
    { what: 'that share each brick by the gfids', shares: 'turns', seed: 4 },
    { what: 'that all take all files for their own', shares: 'same', seed: 5 },
  ] as const)('has every file once with several movers side by side, $what', { timeout: 240_000 }, async (run) => {
    const { shares, seed } = run;
    for (const movers of [2, 3])
      expect(await problemsOf(seed, { movers, shares, faults: ['mover-kill', 'cut'] })).toEqual([]);
  });

  describe('whose clients take new graphs late', () => {
    // In these nothing is killed or cut: every failure is a client that did not find what had moved.
    const seeds = [990007, 990011, 991026];

    it.each(seeds)(
      'loses sight of nothing while the rebalance waits for them (%i)',
      { timeout: 240_000 },
      async (seed) => {
        expect(await problemsOf(seed, { late: true, faults: [] })).toEqual([]);
      },
    );

    it.each(seeds)('does so if it does not wait (%i)', { timeout: 240_000 }, async (seed) => {
      expect(await problemsOf(seed, { late: true, faults: [], waits: false })).not.toEqual([]);
    });

    it.each([
      { what: 'a directory came back that a late client had removed', seed: 992115 },
      { what: 'what a rename had left was taken for its new name, and then removed', seed: 1210073 },
      { what: 'a client that could ask nobody said that a directory was stale', seed: 1300290 },
      { what: 'what a rename had not shown when its client died hid another file', seed: 995025 },
    ])('stays whole where it once did not: $what', { timeout: 240_000 }, async ({ seed }) => {
      expect(await problemsOf(seed, { late: true })).toEqual([]);
    });

    it.each([
      { what: 'a directory could not be renamed since new bricks lacked it, or the one that it is in', seed: 994011 },
    ])('has directories of names that others had before: $what', { timeout: 240_000 }, async ({ seed }) => {
      expect(await problemsOf(seed, { late: true, trees: true, reuses: true })).toEqual([]);
    });

    it('stays whole when they are killed or silent, too', { timeout: 600_000 }, async () => {
      for (const seed of [990006, 990008, 990010]) expect(await problemsOf(seed, { late: true })).toEqual([]);
    });
  });
});
