/** `npm run sim -- pool --seeds N [--from S] [--trace]`: runs seeds, prints those that fail and how to run each again. */
import { readArguments, runSeeds } from '../sim/command.ts';
import { poolFaults } from './faults.ts';
import { crowded, forgetful, simulatePool } from './simulation.ts';

const command = 'npm run sim -- pool';
const flag = { type: 'boolean', default: false } as const;
const args = readArguments(command, '[--crowded] [--thorough] [--forgetful]', {
  crowded: flag,
  thorough: flag,
  forgetful: flag,
});
const faults = args.among('faults', poolFaults);
let events = 0;
let acknowledged = 0;
await runSeeds(
  command,
  args,
  async (seed) => {
    const verdict = await simulatePool(seed, {
      keepTrace: args.trace,
      ...(args.isSet('crowded') && crowded),
      ...(args.isSet('forgetful') && forgetful),
      isThorough: args.isSet('thorough'),
      ...(faults && { faults }),
    });
    events += verdict.events;
    acknowledged += verdict.acknowledged;
    return verdict;
  },
  ({ nodes, faults: had }) => `${nodes} nodes, faults ${had.join(',') || 'none'}`,
  () => `${acknowledged} changes acknowledged, ${events} events`,
);
