/**
 * The mount against C: the same work on a volume in memory behind our FUSE side, on libfuse's low-level loop over
 * memory in C (bench/c/fuse-memory.c), and on bare tmpfs, in one run and in turns; medians, as ratios.
 * Needs root, gcc and Debian's libfuse3-dev; says so and ends when they are missing.
 * Run: `node bench/fuse/run.mjs [--rounds N] [--seconds S] [--pin same|cross] [--only TEXT]`.
 */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { manyNames, type Row, rows } from './rows.ts';
import { end, type Pin, pinned, serve, type Target, tmpfs } from './targets.ts';

interface Measure {
  /** Operations or bytes a second. */
  rate: number;
  /** CPU microseconds of the server for one operation. */
  cpuMicros: number;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '0.5' },
    pin: { type: 'string', default: 'none' },
    only: { type: 'string', default: '' },
  },
});
const [serverBundle, sources] = positionals;
if (serverBundle === undefined || sources === undefined) throw new Error('start it by run.mjs');
const rounds = Number(values.rounds);
const serverPin: Pin = values.pin === 'none' ? undefined : 0;
const loadPin: Pin = values.pin === 'none' ? undefined : values.pin === 'same' ? 0 : 1;

function missing(): string | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'root on Linux is needed';
  try {
    execFileSync('pkg-config', ['--exists', 'fuse3']);
    execFileSync('gcc', ['--version'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return 'gcc, pkg-config and libfuse3-dev are needed';
  }
}

function compile(folder: string, name: string, flags: readonly string[]): string {
  const out = join(folder, `${name}.bin`);
  execFileSync('gcc', ['-O2', '-o', out, join(sources!, `${name}.c`), ...flags], { stdio: 'inherit' });
  return out;
}

function run(command: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    child.on('error', reject);
    child.on('close', (code) => (code === 0 ? resolve(text) : reject(new Error(`${command} ended with ${code}`))));
  });
}

async function measure(load: string, target: Target, row: Row): Promise<Measure> {
  const directory = row.many ? join(target.mountPoint, 'many') : target.mountPoint;
  const seconds = row.count === undefined ? values.seconds : '0';
  const args = [row.kind, directory, `${row.jobs}`, seconds, `${row.count ?? 0}`, `${target.server?.pid ?? 0}`];
  // Names and attributes that the kernel has cached would be listed without the server.
  if (row.many) await run('sh', ['-c', 'echo 2 > /proc/sys/vm/drop_caches']);
  const text = await run(...pinned(load, args, loadPin));
  const [operations = 0, bytes = 0, elapsed = 1, cpu = 0] = text.trim().split(' ').map(Number);
  return { rate: (row.bytes ? bytes : operations) / elapsed, cpuMicros: (cpu / Math.max(1, operations)) * 1e6 };
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

function line(row: Row, results: ReadonlyMap<string, readonly Measure[]>): string {
  const of = (name: string, what: keyof Measure) => median((results.get(name) ?? []).map((one) => one[what]));
  const show = (name: string) =>
    row.bytes ? `${(of(name, 'rate') / 1e6).toFixed(0)} MB/s` : `${of(name, 'rate').toFixed(0)}/s`;
  // Rounds are pairs: what disturbs the machine meets both halves of a pair, hence the median of their ratios.
  const pairs = (what: keyof Measure) =>
    (results.get('mortar') ?? []).map((mine, i) => mine[what] / (results.get('c')?.[i]?.[what] ?? Number.NaN));
  return [
    `${row.name}${row.jobs > 1 ? `, ${row.jobs} jobs` : ''}`.padEnd(28),
    show('mortar').padStart(12),
    show('c').padStart(12),
    show('tmpfs').padStart(12),
    median(pairs('rate')).toFixed(2).padStart(8),
    (of('mortar', 'rate') / of('tmpfs', 'rate')).toFixed(2).padStart(8),
    of('mortar', 'cpuMicros').toFixed(1).padStart(8),
    of('c', 'cpuMicros').toFixed(1).padStart(8),
    median(pairs('cpuMicros')).toFixed(2).padStart(6),
  ].join(' ');
}

async function prepare(load: string, { mountPoint }: Target): Promise<void> {
  await run(load, ['fill', mountPoint, '16', '0', '0', '0']);
  await run(load, ['read4k', mountPoint, '4', '1', '0', '0']);
}

/** Late: what else is measured should not be about the memory volume's own tables. */
async function prepareMany(load: string, { mountPoint }: Target): Promise<void> {
  const many = join(mountPoint, 'many');
  if (existsSync(many)) return;
  mkdirSync(many);
  await run(load, ['many', many, '1', '0', `${manyNames}`, '0']);
}

async function main(): Promise<void> {
  const why = missing();
  if (why) {
    console.log(`skipped: ${why}`);
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), 'mortar-bench-'));
  const targets: Target[] = [];
  try {
    const flags = execFileSync('pkg-config', ['--cflags', '--libs', 'fuse3'], { encoding: 'utf8' }).trim().split(/\s+/);
    const reference = compile(folder, 'fuse-memory', flags);
    const load = compile(folder, 'fuse-load', ['-pthread']);
    targets.push(await serve(folder, 'mortar', process.execPath, [serverBundle!, '@'], serverPin));
    targets.push(await serve(folder, 'c', reference, ['@'], serverPin));
    targets.push(tmpfs(folder));
    for (const target of targets) await prepare(load, target);
    console.log(
      `${''.padEnd(28)} ${'mortar'.padStart(12)} ${'C libfuse3'.padStart(12)} ${'tmpfs'.padStart(12)}   of C   of tmpfs  CPU us    C us  ratio`,
    );
    const chosen = rows.filter(({ name, kind }) => `${name} ${kind}`.includes(values.only));
    // Creating and unlinking belong together: neighbours that end by themselves are one group.
    for (const group of groupsOf(chosen)) {
      if (group[0]!.many) for (const target of targets) await prepareMany(load, target);
      const results = group.map(() => new Map(targets.map(({ name }) => [name, [] as Measure[]])));
      for (let round = 0; round < rounds; round++)
        for (const target of round % 2 === 0 ? targets : [...targets].reverse())
          for (const [i, row] of group.entries()) results[i]!.get(target.name)!.push(await measure(load, target, row));
      for (const [i, row] of group.entries()) console.log(line(row, results[i]!));
    }
  } finally {
    for (const target of targets) await end(target);
    rmSync(folder, { recursive: true, force: true });
  }
}

function groupsOf(chosen: readonly Row[]): Row[][] {
  const groups: Row[][] = [];
  for (const row of chosen)
    if (row.kind === 'unlink') groups.at(-1)?.push(row);
    else groups.push([row]);
  return groups;
}

await main();
