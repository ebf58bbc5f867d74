import { option } from '@mortar/core';
import { tlsOptions } from '../../lib/options-tls.ts';

export const options = {
  username: option.text('', {
    description: "User of the trusted volfile; a brick's auth.login names it.",
    live: false,
  }),
  password: option.text('', { description: 'Password of that user.', live: false }),
  'transport-type': option.text('tcp', {
    description: 'tcp (or socket), or unix with transport.socket.connect-path.',
    live: false,
  }),
  'transport.address-family': option.text('inet', { description: 'The address says it.', withoutEffect: true }),
  'remote-host': option.address('', { description: 'Host of the brick.', live: false }),
  'remote-port': option.int('0', {
    description: 'Port of the brick; 0 asks glusterd on the host.',
    min: 0,
    max: 65535,
    aliases: ['transport.remote-port'],
    live: false,
  }),
  'remote-subvolume': option.text('', {
    description: 'Name of the subvolume there: the path of the brick.',
    live: false,
  }),
  'transport.socket.connect-path': option.text('', {
    description: 'Unix socket of the brick, instead of host and port.',
    aliases: ['connect-path', 'transport.connect-path'],
    live: false,
  }),
  'volume-id': option.text('', { description: 'The volume that the brick must belong to.', live: false }),
  'subdir-mount': option.text('', {
    description:
      'Directory of the volume that is used, for bricks whose auth.allow names directories. Mounts set it by themselves.',
    live: false,
  }),
  placement: option.text('', {
    description:
      'Digest of where the files of the volume are in this graph, told to the brick. Processes set it by themselves.',
    live: false,
  }),
  'placement-version': option.int('0', {
    description: 'The version of the volume that this graph was made of. Processes set it by themselves.',
    min: 0,
  }),
  'frame-timeout': option.time('1800', {
    description: 'A request that takes longer fails with ETIMEDOUT; 0 disables. Locks that wait are exempt.',
    min: 0,
    max: 86400,
    aliases: ['rpc-timeout'],
  }),
  'ping-timeout': option.time('42', {
    description: 'A brick silent for longer is taken to be down; 0 disables.',
    min: 0,
    max: 1013,
  }),
  'filter-O_DIRECT': option.bool('disable', {
    description: 'Open files on the brick without O_DIRECT whatever the program asked for.',
  }),
  'send-gids': option.bool('on', { description: 'Send the supplementary groups of who asks.' }),
  'strict-locks': option.bool('off', {
    description: 'Do not open files anew after the session was lost: their locks are gone.',
  }),
  'client-bind-insecure': option.bool('on', { description: 'Clients connect from any port.', withoutEffect: true }),
  'tcp-window-size': option.size('0', {
    description: 'The kernel sizes the windows of connections.',
    withoutEffect: true,
  }),
  'event-threads': option.int('2', {
    description: 'A process is one event loop.',
    withoutEffect: true,
    min: 1,
    max: 32,
  }),
  'testing.old-protocol': option.bool('off', { description: 'There is one protocol.', withoutEffect: true }),
  ...tlsOptions,
  'transport.*': option.text('', { description: 'Nothing reads it.', withoutEffect: true }),
} as const;
