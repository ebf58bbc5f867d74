import { option } from '@mortar/core';

export const options = {
  size: option.size('4GB', {
    description: 'How many bytes of file data the volume may hold; a write beyond it gets ENOSPC.',
    min: 4096,
    live: false,
  }),
};
