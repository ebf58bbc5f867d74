import { option } from '@mortar/core';

export const options = {
  'read-only': option.bool('off', {
    description: 'Refuse with EROFS whatever would change the volume, except by the volume itself (heal, rebalance).',
  }),
} as const;
