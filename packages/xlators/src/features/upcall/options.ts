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
  'delegation-timeout': option.int('1', {
    min: 0,
    max: 2,
    description:
      'For how many seconds a client that opens a file may be promised to be asked before another changes it; 0: never. Who changes a file waits no longer than that for a client that does not answer.',
  }),
  'delegation-rest': option.int('10', {
    min: 0,
    max: 600,
    description:
      'For how many seconds nobody is promised to be asked about a file after somebody had to be: who changes what others read all the time does not wait for them each time.',
  }),
} as const;
