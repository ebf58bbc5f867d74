/** The command line of rssrv. */
import { type OptionSpecs, parseArguments } from '@mortar/host/arguments/getopt.ts';
import type { ProcessArguments } from '@mortar/host/arguments/process-arguments.ts';
import { logDirectory, runDirectory } from '@mortar/host/process/directories.ts';
import { daemonProcess, daemonSpecs, pathGiven } from '../daemon-arguments.ts';

export const defaultConfigFile = '/etc/dvsc/rssrvcfg';
export const defaultLogFile = `${logDirectory}/rssrv.log`;

const specs = {
  ...daemonSpecs,
  check: { value: 'none' },
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
  return {
    ask,
    configFile: pathGiven('config', defaultConfigFile, given, cwd),
    process: daemonProcess('rssrv', given, cwd),
  };
}
