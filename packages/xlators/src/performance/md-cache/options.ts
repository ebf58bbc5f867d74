import { option } from '@mortar/core';

export const options = {
  'md-cache': option.bool('off', { description: 'Whether the volume has this translator.', live: false }),
  'cache-selinux': option.bool('false', { description: 'Keep SELinux labels.' }),
  'cache-capability-xattrs': option.bool('true', { description: 'Keep capabilities.' }),
  'cache-ima-xattrs': option.bool('true', { description: "Keep the integrity measurement's hashes." }),
  'cache-swift-metadata': option.bool('false', { description: "Keep Swift's metadata." }),
  'cache-samba-metadata': option.bool('false', { description: "Keep Samba's metadata." }),
  'cache-posix-acl': option.bool('false', { description: 'Keep POSIX ACLs as the kernel stores them.' }),
  'cache-glusterfs-acl': option.bool('false', { description: 'Keep POSIX ACLs under their virtual names.' }),
  'md-cache-timeout': option.int('1', {
    description: 'Seconds for which attributes are believed without asking; 0: never.',
    min: 0,
    max: 600,
  }),
  'force-readdirp': option.bool('true', {
    description: 'List directories with attributes even if only names are wanted.',
  }),
  'list-ahead': option.bool('on', {
    description: 'List a directory with attributes when names of it are looked up one after the other.',
  }),
  'cache-invalidation': option.bool('false', {
    description: 'What bricks tell of changes is always heard.',
    withoutEffect: true,
  }),
  'global-cache-invalidation': option.bool('true', {
    description: 'Tell those above (the kernel too) when attributes turn out to have been changed by another client.',
  }),
  'md-cache-statfs': option.bool('off', { description: 'Keep the totals of the file system too.' }),
  'xattr-cache-list': option.text('', { description: 'More xattrs to keep, separated by commas.' }),
  'pass-through': option.bool('false', { description: 'Do nothing.' }),
} as const;
