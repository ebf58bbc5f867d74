/** The command line of rsiod. */
import { isAbsolute, resolve } from 'node:path';
import { type OptionSpecs, parseArguments } from '@mortar/host/arguments/getopt.ts';
import { type ProcessArguments, processArguments } from '@mortar/host/arguments/process-arguments.ts';
import { logDirectory, runDirectory } from '@mortar/host/process/directories.ts';

export const defaultConfigFile = '/etc/rscltcfg';
export const defaultLogFile = `${logDirectory}/rsiod.log`;
export const controlSocket = `${runDirectory}/rsiod.socket`;
export const nbdEndpoint = `${runDirectory}/rsiod.nbd`;

const specs = {
  config: { short: 'c', value: 'required' },
  'no-daemon': { short: 'N', value: 'none' },
  debug: { value: 'none' },
  'log-file': { short: 'l', value: 'required' },
  'log-level': { short: 'L', value: 'required' },
  'pid-file': { short: 'p', value: 'required' },
  'metrics-port': { value: 'required' },
  socket: { short: 's', value: 'required' },
  endpoint: { short: 'e', value: 'required' },
  help: { short: 'h', value: 'none' },
  version: { short: 'V', value: 'none' },
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
  -h, --help
  -V, --version
`;

export interface DaemonArguments {
  readonly ask: 'help' | 'version' | null;
  readonly configFile: string;
  readonly socket: string;
  readonly endpoint: string;
  readonly process: ProcessArguments;
}

/** Throws UsageError. */
export function daemonArguments(words: readonly string[], cwd: string): DaemonArguments {
  const parsed = parseArguments(words, specs);
  const given = new Map(parsed.options.map(({ name, value }) => [name, value]));
  const pathOf = (name: string, usual: string) => {
    const path = given.get(name) ?? usual;
    return isAbsolute(path) ? path : resolve(cwd, path);
  };
  const option = (name: string, usual?: string) => {
    const value = given.get(name) ?? usual;
    return value === undefined ? [] : [`--${name}=${value}`];
  };
  const translated = [
    ...option('log-file', defaultLogFile),
    ...option('log-level'),
    ...option('pid-file', `${runDirectory}/rsiod.pid`),
    ...option('metrics-port'),
    ...(given.has('no-daemon') ? ['-N'] : []),
    ...(given.has('debug') ? ['--debug'] : []),
  ];
  return {
    ask: (['help', 'version'] as const).find((one) => given.has(one)) ?? null,
    configFile: pathOf('config', defaultConfigFile),
    socket: pathOf('socket', controlSocket),
    endpoint: pathOf('endpoint', nbdEndpoint),
    process: processArguments(translated, cwd),
  };
}
