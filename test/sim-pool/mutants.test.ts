/** Planted bugs: a simulation that does not find them would find nothing else either. */
import { Session } from '@mortar/glusterd/pool/session.ts';
import { PoolDisk } from '@mortar/testing/pool-sim/disk.ts';
import { type PoolRunOptions, simulatePool } from '@mortar/testing/pool-sim/simulation.ts';
import { afterEach, describe, expect, it, vi } from 'vitest';

const mostSeeds = 500;

/** There is a seed that fails with the bug and passes without. */
async function expectCaught(plant: () => void, options: PoolRunOptions = {}): Promise<void> {
  const fails = async (seed: number) => (await simulatePool(seed, options)).problems.length > 0;
  let caught: number | undefined;
  for (let seed = 1; seed <= mostSeeds && caught === undefined; seed++) {
    plant();
    const isSuspect = await fails(seed);
    vi.restoreAllMocks();
    if (isSuspect && !(await fails(seed))) caught = seed;
  }
  expect(caught).toBeDefined();
}

describe('a simulation finds', () => {
  afterEach(() => vi.restoreAllMocks());

  it('a member that forgets at a restart what it promised', async () => {
    await expectCaught(() =>
      vi.spyOn(PoolDisk.prototype, 'remembered').mockImplementation((state) => ({ ...state, promised: null })),
    );
  });

  it('a member that forgets at a restart what it accepted', async () => {
    await expectCaught(() =>
      vi.spyOn(PoolDisk.prototype, 'remembered').mockImplementation((state) => ({ ...state, accepted: null })),
    );
  });

  it('a coordinator that does not finish what it finds accepted', async () => {
    await expectCaught(() => vi.spyOn(Session.prototype, 'found').mockReturnValue(null));
  });

  it('a majority of two out of four', async () => {
    await expectCaught(() =>
      vi.spyOn(Session.prototype, 'majority').mockImplementation((count) => Math.ceil(count / 2)),
    );
  });
});
