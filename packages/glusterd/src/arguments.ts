/** The command line of glusterd. */
import { type LogLevel, logLevels } from '@mortar/core/ports.ts';
import { type OptionSpecs, parseArguments, UsageError } from '@mortar/host/arguments/getopt.ts';
import { ownVolfile } from './own-volfile.ts';
import { type Directories, defaultDirectories, managementPort } from './paths.ts';
import { defaultPorts, type Ports } from './supervision/port-range.ts';

const none = { value: 'none' } as const;
const required = { value: 'required' } as const;

const specs = {
  'no-daemon': { short: 'N', value: 'none' },
  'pid-file': { short: 'p', value: 'required' },
  'log-file': { short: 'l', value: 'required' },
  'log-level': { short: 'L', value: 'required' },
  'xlator-option': required,
  volfile: { short: 'f', value: 'required' },
  'run-id': { short: 'r', value: 'required' },
  'localtime-logging': none,
  'secure-mgmt': { value: 'optional' },
  'metrics-port': required,
  'metrics-address': required,
  debug: none,
  version: { short: 'V', value: 'none' },
  help: { short: '?', value: 'none' },
} as const satisfies OptionSpecs;

export interface DaemonArguments {
  information: 'version' | 'help' | null;
  foreground: boolean;
  /** The log goes to the terminal. */
  console: boolean;
  pidFile: string;
  logFile: string;
  logLevel: LogLevel;
  /** The log has local time, whatever the option of the pool says. */
  localTime: boolean;
  directories: Directories;
  socketPath: string;
  /** Address to listen at; null: all. */
  bindAddress: string | null;
  port: number;
  /** At which bricks listen. */
  brickPorts: Ports;
  /** Where Prometheus finds the node's metrics; null: nowhere. */
  metrics: { port: number; address: string } | null;
  /** Options of its volfile that change nothing. */
  withoutEffect: readonly string[];
}

/** Of the management volume; the command line's come before those of the volfile. */
const settingNames: ReadonlySet<string> = new Set([
  'working-directory',
  'run-directory',
  'logging-directory',
  'glusterd-sockfile',
  'transport.socket.bind-address',
  'transport.socket.listen-port',
  'base-port',
  'max-port',
]);

export function daemonArguments(words: readonly string[], environment: NodeJS.ProcessEnv): DaemonArguments {
  const parsed = parseArguments(words, specs);
  if (parsed.words[0] !== undefined) throw new UsageError(`unexpected word '${parsed.words[0]}'`);
  const given = new Map(parsed.options.map(({ name, value }) => [name, value]));
  const file = given.get('volfile');
  const inFile = typeof file === 'string' ? ownVolfile(file) : new Map<string, string>();
  const settings = new Map([...inFile, ...managementOptions(parsed.options)]);
  const directories: Directories = {
    work: settings.get('working-directory') ?? defaultDirectories.work,
    run: settings.get('run-directory') ?? environment.MORTAR_RUN_DIRECTORY ?? defaultDirectories.run,
    log: settings.get('logging-directory') ?? environment.MORTAR_LOG_DIRECTORY ?? defaultDirectories.log,
  };
  const debug = given.has('debug');
  const logFile = given.get('log-file') ?? `${directories.log}/glusterd.log`;
  return {
    information: given.has('version') ? 'version' : given.has('help') ? 'help' : null,
    foreground: debug || given.has('no-daemon'),
    console: debug || logFile === '-' || logFile === '/dev/stderr',
    pidFile: given.get('pid-file') ?? '/var/run/glusterd.pid',
    logFile,
    logLevel: debug ? 'DEBUG' : levelOf(given.get('log-level') ?? 'INFO'),
    localTime: given.has('localtime-logging'),
    directories,
    socketPath: settings.get('glusterd-sockfile') ?? '/var/run/glusterd.socket',
    bindAddress: settings.get('transport.socket.bind-address') ?? null,
    port: portOf('listen-port', settings.get('transport.socket.listen-port') ?? `${managementPort}`),
    brickPorts: brickPorts(settings),
    metrics: metricsPlace(given.get('metrics-port'), given.get('metrics-address')),
    withoutEffect: [...inFile.keys()].filter((name) => !settingNames.has(name)),
  };
}

/** `--xlator-option management.OPTION=VALUE`; those of GlusterFS that have no meaning here are ignored. */
function managementOptions(options: readonly { name: string; value: string | null }[]): Map<string, string> {
  const found = new Map<string, string>();
  for (const { name, value } of options) {
    if (name !== 'xlator-option' || value === null) continue;
    const match = /^\*?management\.([^=]+)=(.+)$/s.exec(value);
    if (!match) throw new UsageError(`xlator-option '${value}': management.OPTION=VALUE is expected`);
    found.set(match[1]!, match[2]!);
  }
  return found;
}

/** GlusterFS's `base-port` and `max-port`. */
function brickPorts(settings: ReadonlyMap<string, string>): Ports {
  const first = portOf('base-port', settings.get('base-port') ?? `${defaultPorts.first}`);
  const last = portOf('max-port', settings.get('max-port') ?? `${Math.max(first, defaultPorts.last)}`);
  if (first < 1 || first > last) throw new UsageError(`base-port ${first} and max-port ${last} leave no port`);
  return { first, last };
}

function levelOf(text: string): LogLevel {
  const level = logLevels.find((known) => known === text.toUpperCase());
  if (!level) throw new UsageError(`log-level '${text}': one of ${logLevels.join(', ')} is expected`);
  return level;
}

function portOf(option: string, text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65535) throw new UsageError(`${option} '${text}': a port number is expected`);
  return port;
}

function metricsPlace(port: string | null | undefined, address: string | null | undefined): DaemonArguments['metrics'] {
  if (typeof port !== 'string') return null;
  return { port: portOf('metrics-port', port), address: address ?? '127.0.0.1' };
}
