import { option } from '@mortar/core';

const threads = (defaultText: string, description: string) => option.int(defaultText, { min: 1, max: 64, description });

export const options = {
  'thread-count': threads('16', 'How many calls may be off the event loop at once.'),
  'high-prio-threads': threads('16', 'Of these, how many may be of high priority: lookups, opens, attributes.'),
  'normal-prio-threads': threads('16', 'Of these, how many may be of normal priority: names, xattrs, locks.'),
  'low-prio-threads': threads('16', 'Of these, how many may be of low priority: data.'),
  'least-prio-threads': threads('1', 'Of these, how many may be of least priority: heal and rebalance.'),
  'enable-least-priority': option.bool('on', {
    description: 'Whether calls of heal and rebalance have least priority; else that of their kind.',
  }),
  'idle-time': option.int('120', {
    min: 1,
    max: 0x7fffffff,
    description: 'Threads are shared by the process and cost nothing while idle.',
    withoutEffect: true,
  }),
  'watchdog-secs': option.int('0', {
    min: 0,
    description: 'A call that has been off the event loop for so many seconds is logged. 0: never.',
  }),
  'cleanup-disconnected-reqs': option.bool('off', {
    description: 'Refuse with ENOTCONN the queued calls of a client whose session ended.',
  }),
  'pass-through': option.bool('false', { description: 'Decide nothing: all calls run where they would anyway.' }),
} as const;
