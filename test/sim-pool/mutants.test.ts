/** Planted bugs: a simulation that does not find them would find nothing else either. */
import { breaking, Coordinator } from '@mortar/glusterd/pool/coordinator.ts';
import { Session } from '@mortar/glusterd/pool/session.ts';
import { PoolDisk } from '@mortar/testing/pool-sim/disk.ts';
import { crowded, forgetful, type PoolRunOptions, simulatePool } from '@mortar/testing/pool-sim/simulation.ts';
import { afterEach, describe, expect, it, vi } from 'vitest';

const mostSeeds = 500;

/** There is a seed in which the bug does harm, and which passes without. That a promise was broken alone is no harm. */
async function expectCaught(plant: () => void, options: PoolRunOptions = {}): Promise<void> {
  const isHarm = (problem: string) => / was decided as |never decided|update was lost|but not decided/.test(problem);
  const fails = async (seed: number) => (await simulatePool(seed, options)).problems.some(isHarm);
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
    // Who is outvoted must still be on the way when the member is back: slow messages, one-way cuts, many at once.
    await expectCaught(
      () => vi.spyOn(PoolDisk.prototype, 'remembered').mockImplementation((state) => ({ ...state, promised: null })),
      crowded,
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

  it('a lock that is broken by being forgotten alone', async () => {
    const { begin } = Session.prototype;
    let caught: string[] = [];
    for (let seed = 1; seed <= mostSeeds && caught.length === 0; seed++) {
      vi.spyOn(Session.prototype, 'begin').mockImplementation(function (this: Session) {
        return this.operation === breaking ? Promise.resolve() : begin.call(this);
      });
      const { problems } = await simulatePool(seed, { ...crowded, isThorough: true });
      caught = problems.filter((problem) => problem.includes('broke the lock'));
      vi.restoreAllMocks();
    }
    expect(caught).not.toEqual([]);
  });

  it('a member that lost its disk and is taken back as if it remembered', async () => {
    await expectCaught(() => vi.spyOn(Coordinator.prototype, 'readmit').mockResolvedValue(), forgetful);
  });

  it('a majority of two out of four', async () => {
    await expectCaught(() =>
      vi
        .spyOn(Session.prototype, 'majority')
        .mockImplementation((count) => (count === 4 ? 2 : Math.floor(count / 2) + 1)),
    );
  });
});
