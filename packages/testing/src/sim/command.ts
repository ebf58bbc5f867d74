/** The command line of a simulation: which seeds it runs, and what it tells of those that fail. */
import { type ParseArgsConfig, parseArgs } from 'node:util';

const common = {
  seeds: { type: 'string', default: '100' },
  from: { type: 'string', default: '1' },
  only: { type: 'string' },
  trace: { type: 'boolean', default: false },
  faults: { type: 'string' },
} as const;

/** Problems that are printed of a seed, and characters of each. */
const problemsMost = 6;
const problemMost = 900;

export interface SeedVerdict {
  readonly seed: number;
  /** What is wrong; empty: all is well. */
  readonly problems: readonly string[];
  /** Of the trace. */
  readonly lines: readonly string[];
}

export interface Arguments {
  readonly seeds: readonly number[];
  readonly trace: boolean;
  isSet(option: string): boolean;
  /** Those of `all` that an option lists; undefined: it was not given. */
  among<T extends string>(option: string, all: readonly T[]): T[] | undefined;
}

/** `command`: as the simulation is run; `usage`: its own options, `options`, in words. Ends the process where the numbers are none. */
export function readArguments(
  command: string,
  usage = '',
  options: NonNullable<ParseArgsConfig['options']> = {},
): Arguments {
  const values: Record<string, unknown> = parseArgs({ options: { ...common, ...options } }).values;
  const [from, count] = [Number(values.from), Number(values.seeds)];
  if (!Number.isSafeInteger(from) || !Number.isSafeInteger(count) || count < 1) {
    const words = ['--seeds N [--from S] [--only S,S] [--faults KIND,KIND]', usage, '[--trace]'];
    console.error(`usage: ${command} ${words.filter((one) => one !== '').join(' ')}`);
    process.exit(2);
  }
  const only = values.only as string | undefined;
  return {
    seeds: only?.split(',').map(Number) ?? Array.from({ length: count }, (_, i) => from + i),
    trace: values.trace === true,
    isSet: (option) => values[option] === true,
    among: (option, all) => {
      const text = values[option] as string | undefined;
      return text === undefined ? undefined : all.filter((one) => text.split(',').includes(one));
    },
  };
}

/** `about`: what kind of run it was; `total`: what all of them did. */
export async function runSeeds<V extends SeedVerdict>(
  command: string,
  { seeds, trace }: Arguments,
  run: (seed: number) => Promise<V>,
  about: (verdict: V) => string,
  total: () => string,
): Promise<void> {
  let failed = 0;
  const begin = performance.now();
  for (const seed of seeds) {
    const verdict = await run(seed);
    if (trace) for (const line of verdict.lines) console.log(line);
    if (verdict.problems.length === 0) continue;
    failed++;
    console.log(`seed ${seed} fails: ${about(verdict)}`);
    for (const problem of verdict.problems.slice(0, problemsMost)) console.log(`  ${problem.slice(0, problemMost)}`);
    console.log(`  again: ${command} --from ${seed} --seeds 1 --trace`);
  }
  const seconds = (performance.now() - begin) / 1000;
  const each = `${((seconds * 1000) / seeds.length).toFixed(0)} ms a seed`;
  console.log(
    `${seeds.length} seeds from ${seeds[0]}, ${failed} failed; ${total()} in ${seconds.toFixed(1)} s (${each})`,
  );
  process.exitCode = failed > 0 ? 1 : 0;
}
