/** Options before, after or between the words of a command: everything that starts with `--`. */
export interface Flags {
  script: boolean;
  /** The answer as a document: XML, or the same as JSON. */
  xml: boolean;
  json: boolean;
  /** `--wignore`: as if `force` were given. */
  ignoreWarnings: boolean;
  ignorePartition: boolean;
  socketPath: string;
  remoteHost: string | null;
  timeoutSeconds: number;
  logFile: string;
  logLevel: string;
}

export const defaultSocketPath = '/var/run/glusterd.socket';
export const logDirectory = '/var/log/glusterfs';
export const stateDumpDirectory = '/var/run/gluster';

/** All that begin with `--`. */
export const optionNames = [
  ...['mode', 'remote-host', 'glusterd-sock', 'log-file', 'log-level', 'timeout', 'xml', 'json', 'wignore'],
  ...['wignore-partition', 'nolog', 'secure-mgmt', 'inet6', 'version', 'help', 'print-logdir', 'print-statedumpdir'],
];

export type ParsedFlags =
  | { kind: 'run'; flags: Flags; words: string[] }
  | { kind: 'print'; text: string }
  | { kind: 'version' }
  | { kind: 'usage' }
  | { kind: 'unknown'; option: string };

/** Commands that ask many processes get this long unless `--timeout` says otherwise. */
const defaultTimeoutSeconds = 120;

export function parseFlags(argv: readonly string[]): ParsedFlags {
  const words: string[] = [];
  const flags: Flags = {
    script: false,
    xml: false,
    json: false,
    ignoreWarnings: false,
    ignorePartition: false,
    socketPath: defaultSocketPath,
    remoteHost: null,
    timeoutSeconds: defaultTimeoutSeconds,
    logFile: `${logDirectory}/cli.log`,
    logLevel: 'INFO',
  };
  for (const word of argv) {
    if (!word.startsWith('--')) {
      words.push(word);
      continue;
    }
    const option = word.slice(2);
    const early = stopsAt(option);
    if (early) return early;
    if (!applyFlag(flags, option)) return { kind: 'unknown', option };
  }
  return { kind: 'run', flags, words };
}

function stopsAt(option: string): ParsedFlags | undefined {
  if (option === 'version') return { kind: 'version' };
  if (option === 'help') return { kind: 'usage' };
  if (option === 'print-logdir') return { kind: 'print', text: logDirectory };
  if (option === 'print-statedumpdir') return { kind: 'print', text: stateDumpDirectory };
  return undefined;
}

function applyFlag(flags: Flags, option: string): boolean {
  const equals = option.indexOf('=');
  const name = equals < 0 ? option : option.slice(0, equals);
  const value = equals < 0 ? null : option.slice(equals + 1);
  if (value === null) return applySwitch(flags, name);
  switch (name) {
    case 'mode':
      if (value !== 'script' && value !== 'interactive') return false;
      flags.script = value === 'script';
      return true;
    case 'remote-host':
      flags.remoteHost = value;
      return true;
    case 'glusterd-sock':
      flags.socketPath = value;
      return true;
    case 'log-file':
      flags.logFile = value;
      return true;
    case 'log-level':
      flags.logLevel = value;
      return true;
    case 'timeout': {
      const seconds = Number(value);
      if (!/^\d+$/.test(value) || seconds < 1) return false;
      flags.timeoutSeconds = Math.min(seconds, 86_400);
      return true;
    }
    default:
      return false;
  }
}

function applySwitch(flags: Flags, name: string): boolean {
  switch (name) {
    case 'xml':
      flags.xml = true;
      return true;
    case 'json':
      flags.xml = true;
      flags.json = true;
      return true;
    case 'wignore':
      flags.ignoreWarnings = true;
      return true;
    case 'wignore-partition':
      flags.ignorePartition = true;
      return true;
    case 'nolog':
    case 'secure-mgmt':
    case 'inet6':
      return true;
    default:
      return false;
  }
}
