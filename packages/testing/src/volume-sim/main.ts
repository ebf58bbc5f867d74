/** `npm run sim -- volume --seeds N [--from S] [--trace]`, or `--only S,S,...`: runs seeds, prints those that fail and how to run each again. */
import { readArguments, runSeeds } from '../sim/command.ts';
import { faultKinds } from './plan.ts';
import { simulateVolume } from './simulation.ts';

const command = 'npm run sim -- volume';
const args = readArguments(command, '[--trees] [--late yes|no] [--no-wait]', {
  trees: { type: 'boolean', default: false },
  late: { type: 'string' },
  'no-wait': { type: 'boolean', default: false },
});
const faults = args.among('faults', faultKinds);
const late = args.among('late', ['yes', 'no']);
const plan = {
  ...(faults && { faults }),
  ...(args.isSet('trees') && { trees: true }),
  ...(late && { late: late.includes('yes') }),
  ...(args.isSet('no-wait') && { waits: false }),
};
let moved = 0;
let operations = 0;
await runSeeds(
  command,
  args,
  async (seed) => {
    const verdict = await simulateVolume(seed, { keepTrace: args.trace, plan });
    moved += verdict.moved;
    operations += verdict.operations;
    return verdict;
  },
  ({ plan: { faults: had, clients } }) => `faults ${had.join(',') || 'none'}; ${clients} clients`,
  () => `${operations} operations, ${moved} files moved,`,
);
