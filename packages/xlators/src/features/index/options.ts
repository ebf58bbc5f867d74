import { option } from '@mortar/core';

export const options = {
  'index-base': option.path({
    description: 'The directory of the index: BRICK/.glusterfs/indices. Its parent must exist.',
    live: false,
  }),
  'xattrop-pending-watchlist': option.text('', {
    description:
      'Comma-separated beginnings of xattr names. A file on which one of these is not all zero stands in the index "xattrop".',
    live: false,
  }),
  'xattrop-dirty-watchlist': option.text('trusted.afr.dirty', {
    description:
      'Comma-separated xattr names. A file on which one of these is not all zero stands in the index "dirty".',
    live: false,
  }),
  'xattrop64-watchlist': option.text('trusted.ec.dirty', {
    description: 'Comma-separated xattr names, of 64-bit counters, that put a file into the index "xattrop" as well.',
    live: false,
  }),
} as const;
