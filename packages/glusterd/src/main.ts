/** glusterd, the management daemon: reads its command line, starts itself as a daemon, waits until it serves. */
import { realpathSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { UsageError } from '@mortar/host/arguments/getopt.ts';
import { launchDaemon } from '@mortar/host/process/launch.ts';
import { isDaemonChild } from '@mortar/host/process/readiness.ts';
import { type DaemonArguments, daemonArguments } from './arguments.ts';

const usageExitCode = 64;
const version = 'glusterfs 10.3\nMortar 0.1.0: the formats and commands of GlusterFS 10, written anew\n';
const help =
  'Usage: glusterd [-N|--no-daemon] [-f|--volfile=FILE] [-p|--pid-file=FILE] [-l|--log-file=FILE]\n' +
  '                [-L|--log-level=LEVEL] [--debug]\n' +
  '                [--xlator-option=management.OPTION=VALUE]... [--metrics-port=PORT [--metrics-address=ADDRESS]]\n' +
  '                [--version]\n' +
  'Options, also of the volume of type mgmt/glusterd in FILE: working-directory, run-directory, logging-directory, glusterd-sockfile, transport.socket.bind-address,\n' +
  '         transport.socket.listen-port, base-port, max-port\n';

/** Runs glusterd with these words; resolves to the exit status, or to null while it serves. */
export async function main(words: readonly string[]): Promise<number | null> {
  let args: DaemonArguments;
  try {
    args = daemonArguments(words, process.env);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`glusterd: ${error.message}\n${help}`);
    return usageExitCode;
  }
  if (args.information !== null) {
    process.stdout.write(args.information === 'version' ? version : help);
    return 0;
  }
  if (!args.foreground && !isDaemonChild()) {
    const logFile = args.console ? `${args.directories.log}/glusterd.log` : args.logFile;
    return launchDaemon({ name: 'glusterd', args: words, logFile });
  }
  const { serve } = await import('./service.ts');
  await serve(args, installation());
  return null;
}

/** The folder above that of the running bundle. */
function installation(): string {
  return dirname(dirname(realpathSync(process.argv[1]!)));
}

/** Whether this file is what Node was started with, not imported. */
function isProgram(): boolean {
  const started = process.argv[1];
  return started !== undefined && realpathSync(started) === fileURLToPath(import.meta.url);
}

if (isProgram()) {
  const status = await main(process.argv.slice(2));
  if (status !== null) process.exitCode = status;
}
