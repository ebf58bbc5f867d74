import { option } from '@mortar/core';

export const options = {
  'include-ops': option.text('', { description: 'Trace only these fops, separated by commas.', aliases: ['include'] }),
  'exclude-ops': option.text('', { description: 'Trace all fops but these.', aliases: ['exclude'] }),
  'history-size': option.size('1024', {
    description: 'Lines that are kept in memory for the state dump.',
    min: 1,
    max: 1048576,
  }),
  'log-file': option.bool('no', { description: 'Write each operation and its reply to the log.' }),
  'log-history': option.bool('no', { description: 'Keep the latest operations in memory for the state dump.' }),
} as const;
