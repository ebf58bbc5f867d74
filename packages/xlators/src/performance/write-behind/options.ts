import { option } from '@mortar/core';

const kib = 1024;
const mib = 2 ** 20;

export const options = {
  'write-behind': option.bool('off', { description: 'Whether the volume has this translator.', live: false }),
  'answer-ahead': option.bool('off', {
    description:
      'Writes are answered before the bricks have them. What was answered, and not closed or synced, is then lost with the client.',
  }),
  'cache-size': option.size('1MB', {
    description: 'Bytes of a file that are answered before they are on the bricks.',
    min: 512 * kib,
    max: 1024 * mib,
    aliases: ['window-size'],
  }),
  'aggregate-size': option.size('128KB', {
    description: 'Writes that continue one another are sent as one of at most so many bytes.',
    min: 4 * kib,
    max: mib,
  }),
  'flush-behind': option.bool('off', {
    description: 'close(2) does not wait for what was written: an error that comes later is only in the log.',
  }),
  'trickling-writes': option.bool('on', {
    description:
      'A small write is sent at once while no other of its file is under way; off: it waits for more, up to a second.',
    aliases: ['enable-trickling-writes'],
  }),
  'strict-write-ordering': option.bool('off', { description: 'The writes of a file are sent one after the other.' }),
  'strict-O_DIRECT': option.bool('off', {
    description: 'Writes of files that are open with O_DIRECT are answered when they are on the bricks.',
  }),
  'resync-failed-syncs-after-fsync': option.bool('off', {
    description: 'What failed is told, and not tried again.',
    withoutEffect: true,
  }),
  'pass-through': option.bool('false', { description: 'Nothing is answered ahead.' }),
} as const;
