/** The command line of rssrv. */
import { isAbsolute, resolve } from 'node:path';
import { type OptionSpecs, parseArguments } from '@mortar/host/arguments/getopt.ts';
import { type ProcessArguments, processArguments } from '@mortar/host/arguments/process-arguments.ts';
import { logDirectory, runDirectory } from '@mortar/host/process/directories.ts';

export const defaultConfigFile = '/etc/dvsc/rssrvcfg';
export const defaultLogFile = `${logDirectory}/rssrv.log`;

const specs = {
  config: { short: 'c', value: 'required' },
  'no-daemon': { short: 'N', value: 'none' },
  debug: { value: 'none' },
  'log-file': { short: 'l', value: 'required' },
  'log-level': { short: 'L', value: 'required' },
  'pid-file': { short: 'p', value: 'required' },
  'metrics-port': { value: 'required' },
  check: { value: 'none' },
  help: { short: 'h', value: 'none' },
  version: { short: 'V', value: 'none' },
} as const satisfies OptionSpecs;

export const usage = `Usage: rssrv [OPTION...]
Serves block devices, as its configuration file says.

  -c, --config=FILE      configuration; ${defaultConfigFile}
  -N, --no-daemon        stay in the foreground
      --debug            stay in the foreground, log to the terminal, level DEBUG
  -l, --log-file=FILE    log; ${defaultLogFile}; - is the terminal
  -L, --log-level=LEVEL  NONE, CRITICAL, ERROR, WARNING, INFO, DEBUG or TRACE; INFO
  -p, --pid-file=FILE    ${runDirectory}/rssrv.pid
      --metrics-port=N   Prometheus text on 127.0.0.1:N
      --check            read the configuration, say what is wrong, and end
  -h, --help
  -V, --version

Signals: TERM, INT: end in good order; HUP: open the log anew and read the configuration again; USR1: state dump.
`;

export interface ServerArguments {
  readonly ask: 'help' | 'version' | 'check' | null;
  readonly configFile: string;
  readonly process: ProcessArguments;
}

/** Throws UsageError. */
export function serverArguments(words: readonly string[], cwd: string): ServerArguments {
  const parsed = parseArguments(words, specs);
  const given = new Map(parsed.options.map(({ name, value }) => [name, value]));
  const ask = (['help', 'version', 'check'] as const).find((one) => given.has(one)) ?? null;
  const config = given.get('config') ?? defaultConfigFile;
  const option = (name: string, usual?: string) => {
    const value = given.get(name) ?? usual;
    return value === undefined ? [] : [`--${name}=${value}`];
  };
  const translated = [
    ...option('log-file', defaultLogFile),
    ...option('log-level'),
    ...option('pid-file', `${runDirectory}/rssrv.pid`),
    ...option('metrics-port'),
    ...(given.has('no-daemon') ? ['-N'] : []),
    ...(given.has('debug') ? ['--debug'] : []),
  ];
  return {
    ask,
    configFile: isAbsolute(config) ? config : resolve(cwd, config),
    process: processArguments(translated, cwd),
  };
}
