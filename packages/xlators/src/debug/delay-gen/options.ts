import { option } from '@mortar/core';

export const options = {
  'delay-percentage': option.percent('10%', { description: 'Share of operations that are delayed.' }),
  'delay-duration': option.int('100000', {
    description: 'Length of a delay in microseconds.',
    min: 0,
    max: 0xffffffff,
  }),
  enable: option.text('', { description: 'Fops that may be delayed, separated by commas; default: all.' }),
} as const;
