import { option } from '@mortar/core';

export const options = {
  'mandatory-locking': option.choice(['off', 'file', 'forced', 'optimal'] as const, 'off', {
    description:
      'Whether byte-range locks bind those who do not ask for them: of no file (off), of files with set-gid and without group execution (file), of all (forced), or only locks that ask for it, which fcntl(2) cannot (optimal).',
  }),
  'enforce-mandatory-lock': option.bool('off', {
    description:
      'With mandatory-locking: a file with the xattr trusted.glusterfs.enforce-mandatory-lock is read and changed only by who holds a lock there.',
  }),
  trace: option.bool('off', { description: 'Log each request for a lock.' }),
  'monkey-unlocking': option.bool('off', {
    description: 'For tests of lock revocation: about one unlock request in a hundred is answered but not done.',
  }),
  'revocation-secs': option.int('0', {
    min: 0,
    max: 2147483647,
    description:
      'An internal lock that is older than this many seconds is taken away when somebody else asks for it. 0: never.',
  }),
  'revocation-clear-all': option.bool('off', {
    description: 'When a lock is taken away, refuse those who wait for it as well.',
  }),
  'revocation-max-blocked': option.int('0', {
    min: 0,
    max: 2147483647,
    description: 'An internal lock for which this many requests wait is taken away. 0: never.',
  }),
  'notify-contention': option.bool('yes', {
    description: 'Tell the holder of an internal lock that somebody else asks for it, so that it can let go early.',
  }),
  'notify-contention-delay': option.int('5', {
    min: 0,
    max: 60,
    description: 'Seconds between two such notices about one lock. 0: one for every request.',
  }),
} as const;
