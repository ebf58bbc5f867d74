/** The mount's part of a glusterfs command line. */
import { parseBool } from '@mortar/core';
import type { ProcessArguments } from '@mortar/host';
import { UsageError } from '@mortar/host/arguments/getopt.ts';
import type { ProcessOptionName } from '@mortar/host/arguments/table.ts';
import type { MountOptions } from './options.ts';
import { defaultSessionOptions, type SessionOptions } from './session/options.ts';

export function mountSettings({ given }: ProcessArguments): MountOptions {
  const session: Partial<SessionOptions> = {};
  const set = <K extends keyof SessionOptions>(key: K, value: SessionOptions[K] | undefined) => {
    if (value !== undefined) session[key] = value;
  };
  set('entryTimeout', seconds(given, 'entry-timeout'));
  set('attributeTimeout', seconds(given, 'attribute-timeout'));
  set('negativeTimeout', seconds(given, 'negative-timeout'));
  set('directIo', directIo(given));
  set('acl', given.has('acl') || undefined);
  set('selinux', given.has('selinux') || undefined);
  set('capability', given.has('capability') || undefined);
  set('keepCache', bool(given, 'fopen-keep-cache'));
  set('shortInodeNumbers', bool(given, 'enable-ino32'));
  set('writebackCache', bool(given, 'kernel-writeback-cache'));
  set('noRootSquash', bool(given, 'no-root-squash'));
  set('readdirplus', bool(given, 'use-readdirp'));
  set('autoInvalidation', bool(given, 'auto-invalidation'));
  set('maxBackground', whole(given, 'background-qlen'));
  set('congestionThreshold', whole(given, 'congestion-threshold'));
  set('timeGranularityNs', whole(given, 'attr-times-granularity'));
  set('lruLimit', whole(given, 'lru-limit'));
  const gidTimeout = seconds(given, 'gid-timeout');
  const words = (given.get('fuse-mountopts') ?? '').split(',').filter((word) => word !== '');
  const isValue = (word: string) => word.includes('=');
  const kernelFlags = words.filter((word) => !isValue(word) && word !== 'auto_unmount');
  if (given.has('read-only')) kernelFlags.push('ro');
  return {
    session: { ...defaultSessionOptions, ...session },
    kernelFlags,
    kernelOptions: words.filter(isValue),
    ...(gidTimeout === undefined ? {} : { gidTimeoutMs: gidTimeout * 1000 }),
  };
}

/** Options of GlusterFS that are taken and do nothing here; the log says so. */
const withoutEffect: readonly ProcessOptionName[] = [
  'mac-compat',
  'thin-client',
  'dump-fuse',
  'resolve-gids',
  'user-map-root',
  'event-history',
  'reader-thread-count',
  'io-engine',
  'client-pid',
  'secure-mgmt',
  'inode-table-size',
  'invalidate-limit',
  'volfile-check',
  'mem-accounting',
  'no-mem-accounting',
  'global-threading',
  'global-timer-wheel',
  'fuse-flush-handle-interrupt',
  'fuse-setlk-handle-interrupt',
  'fuse-handle-copy_file_range',
  'fuse-dev-eperm-ratelimit-ns',
  'logger',
  'log-format',
  'log-buf-size',
  'log-flush-timeout',
];

export function optionsWithoutEffect({ given }: ProcessArguments): readonly ProcessOptionName[] {
  return withoutEffect.filter((name) => given.has(name));
}

type Given = ProcessArguments['given'];

/** Fractions are allowed. */
function seconds(given: Given, name: ProcessOptionName): number | undefined {
  const text = given.get(name);
  if (text === undefined || text === null) return undefined;
  const value = Number(text);
  if (text.trim() !== '' && value >= 0 && value <= 2 ** 31) return value;
  throw new UsageError(`${name} '${text}': a number of seconds is expected`);
}

function whole(given: Given, name: ProcessOptionName): number | undefined {
  const text = given.get(name);
  if (text === undefined || text === null) return undefined;
  const value = Number(text);
  if (/^\d+$/.test(text) && value <= 2 ** 31) return value;
  throw new UsageError(`${name} '${text}': a whole number is expected`);
}

/** Given without a value it means yes. */
function bool(given: Given, name: ProcessOptionName): boolean | undefined {
  const text = given.get(name);
  if (text === undefined) return undefined;
  const value = text === null ? true : parseBool(text);
  if (value === undefined) throw new UsageError(`${name} '${text}': yes or no is expected`);
  return value;
}

function directIo(given: Given): SessionOptions['directIo'] | undefined {
  const text = given.get('direct-io-mode');
  if (text === undefined) return undefined;
  if (text === null) return 'enable';
  if (text === 'auto') return 'auto';
  const value = parseBool(text);
  if (value === undefined) throw new UsageError(`direct-io-mode '${text}': enable, disable or auto is expected`);
  return value ? 'enable' : 'disable';
}
