/** `npm run sim -- volume --seeds N [--from S] [--trace]`, or `--only S,S,...`: runs seeds, prints those that fail and how to run each again. */
import { parseArgs } from 'node:util';
import { faultKinds } from './plan.ts';
import { simulateVolume } from './simulation.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '100' },
    from: { type: 'string', default: '1' },
    only: { type: 'string' },
    trace: { type: 'boolean', default: false },
    faults: { type: 'string' },
    trees: { type: 'boolean', default: false },
  },
});
const from = Number(values.from);
const count = Number(values.seeds);
if (!Number.isSafeInteger(from) || !Number.isSafeInteger(count) || count < 1) {
  console.error(
    'usage: npm run sim -- volume --seeds N [--from S] [--only S,S] [--faults KIND,KIND] [--trees] [--trace]',
  );
  process.exit(2);
}
const faults =
  values.faults === undefined ? undefined : faultKinds.filter((one) => values.faults!.split(',').includes(one));
let failed = 0;
let moved = 0;
let operations = 0;
const begin = performance.now();
const seeds = values.only?.split(',').map(Number) ?? Array.from({ length: count }, (_, i) => from + i);
for (const seed of seeds) {
  const plan = { ...(faults && { faults }), ...(values.trees && { trees: true }) };
  const verdict = await simulateVolume(seed, { keepTrace: values.trace, plan });
  moved += verdict.moved;
  operations += verdict.operations;
  if (values.trace) for (const line of verdict.lines) console.log(line);
  if (verdict.problems.length === 0) continue;
  failed++;
  console.log(`seed ${seed} fails: faults ${verdict.plan.faults.join(',') || 'none'}; ${verdict.plan.clients} clients`);
  for (const problem of verdict.problems.slice(0, 6)) console.log(`  ${problem.slice(0, 900)}`);
  console.log(`  again: npm run sim -- volume --from ${seed} --seeds 1 --trace`);
}
const seconds = (performance.now() - begin) / 1000;
console.log(
  `${seeds.length} seeds from ${seeds[0]}, ${failed} failed; ${operations} operations, ${moved} files moved, in ${seconds.toFixed(1)} s`,
);
process.exitCode = failed > 0 ? 1 : 0;
