/** `npm run sim -- volume --seeds N [--from S] [--trace]`, or `--only S,S,...`: runs seeds, prints those that fail and how to run each again. */
import { readArguments, runSeeds } from '../sim/command.ts';
import { faultKinds, shareKinds } from './plan.ts';
import { simulateVolume } from './simulation.ts';

const command = 'npm run sim -- volume';
const args = readArguments(command, '[--trees [--reuse]] [--rivals] [--movers 2..5] [--late yes|no] [--no-wait]', {
  trees: { type: 'boolean', default: false },
  reuse: { type: 'boolean', default: false },
  rivals: { type: 'boolean', default: false },
  movers: { type: 'string' },
  late: { type: 'string' },
  'no-wait': { type: 'boolean', default: false },
});
const faults = args.among('faults', faultKinds);
const late = args.among('late', ['yes', 'no']);
const given = args.among('movers', ['2', '3', '4', '5']);
if (given?.length === 0) {
  console.error(`${command}: --movers is a number from 2 to 5`);
  process.exit(2);
}
const movers = Number(given?.[0] ?? 1);
const own = `${args.isSet('trees') ? ' --trees' : ''}${args.isSet('reuse') ? ' --reuse' : ''}${args.isSet('rivals') ? ' --rivals' : ''}${movers > 1 ? ` --movers ${movers}` : ''}`;
/** How the movers share the files is the seed's. */
const planFor = (seed: number) => ({
  ...(faults && { faults }),
  ...(args.isSet('trees') && { trees: true }),
  ...(args.isSet('reuse') && { reuses: true }),
  ...(args.isSet('rivals') && { rivals: true }),
  ...(late && { late: late.includes('yes') }),
  ...(args.isSet('no-wait') && { waits: false }),
  ...(movers > 1 && { movers, shares: shareKinds[seed % shareKinds.length]! }),
});
let moved = 0;
let operations = 0;
await runSeeds(
  command + own,
  args,
  async (seed) => {
    const verdict = await simulateVolume(seed, { keepTrace: args.trace, plan: planFor(seed) });
    moved += verdict.moved;
    operations += verdict.operations;
    return verdict;
  },
  ({ plan: { faults: had, clients } }) => `faults ${had.join(',') || 'none'}; ${clients} clients`,
  () => `${operations} operations, ${moved} files moved,`,
);
