import { option } from '@mortar/core';

export const options = {
  timeout: option.int('1', {
    description: 'Seconds for which the bricks are believed what a caller may do; 0: they are asked each time.',
    min: 0,
    max: 600,
  }),
} as const;
