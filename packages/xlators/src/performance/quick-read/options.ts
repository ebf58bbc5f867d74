import { option } from '@mortar/core';

export const options = {
  'quick-read': option.bool('off', { description: 'Whether the volume has this translator.', live: false }),
  priority: option.text('', {
    description:
      'Which files are kept longer, as in *.jpg:1,*.html:2 (the last pattern that fits counts; files that fit none have 0). The lower number is given up first.',
  }),
  'cache-size': option.size('128MB', { description: 'Bytes kept, over all files.' }),
  'cache-timeout': option.int('1', {
    description: 'Seconds for which the contents of an open file are believed without asking whether it was changed.',
    min: 0,
  }),
  'max-file-size': option.size('64KB', {
    description: 'Files of at most this size come with their open.',
    max: 1_024_000,
  }),
  'quick-read-cache-invalidation': option.bool('false', {
    description: 'What bricks tell of changes always ends what is kept.',
    withoutEffect: true,
  }),
  'ctime-invalidation': option.bool('false', {
    description: 'A changed ctime always ends what is kept.',
    withoutEffect: true,
  }),
  'read-delegations': option.bool('on', {
    description:
      'Have bricks ask before another client changes a file that was opened here, and open it again without them until they do.',
  }),
  'pass-through': option.bool('false', { description: 'Do nothing.' }),
} as const;
