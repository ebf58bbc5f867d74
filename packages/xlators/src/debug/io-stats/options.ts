import { option } from '@mortar/core';

const levels = ['DEBUG', 'WARNING', 'ERROR', 'INFO', 'CRITICAL', 'NONE', 'TRACE'] as const;
const sysLevels = ['WARNING', 'ERROR', 'INFO', 'CRITICAL'] as const;
const loggers = 'gluster-log or syslog';

export const options = {
  'dump-fd-stats': option.bool('off', {
    description: 'Log what was read and written through each file when it is closed.',
  }),
  'ios-dump-interval': option.int('0', {
    description: 'Seconds between dumps of the statistics; 0: never.',
    min: 0,
    max: 3600,
  }),
  'ios-sample-interval': option.int('0', {
    description: 'Keep every n-th operation as a sample; 0: none.',
    min: 0,
    max: 65535,
  }),
  'ios-dump-format': option.choice(['text', 'json', 'dict', 'samples'], 'json', { description: 'Form of the dumps.' }),
  'ios-sample-buf-size': option.int('65535', { description: 'Samples kept.', min: 1024, max: 1048576 }),
  'ios-dnscache-ttl-sec': option.int('86400', {
    description: 'Seconds for which host names in samples are kept.',
    min: 1,
    max: 259200,
  }),
  'latency-measurement': option.bool('off', { description: 'Measure how long each operation takes.' }),
  'count-fop-hits': option.bool('off', { description: 'Count operations and the sizes of reads and writes.' }),
  'log-level': option.choice(['', ...levels], '', { description: "The process's log level." }),
  'client-log-level': option.choice(levels, 'INFO', { description: 'Log level of clients.' }),
  'brick-log-level': option.choice(levels, 'INFO', { description: 'Log level of bricks.' }),
  'sys-log-level': option.choice(sysLevels, 'CRITICAL', { description: 'What goes to the system log as well.' }),
  logger: option.text('', { description: `Where the log goes: ${loggers}.` }),
  'client-logger': option.text('', { description: `Where the log of clients goes: ${loggers}.` }),
  'brick-logger': option.text('', { description: `Where the log of bricks goes: ${loggers}.` }),
  'log-format': option.text('', { description: 'no-msg-id or with-msg-id.' }),
  'client-log-format': option.text('', { description: 'no-msg-id or with-msg-id, for clients.' }),
  'brick-log-format': option.text('', { description: 'no-msg-id or with-msg-id, for bricks.' }),
  'log-buf-size': option.int('5', { description: 'Equal lines that are told once.', min: 0, max: 20 }),
  'client-log-buf-size': option.int('5', { description: 'As log-buf-size, for clients.', min: 0, max: 20 }),
  'brick-log-buf-size': option.int('5', { description: 'As log-buf-size, for bricks.', min: 0, max: 20 }),
  'log-flush-timeout': option.time('120', {
    description: 'Seconds after which lines held back are written.',
    min: 30,
    max: 300,
  }),
  'client-log-flush-timeout': option.time('120', {
    description: 'As log-flush-timeout, for clients.',
    min: 30,
    max: 300,
  }),
  'brick-log-flush-timeout': option.time('120', {
    description: 'As log-flush-timeout, for bricks.',
    min: 30,
    max: 300,
  }),
  'unique-id': option.text('/no/such/path', { description: 'Brick path: names the statistics.', live: false }),
  'global-threading': option.bool('off', {
    description: 'Accepted for old volfiles; a process is one event loop.',
    live: false,
  }),
  threads: option.int('0', { description: 'Accepted for old volfiles.', min: 0, live: false }),
  'brick-threads': option.int('16', { description: 'Accepted for old volfiles.', min: 0, max: 64 }),
  'client-threads': option.int('16', { description: 'Accepted for old volfiles.', min: 0, max: 64 }),
  'volume-id': option.text('', { description: 'UUID of the volume.', live: false }),
} as const;
