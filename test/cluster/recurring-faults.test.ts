/**
 * The same fault of the same machine again and again, for so short that what is healed is struck anew, while trees are unpacked,
 * compared and removed, and files appended to, overwritten and renamed. Nothing is refused, nothing reads otherwise than it was written, and the bricks
 * are the same in the end. MORTAR_RECURRING_SECONDS: how long each kind of fault; MORTAR_RECURRING_FAULTS: which, by number.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { SeededRandom } from '@mortar/testing/sim/random.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { disksImpossible, faultsOf } from '../support/data-faults.ts';
import { nodesImpossible } from '../support/nodes.ts';
import { SufferingVolume } from '../support/suffering-volume.ts';

const problem = nodesImpossible() ?? disksImpossible();
const seconds = Number(process.env.MORTAR_RECURRING_SECONDS ?? 4);
const kinds = (process.env.MORTAR_RECURRING_FAULTS ?? '0,1,2,3,4,5,6').split(',').map(Number);

describe.skipIf(problem !== null)(`a replica 3 volume${problem === null ? '' : ` (${problem})`}`, () => {
  const random = new SeededRandom(Number(process.env.MORTAR_FAULT_SEED ?? 1));
  const work = ['untar', 'untar', 'untar', 'count', 'append', 'rename'] as const;
  const volume = new SufferingVolume('10.78.10.', random, work);
  const faults = faultsOf(volume.cluster, volume.machines[0]!, volume.client);

  beforeAll(() => volume.start(), 180_000);
  afterAll(() => volume.end(), 60_000);

  it.each(kinds.map((kind) => [faults[kind]!.what, faults[kind]!] as const))(
    'is whole where of one machine, again and again, %s',
    async (_what, fault) => {
      const errors = () => volume.workers.flatMap((one) => one.errors.map((error) => `${one.directory} ${error}`));
      volume.goOn();
      await pause(300);
      for (const end = Date.now() + seconds * 1000; Date.now() < end && errors().length === 0; ) {
        await fault.begin();
        await pause(random.between(50, 1500));
        await fault.end();
        // Who is killed often is started late.
        await volume.startBricks();
        await pause(random.between(50, 2000));
      }
      await volume.rest();
      if (errors().length > 0) console.error(await volume.report());
      expect(errors()).toEqual([]);
      await volume.healed();
      const [tree, ...others] = await Promise.all(volume.machines.map((machine) => machine.tree()));
      for (const other of others) expect(other).toBe(tree);
    },
    seconds * 1000 + 400_000,
  );
});
