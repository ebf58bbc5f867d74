/**
 * What mount(8) says, as a command line of glusterfs: `SOURCE MOUNTPOINT -o OPTIONS`. Pure; checks of the mount point
 * are the helper's.
 */
import { statSync } from 'node:fs';
import { nearest } from '@mortar/core/nearest.ts';
import { UsageError } from '@mortar/host/arguments/getopt.ts';

export interface MountRequest {
  readonly source: string;
  readonly mountPoint: string;
  /** The texts of all `-o`, in order. */
  readonly options: readonly string[];
}

/** Options with a value that glusterfs has under the same name. */
const sameName = [
  'log-level',
  'log-file',
  'direct-io-mode',
  'volume-name',
  'volfile-check',
  'attribute-timeout',
  'entry-timeout',
  'negative-timeout',
  'gid-timeout',
  'lru-limit',
  'inode-table-size',
  'invalidate-limit',
  'background-qlen',
  'congestion-threshold',
  'oom-score-adj',
  'xlator-option',
  'use-readdirp',
  'event-history',
  'reader-thread-count',
  'auto-invalidation',
  'kernel-writeback-cache',
  'attr-times-granularity',
  'dump-fuse',
  'fuse-flush-handle-interrupt',
  'fuse-setlk-handle-interrupt',
  'fuse-handle-copy_file_range',
  'fuse-dev-eperm-ratelimit-ns',
  'fopen-keep-cache',
  'io-engine',
  'client-pid',
  'metrics-port',
  'fuse-backend',
] as const;

/** Words without a value that glusterfs has as a flag. */
const flags: Readonly<Record<string, string>> = {
  ro: 'read-only',
  acl: 'acl',
  selinux: 'selinux',
  worm: 'worm',
  'enable-ino32': 'enable-ino32',
  'mem-accounting': 'mem-accounting',
  'aux-gfid-mount': 'aux-gfid-mount',
  'thin-client': 'thin-client',
  'resolve-gids': 'resolve-gids',
  'global-threading': 'global-threading',
  'localtime-logging': 'localtime-logging',
  'volfile-check': 'volfile-check',
  'fopen-keep-cache': 'fopen-keep-cache=true',
};

/** Words for the kernel. */
const kernelWords = [
  'atime',
  'noatime',
  'diratime',
  'nodiratime',
  'relatime',
  'norelatime',
  'strictatime',
  'nostrictatime',
  'lazytime',
  'nolazytime',
  'dev',
  'nodev',
  'exec',
  'noexec',
  'suid',
  'nosuid',
  'sync',
  'async',
  'dirsync',
  'auto_unmount',
];
const kernelValues = ['context', 'fscontext', 'defcontext', 'rootcontext'];

/** Words that mean nothing here: for mount(8), systemd or the boot. */
const ignored = [
  'rw',
  'auto',
  'noauto',
  '_netdev',
  'nofail',
  'defaults',
  'user',
  'nouser',
  'users',
  'owner',
  'mand',
  'nomand',
  'silent',
  'loud',
  'iversion',
  'noiversion',
];

const special = [
  'backup-volfile-servers',
  'backupvolfile-server',
  'fetch-attempts',
  'server-port',
  'transport',
  'volume-id',
  'subdir-mount',
  'process-name',
  'root-squash',
  'no-root-squash',
  'fuse-mountopts',
  'halo-max-latency',
  'halo-max-replicas',
  'halo-min-replicas',
];

/** The arguments of glusterfs for a mount. Throws UsageError with mount.glusterfs's wording. */
export function glusterfsArguments({ source, mountPoint, options }: MountRequest): string[] {
  const words = options.flatMap(splitOptions);
  const values = new Map<string, string>();
  const args: string[] = [];
  const kernel: string[] = [];
  for (const word of words) takeOption(word, values, args, kernel);
  const place = parseSource(source, values);
  args.push('--process-name', values.has('process-name') ? `fuse.${values.get('process-name')}` : 'fuse');
  if (place.kind === 'file') args.push(`--volfile=${place.path}`);
  else args.push(...serverArguments(place, values));
  if (place.kind === 'server' && place.volume.replace(/^\//, '').startsWith('snaps/') && !args.includes('--read-only'))
    args.push('--read-only');
  if (kernel.length > 0) args.push(`--fuse-mountopts=${kernel.join(',')}`);
  args.push(mountPoint);
  return args;
}

/** Splits at commas outside of double quotes (security contexts have commas). */
function splitOptions(text: string): string[] {
  return (text.match(/(?:[^,"]|"[^"]*"?)+/g) ?? []).filter((word) => word !== '');
}

function takeOption(word: string, values: Map<string, string>, args: string[], kernel: string[]): void {
  const equals = word.indexOf('=');
  const key = equals < 0 ? word : word.slice(0, equals);
  const value = equals < 0 ? undefined : word.slice(equals + 1);
  if (key.startsWith('x-')) return;
  if (value === undefined) {
    const flag = flags[key];
    if (flag !== undefined) args.push(`--${flag}`);
    else if (kernelWords.includes(key)) kernel.push(key);
    else if (!ignored.includes(key)) refuse('Invalid option', key);
    return;
  }
  if ((sameName as readonly string[]).includes(key)) args.push(`--${key}=${value}`);
  else if (kernelValues.includes(key)) kernel.push(`${key}=${value.startsWith('"') ? value : `"${value}"`}`);
  else if (special.includes(key)) takeSpecial(key, value, values, args, kernel);
  else if (key !== 'comment') refuse('Invalid option:', key);
}

function takeSpecial(key: string, value: string, values: Map<string, string>, args: string[], kernel: string[]): void {
  const yes = /^(yes|on|enable|true)$/.test(value);
  const no = /^(no|off|disable|false)$/.test(value);
  if (key === 'fuse-mountopts') kernel.push(value);
  else if (key === 'fetch-attempts') args.push(`--volfile-max-fetch-attempts=${value}`);
  else if (key.startsWith('halo-')) args.push('--xlator-option', `*replicate*.${key}=${value}`);
  else if (key === 'no-root-squash' || key === 'root-squash') {
    if (key === 'no-root-squash' ? yes : no) args.push('--no-root-squash');
  } else values.set(key, value);
}

function refuse(words: string, key: string): never {
  const known = [...sameName, ...Object.keys(flags), ...kernelWords, ...kernelValues, ...special, ...ignored];
  const near = nearest(key, known);
  throw new UsageError(`${words} ${key}${near ? `; did you mean ${near}?` : ''}`);
}

type Place =
  | { kind: 'file'; path: string }
  | { kind: 'server'; servers: readonly string[]; volume: string; subdirectory: string | undefined };

/** `HOST:VOL`, `h1,h2:/VOL/sub/dir`, `[v6]:/VOL`, or a volfile's path; `glusterfs#` in front is dropped. */
function parseSource(given: string, values: ReadonlyMap<string, string>): Place {
  const source = given.replace(/^glusterfs#/, '');
  if (statSync(source, { throwIfNoEntry: false })?.isFile()) return { kind: 'file', path: source };
  const match = /^((?:\[[^\]]+\]|[A-Za-z0-9%,._-]|:(?=[^/]*:))+):(.+)$/.exec(source);
  const volume = values.get('volume-id') ?? match?.[2];
  if (!match || volume === undefined) {
    const what = source.startsWith('/')
      ? `volume file ${source} does not exist`
      : 'Server name/volume name unspecified cannot proceed further..';
    throw new UsageError(`ERROR: ${what}\nPlease specify correct format: HOST:/VOLUME, or the path of a volume file`);
  }
  const slash = volume.startsWith('/') ? '/' : '';
  const [name = '', ...below] = volume.replace(/^\//, '').split('/');
  const servers = match[1]!.split(',').filter((server) => server !== '');
  if (name === '' || servers.length === 0)
    throw new UsageError('ERROR: Server name/volume name unspecified cannot proceed further..');
  if (name === 'snaps' || below.length === 0) return { kind: 'server', servers, volume, subdirectory: undefined };
  return { kind: 'server', servers, volume: `${slash}${name}`, subdirectory: `/${below.join('/')}` };
}

function serverArguments(place: Place & { kind: 'server' }, values: ReadonlyMap<string, string>): string[] {
  const backups = values.get('backup-volfile-servers') ?? values.get('backupvolfile-server');
  // Backups are divided by colons, addresses of IPv6 stand in brackets.
  const more = backups === undefined ? [] : (backups.match(/\[[^\]]+\]|[^:,]+/g) ?? []);
  const args = [...place.servers, ...more].map((server) => `--volfile-server=${server.replace(/^\[(.*)\]$/, '$1')}`);
  const transport = values.get('transport');
  const port = values.get('server-port');
  if (port !== undefined) args.push(`--volfile-server-port=${port}`);
  if (transport !== undefined) args.push(`--volfile-server-transport=${transport}`);
  args.push(`--volfile-id=${place.volume}`);
  const subdirectory = values.get('subdir-mount') ?? place.subdirectory;
  if (subdirectory !== undefined) args.push(`--subdir-mount=/${subdirectory.replace(/^\/+/, '')}`);
  return args;
}
