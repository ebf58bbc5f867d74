/** rsiod. The service itself is loaded only where it runs. */
import { UsageError } from '@mortar/host/arguments/getopt.ts';
import { versionText } from '@mortar/host/arguments/information.ts';
import { launchDaemon } from '@mortar/host/process/launch.ts';
import { isDaemonChild } from '@mortar/host/process/readiness.ts';
import { type DaemonArguments, daemonArguments, defaultLogFile, usage } from './arguments.ts';

const usageExitCode = 64;

async function main(words: readonly string[]): Promise<number | undefined> {
  let args: DaemonArguments;
  try {
    args = daemonArguments(words, process.cwd());
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`rsiod: ${error.message}\nTry \`rsiod --help' for more information.\n`);
    return usageExitCode;
  }
  if (args.ask !== null) {
    process.stdout.write(args.ask === 'help' ? usage : `${versionText()}\n`);
    return 0;
  }
  if (isDaemonChild() || args.process.foreground) {
    const { runDaemon } = await import('./daemon.ts');
    await runDaemon(args);
    return undefined;
  }
  const logFile = args.process.console ? defaultLogFile : args.process.logFile;
  return launchDaemon({ name: 'rsiod', args: words, logFile });
}

const exitCode = await main(process.argv.slice(2));
if (exitCode !== undefined) process.exitCode = exitCode;
