/**
 * The first code of glusterfs and glusterfsd: reads the command line, answers what needs no service, starts the daemon
 * and waits for it. The service itself is loaded only where it runs.
 */

import { UsageError } from '../arguments/getopt.ts';
import { answerInformation } from '../arguments/information.ts';
import { type ProcessArguments, processArguments } from '../arguments/process-arguments.ts';
import { logDirectory } from './directories.ts';
import { launchDaemon } from './launch.ts';
import { isDaemonChild } from './readiness.ts';

/** What argp exits with on a wrong command line (EX_USAGE). */
const usageExitCode = 64;

export interface Service {
  /** Runs until the process ends. */
  serve(args: ProcessArguments): Promise<void>;
}

/** `translate` turns other forms of the command line into the one of the option table. */
export async function runProgram(
  name: string,
  load: () => Promise<Service>,
  translate: (words: readonly string[]) => readonly string[] = (words) => words,
): Promise<void> {
  let words: readonly string[];
  let args: ProcessArguments;
  try {
    words = translate(process.argv.slice(2));
    if (answerInformation(name, words)) return;
    args = processArguments(words, process.cwd());
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`${name}: ${error.message}\nTry \`${name} --help' for more information.\n`);
    process.exitCode = usageExitCode;
    return;
  }
  if (isDaemonChild() || args.foreground) {
    const service = await load();
    await service.serve(args);
    return;
  }
  const logFile = args.console ? `${logDirectory}/glusterfs.log` : args.logFile;
  process.exitCode = await launchDaemon({ name, args: words, logFile });
}
