import { option } from '@mortar/core';

export const options = {
  'afr-pending-xattr': option.text('', {
    description:
      'Names of the changelog xattrs, one a child in order, comma separated; by default the names of the children.',
    live: false,
  }),
  'volume-id': option.text('', {
    description: 'UUID of the volume; names the directory in which heal parks objects.',
    live: false,
  }),
  'arbiter-count': option.int('0', {
    description: 'Whether the last child holds names and metadata only.',
    min: 0,
    max: 1,
    live: false,
  }),
  'quorum-type': option.choice(['none', 'auto', 'fixed', ''], '', {
    description:
      'How many replicas must take part in a change: none, more than half, or quorum-count. Default: auto for three and more replicas.',
  }),
  'quorum-count': option.int('0', { description: 'For quorum-type fixed.', min: 0, max: 2147483647 }),
  'quorum-reads': option.bool('no', { description: 'Without a quorum nothing is read.', withoutEffect: true }),
  'choose-local': option.bool('true', { description: 'Prefer a replica on this host for reading.' }),
  'read-subvolume': option.text('', { description: 'Name of the child to read from when it is clean.' }),
  'read-subvolume-index': option.int('-1', {
    description: 'Number of the child to read from when it is clean.',
    min: -1,
  }),
  'read-hash-mode': option.int('1', {
    description:
      '0: first clean child; 1: by hash of the gfid; 2: by hash of gfid and client; 3: fewest outstanding reads; 4: lowest latency; 5: both.',
    min: 0,
    max: 5,
  }),
  'favorite-child-policy': option.choice(['none', 'size', 'ctime', 'mtime', 'majority'], 'none', {
    description: 'Which copy wins a split-brain without asking.',
  }),
  'eager-lock': option.bool('on', {
    description: 'Keep the lease on a file or directory between operations until another client wants it.',
  }),
  'post-op-delay-secs': option.time('1', {
    description:
      'How long an idle lease is kept. Not set: 0.1 s, or, where pauses between changes are longer, as long as those give reason for, up to a second.',
    min: 0,
    max: 2147483647,
  }),
  'laggard-timeout': option.time('3', {
    description:
      'Seconds after which a child that does not answer while more than half do is left out, to be healed later; 0: never.',
    min: 0,
    max: 1013,
  }),
  'ensure-durability': option.bool('on', {
    description: 'Sync data to the disks before the mark that says it may differ is taken off.',
  }),
  'data-self-heal': option.choice(
    ['on', 'off', 'open', 'yes', 'no', 'enable', 'disable', 'true', 'false', '1', '0'],
    'off',
    { description: 'Heal data from the mount.' },
  ),
  'metadata-self-heal': option.bool('off', { description: 'Heal metadata from the mount.' }),
  'entry-self-heal': option.bool('off', { description: 'Heal directories from the mount.' }),
  'data-self-heal-algorithm': option.choice(['full', 'diff', 'reset', ''], '', {
    description: 'full: copy everything; diff: only blocks whose checksums differ. Default: diff if the sink has data.',
  }),
  'data-self-heal-window-size': option.int('8', {
    description: 'Blocks of 128 KiB that are healed under one lock.',
    min: 1,
    max: 1024,
    aliases: ['self-heal-window-size'],
  }),
  'background-self-heal-count': option.int('8', {
    description: 'Heals that run at once from a mount.',
    min: 0,
    max: 256,
  }),
  'heal-wait-queue-length': option.int('128', { description: 'Heals that may wait in a mount.', min: 0, max: 10000 }),
  'heal-timeout': option.time('600', {
    description: 'Seconds between crawls of the index by the heal daemon.',
    min: 5,
    max: 2147483647,
  }),
  'shd-max-threads': option.int('1', {
    description: 'Files that the heal daemon heals at once, for each brick.',
    min: 1,
    max: 64,
  }),
  'shd-wait-qlength': option.int('1024', { description: 'Entries that wait in the heal daemon.', min: 1, max: 655536 }),
  'self-heal-daemon': option.bool('on', { description: 'Whether the heal daemon heals this set.' }),
  'iam-self-heal-daemon': option.bool('no', { description: 'Set in the heal daemon.', live: false }),
  'granular-entry-heal': option.bool('no', {
    description: 'Record the names that a replica missed, not only that it missed some.',
  }),
  'use-anonymous-inode': option.bool('no', {
    description: 'Park what heal removes until it is known that it was not renamed.',
  }),
  'use-compound-fops': option.bool('no', {
    description: 'Operations always travel together.',
    withoutEffect: true,
  }),
  'consistent-metadata': option.bool('no', {
    description: 'Attributes always come from replicas that are right.',
    withoutEffect: true,
  }),
  'halo-enabled': option.bool('no', {
    description: 'Latency-bounded replication is not offered.',
    withoutEffect: true,
  }),
  'metadata-splitbrain-forced-heal': option.bool('off', {
    description: 'favorite-child-policy or a person decides.',
    withoutEffect: true,
  }),
  'strict-readdir': option.bool('off', { description: 'Listings are the same on every replica.', withoutEffect: true }),
  'locks-heal': option.bool('off', {
    description: 'Locks are claimed again after a reconnection.',
    withoutEffect: true,
  }),
  'node-uuid': option.text('', { description: 'UUID of this node, given to the heal daemon.' }),
} as const;
