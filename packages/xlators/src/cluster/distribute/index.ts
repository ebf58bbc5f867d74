/** cluster/distribute: each file on one of several subvolumes, found by the hash of its name (docs/distribute.md). */
import type { XlatorType } from '@mortar/core';
import { Distribute } from './distribute.ts';
import { fopRecord } from './handlers.ts';
import { options } from './options.ts';

export const xlator: XlatorType<typeof options> = {
  type: 'cluster/distribute',
  description: 'Spreads the files of a volume over its subvolumes by the hash of their names.',
  options,
  subvolumes: { min: 1, max: 8192 },
  keeps: 'nothing',
  fops: fopRecord,
  create: (init) => new Distribute(init),
};
