import { option } from '@mortar/core';

export const options = {
  'cache-invalidation': option.bool('off', {
    description: 'Tell clients that have looked at a file lately when another client changes it.',
  }),
  'cache-invalidation-timeout': option.int('60', {
    min: 0,
    max: 600,
    description: 'For how many seconds after it looked at a file a client is told.',
  }),
} as const;
