/** The command line of rsiod. */
import { type OptionSpecs, parseArguments } from '@mortar/host/arguments/getopt.ts';
import type { ProcessArguments } from '@mortar/host/arguments/process-arguments.ts';
import { logDirectory, runDirectory } from '@mortar/host/process/directories.ts';
import { daemonProcess, daemonSpecs, pathGiven } from '../daemon-arguments.ts';

export const defaultConfigFile = '/etc/rscltcfg';
export const defaultLogFile = `${logDirectory}/rsiod.log`;
export const controlSocket = `${runDirectory}/rsiod.socket`;
export const nbdEndpoint = `${runDirectory}/rsiod.nbd`;

const specs = {
  ...daemonSpecs,
  socket: { short: 's', value: 'required' },
  endpoint: { short: 'e', value: 'required' },
  directory: { short: 'D', value: 'required' },
} as const satisfies OptionSpecs;

export const usage = `Usage: rsiod [OPTION...]
Uses the block devices of servers, as its configuration file says.

  -c, --config=FILE      configuration; ${defaultConfigFile}
  -N, --no-daemon        stay in the foreground
      --debug            stay in the foreground, log to the terminal, level DEBUG
  -l, --log-file=FILE    log; ${defaultLogFile}; - is the terminal
  -L, --log-level=LEVEL  NONE, CRITICAL, ERROR, WARNING, INFO, DEBUG or TRACE; INFO
  -p, --pid-file=FILE    ${runDirectory}/rsiod.pid
      --metrics-port=N   Prometheus text on 127.0.0.1:N
  -s, --socket=PATH      for rsconfig; ${controlSocket}
  -e, --endpoint=PATH    where attached devices are served by NBD; ${nbdEndpoint}
  -D, --directory=PATH   where the devices of all namespaces are found; the configuration's, or /dev/av0
  -h, --help
  -V, --version
`;

export interface DaemonArguments {
  readonly ask: 'help' | 'version' | null;
  readonly configFile: string;
  readonly socket: string;
  readonly endpoint: string;
  /** Undefined: what the configuration says. */
  readonly directory: string | undefined;
  readonly process: ProcessArguments;
}

/** Throws UsageError. */
export function daemonArguments(words: readonly string[], cwd: string): DaemonArguments {
  const parsed = parseArguments(words, specs);
  const given = new Map(parsed.options.map(({ name, value }) => [name, value]));
  return {
    ask: (['help', 'version'] as const).find((one) => given.has(one)) ?? null,
    configFile: pathGiven('config', defaultConfigFile, given, cwd),
    socket: pathGiven('socket', controlSocket, given, cwd),
    endpoint: pathGiven('endpoint', nbdEndpoint, given, cwd),
    directory: given.has('directory') ? pathGiven('directory', '', given, cwd) : undefined,
    process: daemonProcess('rsiod', given, cwd),
  };
}
