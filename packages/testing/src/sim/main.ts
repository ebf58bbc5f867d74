/** `npm run sim -- --seeds N [--from S] [--trace]`, or `--only S,S,...`: runs seeds, prints those that fail and how to run each again. */
import { readArguments, runSeeds } from './command.ts';
import { allWorkKinds, faultKinds, type PlanChanges, wordsOf } from './plan.ts';
import { simulate } from './simulation.ts';

const command = 'npm run sim --';
const args = readArguments(command, '[--work KIND,KIND] [--clients N] [--strict]', {
  strict: { type: 'boolean', default: false },
  work: { type: 'string' },
  clients: { type: 'string' },
});
const faults = args.among('faults', faultKinds);
const work = args.among('work', allWorkKinds);
const count = args.among('clients', ['1', '2', '3', '4', '5']);
if (count?.length === 0) {
  console.error(`${command} --clients is a number from 1 to 5`);
  process.exit(2);
}
const plan: PlanChanges = {
  ...(faults && { faults }),
  ...(work && { work }),
  ...(count && { clients: Number(count[0]) }),
};
let events = 0;
await runSeeds(
  [command, wordsOf(plan), args.isSet('strict') && '--strict'].filter(Boolean).join(' '),
  args,
  async (seed) => {
    const verdict = await simulate(seed, { keepTrace: args.trace, strict: args.isSet('strict'), plan });
    events += verdict.events;
    return verdict;
  },
  ({ plan: { faults: had, work: did, clients } }) =>
    `faults ${had.join(',') || 'none'}; work ${did.join(',')}; ${clients} clients`,
  () => `${events} events`,
);
