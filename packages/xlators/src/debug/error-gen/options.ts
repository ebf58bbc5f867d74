import { Errno, option } from '@mortar/core';

/** A write that is carried out by half. */
export const shortWrite = 'GF_ERROR_SHORT_WRITE';

export const options = {
  failure: option.percent('10', { description: 'Share of operations that fail.' }),
  'error-no': option.choice(['', shortWrite, ...(Object.keys(Errno) as (keyof typeof Errno)[])], '', {
    description: 'The error they fail with; default: one that the operation can have, by chance.',
  }),
  'random-failure': option.bool('off', {
    description: 'Fail at intervals of 3 to 44 operations instead of each with the same chance.',
  }),
  enable: option.text('', {
    description: 'Fops that may fail, separated by commas; default: all.',
    aliases: ['error-fops'],
  }),
} as const;
