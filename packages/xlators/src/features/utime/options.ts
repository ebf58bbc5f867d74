import { option } from '@mortar/core';

export const options = {
  noatime: option.bool('on', { description: 'Reading does not change the time of last access.' }),
} as const;
