import { option } from '@mortar/core';

export const options = {
  barrier: option.bool('disable', {
    description:
      'Hold back the replies of operations whose completion a client may rely on, for a consistent snapshot.',
  }),
  'barrier-timeout': option.time('120', {
    min: 0,
    max: 360,
    description: 'After this long the barrier opens by itself, so that a lost command cannot stop the volume.',
  }),
} as const;
