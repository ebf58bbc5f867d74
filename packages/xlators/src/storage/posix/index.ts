import { stances, type XlatorType } from '@mortar/core';
import { options } from './options.ts';
import { PosixXlator } from './xlator.ts';

export const xlator: XlatorType<typeof options> = {
  type: 'storage/posix',
  description: 'Keeps a brick in a directory of a local file system, in the on-disk format of GlusterFS.',
  options,
  subvolumes: { min: 0, max: 0 },
  keeps: 'nothing',
  // What it lacks (locks, leases, ipc) it refuses: there is nothing below it.
  fops: stances('refuses', {}),
  create: (init) => new PosixXlator(init),
};

export { PosixStore } from './store.ts';
export { PosixXlator };
