/** `npm run sim -- --seeds N [--from S] [--trace]`, or `--only S,S,...`: runs seeds, prints those that fail and how to run each again. */
import { readArguments, runSeeds } from './command.ts';
import { allWorkKinds, faultKinds, largeSkewMs, newDisks, type PlanChanges, wordsOf } from './plan.ts';
import { simulate } from './simulation.ts';

const command = 'npm run sim --';
const args = readArguments(
  command,
  '[--work KIND,KIND] [--clients N] [--bricks N] [--arbiter] [--new-disk whole|any] [--parking] [--skew] [--delegations] [--silence] [--strict]',
  {
    strict: { type: 'boolean', default: false },
    arbiter: { type: 'boolean', default: false },
    'new-disk': { type: 'string' },
    parking: { type: 'boolean', default: false },
    skew: { type: 'boolean', default: false },
    delegations: { type: 'boolean', default: false },
    silence: { type: 'boolean', default: false },
    work: { type: 'string' },
    clients: { type: 'string' },
    bricks: { type: 'string' },
  },
);
const faults = args.among('faults', faultKinds);
const work = args.among('work', allWorkKinds);
const [newDisk] = args.among('new-disk', newDisks) ?? [];
const clients = numberOf('clients', ['1', '2', '3', '4', '5']);
const bricks = numberOf('bricks', ['3', '4', '5']);
const plan: PlanChanges = {
  ...(args.isSet('arbiter') && { arbiter: true }),
  ...(newDisk && { newDisk }),
  ...(args.isSet('parking') && { parking: true }),
  ...(args.isSet('skew') && { skewMs: largeSkewMs }),
  ...(args.isSet('delegations') && { delegations: true }),
  ...(args.isSet('silence') && { silence: true }),
  ...(faults && { faults }),
  ...(work && { work }),
  ...(clients && { clients }),
  ...(bricks && { bricks }),
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

function numberOf(option: string, all: readonly string[]): number | undefined {
  const given = args.among(option, all);
  if (given === undefined || given.length === 1) return given && Number(given[0]);
  console.error(`${command} --${option} is a number from ${all[0]} to ${all.at(-1)}`);
  process.exit(2);
}
