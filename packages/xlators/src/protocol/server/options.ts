import { option } from '@mortar/core';

export const options = {
  'transport-type': option.text('tcp', {
    description: 'How clients reach the brick: tcp, unix, or both. socket is tcp.',
    live: false,
  }),
  'transport.address-family': option.text('inet', { description: 'inet, inet6 or unix.', live: false }),
  'transport.socket.listen-port': option.int('24007', {
    description: 'TCP port to listen on; 0 takes a free one.',
    min: 0,
    max: 65535,
    aliases: ['listen-port', 'transport.listen-port'],
    live: false,
  }),
  'transport.socket.bind-address': option.address('', {
    description: 'Local address to listen on; by default all.',
    aliases: ['bind-address', 'transport.bind-address'],
    live: false,
  }),
  'transport.socket.listen-path': option.text('', {
    description: 'Unix socket to listen on beside TCP, for clients on this host.',
    aliases: ['listen-path'],
    live: false,
  }),
  'transport.listen-backlog': option.int('10', {
    description: "The system's own length is used.",
    withoutEffect: true,
  }),
  'transport.tcp-user-timeout': option.time('42', {
    description: 'Silent clients are found by pings (ping-timeout).',
    withoutEffect: true,
    max: 1013,
  }),
  'transport.*': option.text('', { description: 'Nothing reads it.', withoutEffect: true }),
  'volume-filename.*': option.text('', { description: 'Volfiles come from glusterd.', withoutEffect: true }),
  'inode-lru-limit': option.int('16384', {
    description: 'How many unused inodes the brick keeps in memory; taken by the process.',
    min: 0,
    max: 1048576,
  }),
  trace: option.bool('off', { description: 'debug/trace does this.', withoutEffect: true }),
  'config-directory': option.text('', {
    description: 'Volfiles come from glusterd.',
    withoutEffect: true,
    aliases: ['conf-dir'],
  }),
  'rpc-auth-allow-insecure': option.bool('on', {
    description: 'Whether clients may connect from ports above 1023.',
    aliases: ['allow-insecure'],
  }),
  'root-squash': option.bool('off', { description: 'Map requests of root to the anonymous user and group.' }),
  'all-squash': option.bool('off', { description: 'Map requests of everybody to the anonymous user and group.' }),
  anonuid: option.int('65534', { description: 'The anonymous user.', min: 0, max: 0xffffffff }),
  anongid: option.int('65534', { description: 'The anonymous group.', min: 0, max: 0xffffffff }),
  'statedump-path': option.text('/var/run/gluster', { description: 'Folder of state dumps; taken by the process.' }),
  'tcp-window-size': option.size('0', {
    description: 'The kernel sizes the windows of connections.',
    withoutEffect: true,
  }),
  'auth.addr.*.allow': option.addressRules('*', {
    description:
      'Addresses, patterns, networks or names of clients that may use the subvolume named by *; or directories with those that may use these: /home(10.0.0.*|node7),/(node8).',
    aliases: ['auth.allow'],
  }),
  'auth.addr.*.reject': option.addressList('', {
    description: 'Those that may not; goes before allow.',
    aliases: ['auth.reject'],
  }),
  'auth.login.*.allow': option.text('', { description: 'Users that may use the subvolume named by *.' }),
  'auth.login.*.password': option.text('', { description: 'Password of the user named by *.' }),
  'auth.login.*.ssl-allow': option.text('*', {
    description: 'Common names of certificates that may use the subvolume named by *; * is any of a trusted authority.',
  }),
  'ssl-allow': option.text('*', { description: 'The same, as volume set knows it.', aliases: ['auth.ssl-allow'] }),
  'auth-path': option.text('', {
    description: 'Path of the brick: the name under which clients ask for the first subvolume.',
    live: false,
  }),
  'rpc.outstanding-rpc-limit': option.int('64', {
    description: 'Requests of one client that run at a time; more wait. 0 sets no limit.',
    min: 0,
    max: 65536,
  }),
  'manage-gids': option.bool('off', {
    description: 'Use the supplementary groups that users have on this host, whatever the client says; root has none.',
  }),
  'gid-timeout': option.int('300', {
    description: 'Seconds after which manage-gids looks up the groups of a user again; 0: for each request.',
    min: 0,
  }),
  'event-threads': option.int('2', {
    description: 'A process is one event loop.',
    withoutEffect: true,
    min: 1,
    max: 1024,
  }),
  'dynamic-auth': option.bool('on', {
    description: 'Whether clients that are no longer allowed are disconnected when the options change.',
  }),
  'strict-auth-accept': option.bool('off', { description: 'Accept clients with user and password only.' }),
  'grace-timeout': option.time('10', {
    description: "How long a disconnected client's open files and locks are kept for it.",
    min: 0,
    max: 3600,
    live: false,
  }),
  'silent-holder-timeout': option.time('0', {
    description:
      'Seconds after which a client that gives no sign of life loses a lease (of replicate) that others wait for; 0: only when its session ends.',
    min: 0,
    max: 1013,
  }),
  'ping-timeout': option.time('42', {
    description: 'A client silent for longer is disconnected; 0 disables.',
    min: 0,
    max: 1013,
    live: false,
  }),
} as const;
