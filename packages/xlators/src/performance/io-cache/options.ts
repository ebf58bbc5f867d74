import { option } from '@mortar/core';

const mib = 2 ** 20;

export const options = {
  'io-cache': option.bool('off', { description: 'Whether the volume has this translator.', live: false }),
  priority: option.text('', {
    description:
      'Which files are kept longer, as in *.jpg:1,*.html:2 (the last pattern that fits counts; files that fit none have 0). The lower number is given up first.',
  }),
  'cache-timeout': option.int('1', {
    description:
      'Seconds for which cached data is believed without asking whether the file was changed; 0: always ask.',
    min: 0,
    max: 60,
    aliases: ['force-revalidate-timeout'],
  }),
  'cache-size': option.size('32MB', { description: 'Bytes kept, over all files.', min: 4 * mib }),
  'min-file-size': option.size('0', { description: 'Files smaller than this are not cached.' }),
  'max-file-size': option.size('0', { description: 'Files larger than this are not cached; 0: no limit.' }),
  'page-size': option.size('128KB', {
    description: 'Bytes that are read and kept together, rounded down to a power of two.',
    min: 4096,
    max: mib,
    live: false,
  }),
  'pass-through': option.bool('false', { description: 'Do nothing.' }),
} as const;
