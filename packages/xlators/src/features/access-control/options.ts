import { option } from '@mortar/core';

export const options = {
  'super-uid': option.int('0', {
    min: 0,
    max: 4294967295,
    description: 'A user who is subject to no permissions, as root is.',
    live: false,
  }),
} as const;
