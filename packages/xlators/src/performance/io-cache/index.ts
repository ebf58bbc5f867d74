import type { OptionTable, OptionValues, XlatorInit, XlatorType } from '@mortar/core';
import { DataCache } from '../../lib/data-cache/data-cache.ts';
import type { CacheSettings } from '../../lib/data-cache/settings.ts';
import { options } from './options.ts';

type Values = OptionValues<typeof options>;

/** Keeps what was read. */
export class IoCache extends DataCache {
  constructor(init: XlatorInit<typeof options>) {
    super(init, settingsOf(init.options), 2 ** Math.floor(Math.log2(init.options['page-size'])));
  }

  protected override settings(values: OptionValues<OptionTable>): CacheSettings {
    return settingsOf(values as Values);
  }
}

function settingsOf(values: Values): CacheSettings {
  return {
    cacheBytes: values['cache-size'],
    timeoutMs: values['cache-timeout'] * 1000,
    minFileBytes: values['min-file-size'],
    maxFileBytes: values['max-file-size'],
    priority: values.priority,
    passThrough: values['pass-through'],
    reads: true,
    withOpenBytes: 0,
  };
}

export const xlator: XlatorType<typeof options> = {
  type: 'performance/io-cache',
  description: 'Keeps what was read, within a bound of bytes.',
  options,
  subvolumes: { min: 1, max: 1 },
  keeps: 'nothing',
  create: (init) => new IoCache(init),
};
