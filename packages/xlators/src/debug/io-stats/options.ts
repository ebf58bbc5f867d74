import { option } from '@mortar/core';

const levels = ['DEBUG', 'WARNING', 'ERROR', 'INFO', 'CRITICAL', 'NONE', 'TRACE'] as const;
const sysLevels = ['WARNING', 'ERROR', 'INFO', 'CRITICAL'] as const;

/** Why options have no effect. */
const samples = { description: 'Statistics are had by volume profile and as metrics.', withoutEffect: true };
const systemLog = { description: 'Logs go to files, not to the system log.', withoutEffect: true };
const form = { description: 'Lines have one form.', withoutEffect: true };
const buffer = { description: 'Lines are written at once, each.', withoutEffect: true };
const threading = { description: 'A process is one event loop.', withoutEffect: true };

export const options = {
  'dump-fd-stats': option.bool('off', { description: 'volume top tells of files.', withoutEffect: true }),
  'ios-dump-interval': option.int('0', { ...samples, min: 0, max: 3600 }),
  'ios-sample-interval': option.int('0', { ...samples, min: 0, max: 65535 }),
  'ios-dump-format': option.choice(['text', 'json', 'dict', 'samples'], 'json', samples),
  'ios-sample-buf-size': option.int('65535', { ...samples, min: 1024, max: 1048576 }),
  'ios-dnscache-ttl-sec': option.int('86400', { ...samples, min: 1, max: 259200 }),
  'latency-measurement': option.bool('off', { description: 'Measure how long each operation takes.' }),
  'count-fop-hits': option.bool('off', { description: 'Count operations and the sizes of reads and writes.' }),
  'log-level': option.choice(['', ...levels], '', { description: "The process's log level." }),
  'client-log-level': option.choice(levels, 'INFO', { description: 'Log level of clients.' }),
  'brick-log-level': option.choice(levels, 'INFO', { description: 'Log level of bricks.' }),
  'sys-log-level': option.choice(sysLevels, 'CRITICAL', systemLog),
  logger: option.text('', systemLog),
  'client-logger': option.text('', systemLog),
  'brick-logger': option.text('', systemLog),
  'log-format': option.text('', form),
  'client-log-format': option.text('', form),
  'brick-log-format': option.text('', form),
  'log-buf-size': option.int('5', { ...buffer, min: 0, max: 20 }),
  'client-log-buf-size': option.int('5', { ...buffer, min: 0, max: 20 }),
  'brick-log-buf-size': option.int('5', { ...buffer, min: 0, max: 20 }),
  'log-flush-timeout': option.time('120', { ...buffer, min: 30, max: 300 }),
  'client-log-flush-timeout': option.time('120', { ...buffer, min: 30, max: 300 }),
  'brick-log-flush-timeout': option.time('120', { ...buffer, min: 30, max: 300 }),
  'unique-id': option.text('/no/such/path', { description: 'Brick path: names the statistics.', live: false }),
  'global-threading': option.bool('off', { ...threading, live: false }),
  threads: option.int('0', { ...threading, min: 0, live: false }),
  'brick-threads': option.int('16', { ...threading, min: 0, max: 64 }),
  'client-threads': option.int('16', { ...threading, min: 0, max: 64 }),
  'volume-id': option.text('', { description: 'UUID of the volume.', live: false }),
} as const;
