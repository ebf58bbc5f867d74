/** The command line `gluster`. Light: what a command needs is loaded when it runs (docs/cli.md). */
import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Flags } from './flags.ts';
import { optionNames, parseFlags } from './flags.ts';
import type { Io } from './io.ts';
import type { Caller } from './session.ts';

/** Runs one command line; resolves to its exit status. */
export async function main(
  argv: readonly string[],
  io: Io,
  connectWith?: (flags: Flags) => Promise<Caller>,
): Promise<number> {
  const parsed = parseFlags(argv);
  if (parsed.kind === 'print') {
    io.out(`${parsed.text}\n`);
    return 0;
  }
  if (parsed.kind === 'run') {
    const { run } = await import('./run.ts');
    const connect = connectWith ?? (async (flags: Flags) => (await import('./connect.ts')).connect(flags));
    return logged(io, parsed.flags, parsed.words, () => run(io, parsed.flags, parsed.words, connect));
  }
  const { hint, printGeneralUsage, printVersion } = await import('./help.ts');
  if (parsed.kind === 'version') return printVersion(io);
  if (parsed.kind === 'unknown') {
    io.out(`unrecognized option --${parsed.option}\n`);
    const [name = ''] = parsed.option.split('=');
    hint(
      io,
      `--${name}`,
      optionNames.map((one) => `--${one}`),
    );
  }
  printGeneralUsage(io);
  return parsed.kind === 'unknown' ? 1 : 0;
}

/** `cli.log` tells what was asked for and how it ended, unless `--log-level` wants less. */
async function logged(
  io: Io,
  { logFile, logLevel }: Flags,
  words: readonly string[],
  work: () => Promise<number>,
): Promise<number> {
  const isWanted = /^(info|debug|trace)$/i.test(logLevel) && logFile !== '';
  if (isWanted) io.log?.(logFile, 'I', `Started running gluster with version 10.3: ${words.join(' ')}`);
  try {
    const status = await work();
    if (isWanted) io.log?.(logFile, 'I', `Exiting with: ${status}`);
    return status;
  } catch (error) {
    io.log?.(logFile, 'E', error instanceof Error ? (error.stack ?? error.message) : String(error));
    throw error;
  }
}

async function runProcess(): Promise<void> {
  const { NodeIo } = await import('./node-io.ts');
  const io = new NodeIo();
  try {
    process.exitCode = await main(process.argv.slice(2), io);
  } catch (error) {
    io.err(`gluster: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
  process.exit();
}

/** Whether this file is what Node was started with, not imported. */
function isProgram(): boolean {
  const started = process.argv[1];
  return started !== undefined && realpathSync(started) === fileURLToPath(import.meta.url);
}

if (isProgram()) await runProcess();
