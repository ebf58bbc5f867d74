/** rssrv: serves block devices. The service itself is loaded only where it runs. */
import { UsageError } from '@mortar/host/arguments/getopt.ts';
import { versionText } from '@mortar/host/arguments/information.ts';
import { logDirectory } from '@mortar/host/process/directories.ts';
import { launchDaemon } from '@mortar/host/process/launch.ts';
import { isDaemonChild } from '@mortar/host/process/readiness.ts';
import { type ServerArguments, serverArguments, usage } from './arguments.ts';

const usageExitCode = 64;

async function check({ configFile }: ServerArguments): Promise<number> {
  const { readConfig } = await import('./serve.ts');
  try {
    readConfig(configFile);
    return 0;
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`);
    return 1;
  }
}

async function main(words: readonly string[]): Promise<number | undefined> {
  let args: ServerArguments;
  try {
    args = serverArguments(words, process.cwd());
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`rssrv: ${error.message}\nTry \`rssrv --help' for more information.\n`);
    return usageExitCode;
  }
  if (args.ask === 'check') return check(args);
  if (args.ask !== null) {
    process.stdout.write(args.ask === 'help' ? usage : `${versionText()}\n`);
    return 0;
  }
  if (isDaemonChild() || args.process.foreground) {
    const { serve } = await import('./serve.ts');
    await serve(args);
    return undefined;
  }
  const logFile = args.process.console ? `${logDirectory}/rssrv.log` : args.process.logFile;
  // A relative path is the starter's; the daemon is started in the same directory.
  return launchDaemon({ name: 'rssrv', args: words, logFile });
}

const exitCode = await main(process.argv.slice(2));
if (exitCode !== undefined) process.exitCode = exitCode;
