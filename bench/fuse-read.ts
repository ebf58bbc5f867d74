/**
 * How the mount process compares with C: 4 KiB reads of a file in memory through our FUSE side and through libfuse's
 * low-level interface, in one run, as a ratio. Needs root, gcc and Debian's libfuse3-dev; says so and ends when they
 * are missing. Run: `node bench/fuse-read.mjs [SECONDS]`.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const fileBytes = 64 * 1024 * 1024;
const jobCounts = [1, 4];
const rounds = 3;

interface Measure {
  perSecond: number;
  /** CPU microseconds of the server for one read. */
  cpuMicros: number;
}

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

function compile(sources: string, folder: string, name: string, flags: readonly string[]): string {
  const out = join(folder, name);
  const source = join(sources, `${name}.c`);
  execFileSync('gcc', ['-O2', '-o', out, source, ...flags], { stdio: 'inherit' });
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

async function mounted(mountPoint: string, device: number): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    if (statSync(mountPoint).dev !== device) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`nothing was mounted on ${mountPoint}`);
}

async function measure(
  load: string,
  file: string,
  jobs: number,
  seconds: number,
  server: ChildProcess,
): Promise<Measure> {
  const text = await run(load, [file, `${jobs}`, `${seconds}`, `${server.pid}`]);
  const [reads = 0, elapsed = 1, cpu = 0] = text.trim().split(' ').map(Number);
  return { perSecond: reads / elapsed, cpuMicros: (cpu / reads) * 1e6 };
}

interface Server {
  file: string;
  process: ChildProcess;
  mountPoint: string;
}

async function start(folder: string, name: string, command: string, args: readonly string[]): Promise<Server> {
  const mountPoint = join(folder, name);
  mkdirSync(mountPoint);
  const before = statSync(mountPoint).dev;
  const child = spawn(command, [...args.map((arg) => (arg === '@' ? mountPoint : arg))], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  await mounted(mountPoint, before);
  return { file: join(mountPoint, 'file'), process: child, mountPoint };
}

async function fill(file: string): Promise<void> {
  const handle = await open(file, 'w');
  for (let at = 0; at < fileBytes; at += 1 << 20) await handle.write(Buffer.alloc(1 << 20), 0, 1 << 20, at);
  await handle.close();
}

function line(name: string, jobs: number, { perSecond, cpuMicros }: Measure): string {
  return `${name.padEnd(12)} jobs ${jobs}  ${perSecond.toFixed(0).padStart(8)} reads/s  ${cpuMicros.toFixed(1).padStart(6)} us CPU a read`;
}

const best = (measures: Measure[]) => measures.reduce((a, b) => (b.perSecond > a.perSecond ? b : a));

async function main(serverBundle: string, sources: string, seconds: number): Promise<void> {
  const why = missing();
  if (why) {
    console.log(`skipped: ${why}`);
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), 'mortar-bench-'));
  const servers: Server[] = [];
  try {
    const flags = execFileSync('pkg-config', ['--cflags', '--libs', 'fuse3'], { encoding: 'utf8' }).trim().split(/\s+/);
    const reference = compile(sources, folder, 'fuse-reference', flags);
    const load = compile(sources, folder, 'read-load', ['-pthread']);
    const c = await start(folder, 'c', reference, ['@', `${fileBytes}`]);
    servers.push(c);
    const ours = await start(folder, 'ours', process.execPath, [serverBundle, '@']);
    servers.push(ours);
    await fill(ours.file);
    const ratios: Record<string, number> = {};
    for (const jobs of jobCounts) {
      const results: { c: Measure[]; ours: Measure[] } = { c: [], ours: [] };
      // In turns, so that a disturbance of the machine meets both.
      for (let round = 0; round < rounds; round++) {
        results.c.push(await measure(load, c.file, jobs, seconds, c.process));
        results.ours.push(await measure(load, ours.file, jobs, seconds, ours.process));
      }
      const [theirs, mine] = [best(results.c), best(results.ours)];
      console.log(line('C libfuse3', jobs, theirs));
      console.log(line('mortar', jobs, mine));
      ratios[`jobs_${jobs}`] = Number((mine.perSecond / theirs.perSecond).toFixed(2));
    }
    console.log(`ratio mortar/C: ${JSON.stringify(ratios)}`);
  } finally {
    for (const { mountPoint, process: child } of servers) {
      await run('umount', ['-l', mountPoint]).catch(() => undefined);
      child.kill('SIGTERM');
    }
    await new Promise((resolve) => setTimeout(resolve, 300));
    rmSync(folder, { recursive: true, force: true });
  }
}

const [serverBundle, sources, seconds = '2'] = process.argv.slice(2);
if (serverBundle === undefined || sources === undefined)
  throw new Error('usage: fuse-read SERVER_BUNDLE C_SOURCES [SECONDS]');
await main(serverBundle, sources, Number(seconds));
