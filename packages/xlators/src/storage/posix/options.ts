import { option } from '@mortar/core';

/** GlusterFS's options of storage/posix, by its names and defaults. */
export const options = {
  directory: option.path({ description: 'The root directory of the brick.', live: false }),
  'volume-id': option.text('', {
    description: 'The id of the volume that the brick must belong to; without it any directory is served.',
    live: false,
  }),
  hostname: option.text('', { description: 'What pathinfo names as the host; by default the host name.', live: false }),
  'glusterd-uuid': option.text('', { description: 'Id of this machine among the peers.', live: false }),
  'node-uuid-pathinfo': option.bool('off', { description: 'Name the machine by its id in pathinfo.' }),
  reserve: option.percentOrSize('1', {
    description:
      'Space kept back for the file system itself, in percent or as a size; a number below 100 is taken as percent. ' +
      'Below it nothing may grow.',
  }),
  'health-check-interval': option.int('30', {
    description: 'Seconds between writes that tell whether the disk works; 0 turns them off.',
    min: 0,
  }),
  'health-check-timeout': option.int('20', {
    description: 'Seconds after which an unanswered check has failed; 0 waits for ever.',
    min: 0,
  }),
  'brick-uid': option.int('-1', { description: 'Owner that the root of the brick gets.', min: -1 }),
  'brick-gid': option.int('-1', { description: 'Group that the root of the brick gets.', min: -1 }),
  ctime: option.bool('on', {
    description: 'Show the times that all replicas agree on, kept in an extended attribute.',
  }),
  gfid2path: option.bool('on', { description: 'Record the names of a file on the file.' }),
  'gfid2path-separator': option.text(':', { description: 'What stands between paths in glusterfs.gfidtopath.' }),
  'build-pgfid': option.bool('off', {
    description: 'Record the parents of a file on the file.',
    aliases: ['update-link-count-parent'],
  }),
  'max-hardlinks': option.int('100', { description: 'Most names of a file; 0 means no limit.', min: 0 }),
  'shared-brick-count': option.int('1', {
    description: 'Bricks of the volume on this file system: each shows its part of the space.',
    min: 1,
  }),
  'create-mask': option.text('0777', { description: 'Permissions that new files may have, in octal.' }),
  'force-create-mode': option.text('0000', { description: 'Permissions that new files always have, in octal.' }),
  'create-directory-mask': option.text('0777', { description: 'Permissions that new directories may have, in octal.' }),
  'force-directory-mode': option.text('0000', {
    description: 'Permissions that new directories always have, in octal.',
  }),
  'janitor-sleep-duration': option.int('10', { description: 'Seconds between looks at the landfill.', min: 1 }),
  'disable-landfill-purge': option.bool('off', { description: 'Keep what was moved to the landfill.' }),
  'background-unlink': option.bool('off', {
    description: 'Large files are freed by the disk at once.',
    withoutEffect: true,
  }),
  'export-statfs-size': option.bool('on', { description: 'Show the sizes of the disk; off shows none.' }),
  'fips-mode-rchecksum': option.bool('off', { description: 'Checksums are always SHA-256.', withoutEffect: true }),
  'batch-fsync-mode': option.text('reverse-fsync', {
    description: 'Waiting syncs of a file always merge.',
    withoutEffect: true,
  }),
  'batch-fsync-delay-usec': option.int('0', {
    description: 'Waiting syncs of a file always merge.',
    withoutEffect: true,
  }),
  'linux-aio': option.bool('off', {
    description: 'Cached data is read at once, the rest by threads.',
    withoutEffect: true,
  }),
  'linux-io_uring': option.bool('off', {
    description: 'Cached data is read at once, the rest by threads.',
    withoutEffect: true,
  }),
  'o-direct': option.bool('off', { description: 'The page cache is always used.', withoutEffect: true }),
  'mandate-attribute': option.bool('on', {
    description: 'Extended attributes are always required.',
    withoutEffect: true,
  }),
  'xattr-user-namespace-mode': option.text('none', {
    description: 'Names of attributes are never changed.',
    withoutEffect: true,
  }),
} as const;
