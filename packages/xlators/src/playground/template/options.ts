import { option } from '@mortar/core';

export const options = {
  dummy: option.int('1', {
    description: 'A number that is shown in the state dump and has no effect.',
    min: 1,
    max: 1024,
  }),
} as const;
