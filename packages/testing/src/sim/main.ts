/** `npm run sim -- --seeds N [--from S] [--trace]`, or `--only S,S,...`: runs seeds, prints those that fail and how to run each again. */
import { parseArgs } from 'node:util';
import { allWorkKinds, faultKinds, type PlanChanges } from './plan.ts';
import { simulate, type Verdict } from './simulation.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '100' },
    from: { type: 'string', default: '1' },
    only: { type: 'string' },
    trace: { type: 'boolean', default: false },
    strict: { type: 'boolean', default: false },
    faults: { type: 'string' },
    work: { type: 'string' },
  },
});

function report(verdict: Verdict): void {
  const { seed, problems, plan } = verdict;
  console.log(
    `seed ${seed} fails: faults ${plan.faults.join(',') || 'none'}; work ${plan.work.join(',')}; ${plan.clients} clients`,
  );
  for (const problem of problems.slice(0, 6)) console.log(`  ${problem.slice(0, 600)}`);
  console.log(`  again: npm run sim -- --from ${seed} --seeds 1 --trace`);
}

const from = Number(values.from);
const count = Number(values.seeds);
if (!Number.isSafeInteger(from) || !Number.isSafeInteger(count) || count < 1) {
  console.error('usage: npm run sim -- --seeds N [--from S] [--only S,S] [--trace]');
  process.exit(2);
}
const listed = <T extends string>(text: string | undefined, all: readonly T[]): T[] | undefined =>
  text === undefined ? undefined : all.filter((one) => text.split(',').includes(one));
const faults = listed(values.faults, faultKinds);
const work = listed(values.work, allWorkKinds);
const plan: PlanChanges = { ...(faults ? { faults } : {}), ...(work ? { work } : {}) };
let failed = 0;
let events = 0;
const begin = performance.now();
const seeds = values.only?.split(',').map(Number) ?? Array.from({ length: count }, (_, i) => from + i);
for (const seed of seeds) {
  const verdict = await simulate(seed, { keepTrace: values.trace, strict: values.strict, plan });
  events += verdict.events;
  if (values.trace) for (const line of verdict.lines) console.log(line);
  if (verdict.problems.length === 0) continue;
  failed++;
  report(verdict);
}
const seconds = (performance.now() - begin) / 1000;
console.log(
  `${seeds.length} seeds from ${seeds[0]}, ${failed} failed; ${events} events in ${seconds.toFixed(1)} s (${((seconds * 1000) / seeds.length).toFixed(0)} ms a seed)`,
);
process.exitCode = failed > 0 ? 1 : 0;
