/** Planted bugs: a simulation that does not find them would find nothing else either. */

import type { PlanChanges } from '@mortar/testing/sim/plan.ts';
import { simulate } from '@mortar/testing/sim/simulation.ts';
import { Replica } from '@mortar/xlators/cluster/replicate/replica.ts';
import { ReplicaSet } from '@mortar/xlators/cluster/replicate/replica-set.ts';
import { Fences } from '@mortar/xlators/features/locks/fences.ts';
import { Delegations } from '@mortar/xlators/features/upcall/delegations.ts';
import { afterEach, describe, expect, it, vi } from 'vitest';

const mostSeeds = 500;

/** There is a seed that fails with the bug and passes without. */
async function expectCaught(plant: () => void, plan: PlanChanges): Promise<void> {
  const fails = async (seed: number) => (await simulate(seed, { plan })).problems.length > 0;
  let caught: number | undefined;
  for (let seed = 1; seed <= mostSeeds && caught === undefined; seed++) {
    plant();
    const isSuspect = await fails(seed);
    vi.restoreAllMocks();
    if (isSuspect && !(await fails(seed))) caught = seed;
  }
  expect(caught).toBeDefined();
}

interface Step {
  readonly fop: string;
  readonly args: object;
}

/** A request without the values that it adds to the changelog. */
function withoutMarks(fop: string, args: object): object {
  if (fop === 'xattrop' || fop === 'fxattrop') return { ...args, values: {} };
  const { steps } = args as { steps?: readonly Step[] };
  return steps ? { ...args, steps: steps.map((s) => ({ ...s, args: withoutMarks(s.fop, s.args) })) } : args;
}

describe('a simulation finds', { timeout: 240_000 }, () => {
  afterEach(() => vi.restoreAllMocks());

  it('changes without dirty marks and blame', async () => {
    const { windOne } = ReplicaSet.prototype;
    const plant = () =>
      vi.spyOn(ReplicaSet.prototype, 'windOne').mockImplementation(function (this: ReplicaSet, child, fop, call, args) {
        return windOne.call(this, child, fop, call, withoutMarks(fop, args) as never) as never;
      });
    await expectCaught(plant, { faults: ['partition', 'brick-kill'], work: ['blocks'] });
  });

  it('locks that let in whoever comes with an old fence token', async () => {
    const plant = () =>
      vi.spyOn(Fences.prototype, 'find').mockImplementation((number, clientId) => ({
        number,
        clientId,
        live: true,
        running: 0,
        drained: null,
      }));
    const plan: PlanChanges = {
      faults: ['client-pause', 'partition'],
      work: ['blocks', 'append'],
      clients: 3,
      thinkMs: 50,
      graceMs: 300,
      pingMs: 500,
      durationMs: 15_000,
      operations: 60,
    };
    await expectCaught(plant, plan);
  });

  it('reads from a replica that others accuse', async () => {
    const plant = () =>
      vi.spyOn(Replica.prototype, 'readers').mockImplementation(function (this: Replica) {
        return [...this.set.up];
      });
    await expectCaught(plant, { faults: ['partition', 'brick-kill'], work: ['blocks'] });
  });

  describe('files that are opened without the bricks', () => {
    const plan: PlanChanges = {
      delegations: true,
      faults: ['half-partition'],
      faultEveryMs: 200,
      work: ['blocks', 'reopen'],
      clients: 3,
      thinkMs: 50,
      operations: 60,
    };

    it('though nobody was asked', async () => {
      await expectCaught(() => vi.spyOn(Delegations.prototype, 'recall').mockReturnValue(undefined), plan);
    });

    it('though others did not wait for the answer', async () => {
      const { recall } = Delegations.prototype;
      const plant = () =>
        vi.spyOn(Delegations.prototype, 'recall').mockImplementation(function (this: Delegations, gfids, by) {
          void recall.call(this, gfids, by);
          return undefined;
        });
      await expectCaught(plant, plan);
    });
  });
});
