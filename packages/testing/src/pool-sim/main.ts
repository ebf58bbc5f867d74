/** `npm run sim -- pool --seeds N [--from S] [--trace]`: runs seeds, prints those that fail and how to run each again. */
import { parseArgs } from 'node:util';
import { poolFaults } from './faults.ts';
import { crowded, forgetful, simulatePool } from './simulation.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '100' },
    from: { type: 'string', default: '1' },
    only: { type: 'string' },
    trace: { type: 'boolean', default: false },
    crowded: { type: 'boolean', default: false },
    thorough: { type: 'boolean', default: false },
    forgetful: { type: 'boolean', default: false },
    faults: { type: 'string' },
  },
});

const from = Number(values.from);
const count = Number(values.seeds);
if (!Number.isSafeInteger(from) || !Number.isSafeInteger(count) || count < 1) {
  console.error(
    'usage: npm run sim -- pool --seeds N [--from S] [--only S,S] [--faults F,F] [--crowded] [--thorough] [--forgetful] [--trace]',
  );
  process.exit(2);
}
const faults =
  values.faults === undefined ? undefined : poolFaults.filter((one) => values.faults!.split(',').includes(one));
const seeds = values.only?.split(',').map(Number) ?? Array.from({ length: count }, (_, i) => from + i);
const total = { failed: 0, events: 0, acknowledged: 0 };
const begin = performance.now();
for (const seed of seeds) {
  const verdict = await simulatePool(seed, {
    keepTrace: values.trace,
    ...(values.crowded && crowded),
    ...(values.forgetful && forgetful),
    isThorough: values.thorough,
    ...(faults && { faults }),
  });
  total.events += verdict.events;
  total.acknowledged += verdict.acknowledged;
  for (const line of verdict.lines) console.log(line);
  if (verdict.problems.length === 0) continue;
  total.failed++;
  console.log(`seed ${seed} fails: ${verdict.nodes} nodes, faults ${verdict.faults.join(',') || 'none'}`);
  for (const problem of verdict.problems.slice(0, 6)) console.log(`  ${problem.slice(0, 600)}`);
  console.log(`  again: npm run sim -- pool --from ${seed} --seeds 1 --trace`);
}
const seconds = (performance.now() - begin) / 1000;
console.log(
  `${seeds.length} seeds from ${seeds[0]}, ${total.failed} failed; ${total.acknowledged} changes acknowledged, ` +
    `${total.events} events in ${seconds.toFixed(1)} s (${((seconds * 1000) / seeds.length).toFixed(0)} ms a seed)`,
);
process.exitCode = total.failed > 0 ? 1 : 0;
