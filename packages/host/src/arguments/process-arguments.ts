/** The parsed command line of glusterfs and glusterfsd, checked and with defaults. */
import { isAbsolute, resolve } from 'node:path';
import type { LogLevel, XlatorOverride } from '@mortar/core';
import { logLevels } from '@mortar/core/ports.ts';
import { logDirectory } from '../process/directories.ts';
import { parseArguments, UsageError } from './getopt.ts';
import { type ProcessOptionName, processOptions } from './table.ts';

/** Where glusterd listens when nothing else is said. */
export const managementPort = 24007;

export interface ProcessArguments {
  /** Volfile servers in the order to be tried. */
  readonly servers: readonly string[];
  readonly serverPort: number;
  /** `unix`: the server's name is a socket's path. */
  readonly serverTransport: string;
  /** Without the leading slash. */
  readonly volfileId: string | undefined;
  readonly volfile: string | undefined;
  readonly fetchAttempts: number;
  readonly volumeName: string | undefined;
  readonly overrides: readonly XlatorOverride[];
  readonly logFile: string;
  readonly logLevel: LogLevel;
  readonly pidFile: string | undefined;
  readonly socketFile: string | undefined;
  readonly metricsPort: number | undefined;
  readonly processName: string | undefined;
  readonly foreground: boolean;
  /** `--debug`: the log goes to the terminal. */
  readonly console: boolean;
  readonly brickName: string | undefined;
  readonly brickPort: number | undefined;
  readonly clientPid: number | undefined;
  readonly lruLimit: number;
  readonly oomScoreAdjust: number | undefined;
  /** Absolute; the last word of the command line. */
  readonly mountPoint: string | undefined;
  readonly words: readonly string[];
  /** `--subdir-mount`, or the part of the volfile id behind the volume: `/sub/dir`. */
  readonly subdirectory: string | undefined;
  /** Everything given, by name, for what only one program reads; the last one of each. */
  readonly given: ReadonlyMap<ProcessOptionName, string | null>;
}

export function processArguments(args: readonly string[], cwd: string): ProcessArguments {
  const { options, words } = parseArguments(args, processOptions);
  const given = new Map(options.map(({ name, value }) => [name as ProcessOptionName, value]));
  const all = (name: ProcessOptionName) =>
    options.flatMap((o) => (o.name === name && o.value !== null ? [o.value] : []));
  const text = (name: ProcessOptionName) => given.get(name) ?? undefined;
  const path = (name: ProcessOptionName) => {
    const value = text(name);
    return value === undefined || isAbsolute(value) ? value : resolve(cwd, value);
  };
  const whole = (name: ProcessOptionName, min: number, max: number) => {
    const value = text(name);
    return value === undefined ? undefined : wholeNumber(name, value, min, max);
  };
  const debug = given.has('debug');
  const identity = volfileIdentity(text('volfile-id'), text('subdir-mount'));
  const mountPoint = words.length === 0 ? undefined : resolve(cwd, words.at(-1)!);
  return {
    servers: all('volfile-server'),
    serverPort: whole('volfile-server-port', 1, 65535) ?? managementPort,
    serverTransport: serverTransport(text('volfile-server-transport')),
    ...identity,
    volfile: path('volfile') ?? path('spec-file'),
    fetchAttempts: whole('volfile-max-fetch-attempts', 1, 1_000_000) ?? 1,
    volumeName: text('volume-name'),
    overrides: all('xlator-option').map(xlatorOverride),
    logFile: path('log-file') ?? defaultLogFile(mountPoint, path('volfile')),
    logLevel: debug ? 'DEBUG' : logLevel(text('log-level')),
    pidFile: path('pid-file'),
    socketFile: path('socket-file'),
    metricsPort: whole('metrics-port', 1, 65535),
    processName: text('process-name'),
    foreground: debug || given.has('no-daemon'),
    console: debug || text('log-file') === '-' || text('log-file') === '/dev/stderr',
    brickName: text('brick-name'),
    brickPort: whole('brick-port', 0, 65535),
    clientPid: whole('client-pid', -1000, 2 ** 31),
    lruLimit: whole('lru-limit', 0, 2 ** 32) ?? 65536,
    oomScoreAdjust: whole('oom-score-adj', -1000, 1000),
    mountPoint,
    words,
    given,
  };
}

/** `/VOL/sub/dir` is the volume VOL entered at /sub/dir; the daemons' ids (`shd/VOL`) have no slash in front. */
function volfileIdentity(
  id: string | undefined,
  subdir: string | undefined,
): { volfileId: string | undefined; subdirectory: string | undefined } {
  const cleanSubdir = subdir === undefined ? undefined : `/${subdir.replace(/^\/+|\/+$/g, '')}`;
  const subdirectory = cleanSubdir === '/' ? undefined : cleanSubdir;
  if (id === undefined || !id.startsWith('/')) return { volfileId: id, subdirectory };
  const [volume, ...below] = id.replace(/^\/+|\/+$/g, '').split('/');
  if (volume === 'snaps' || below.length === 0) return { volfileId: [volume, ...below].join('/'), subdirectory };
  return { volfileId: volume, subdirectory: subdirectory ?? `/${below.join('/')}` };
}

/** Named after the mount point, `/mnt/glusterfs/0` → `mnt-glusterfs-0.log`, or after the volfile. */
function defaultLogFile(mountPoint: string | undefined, volfile: string | undefined): string {
  const source = mountPoint ?? volfile;
  const name = source === undefined ? 'glusterfs' : source.replace(/^\/+|\/+$/g, '').replaceAll('/', '-');
  return `${logDirectory}/${name === '' ? 'root' : name}.log`;
}

const transports = ['socket', 'tcp', 'unix'];

function serverTransport(text = 'socket'): string {
  if (transports.includes(text)) return text;
  throw new UsageError(`volfile-server-transport '${text}': one of ${transports.join(', ')} is expected`);
}

function logLevel(text: string | undefined): LogLevel {
  if (text === undefined) return 'INFO';
  const level = logLevels.find((known) => known === text.toUpperCase());
  if (!level) throw new UsageError(`log-level '${text}': one of ${logLevels.join(', ')} is expected`);
  return level;
}

/** `VOLUME.OPTION=VALUE`; names of options may hold dots, those of volumes don't. */
export function xlatorOverride(text: string): XlatorOverride {
  const match = /^([^.=]+)\.([^=]+)=(.+)$/s.exec(text);
  if (!match) throw new UsageError(`xlator-option '${text}': VOLUME.OPTION=VALUE is expected`);
  return { volume: match[1]!, option: match[2]!, value: match[3]! };
}

function wholeNumber(name: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (/^-?\d+$/.test(text) && value >= min && value <= max) return value;
  throw new UsageError(`${name} '${text}': a whole number from ${min} to ${max} is expected`);
}
