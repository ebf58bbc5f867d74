import type { OptionTable, OptionValues, XlatorInit, XlatorType } from '@mortar/core';
import { DataCache } from '../../lib/data-cache/data-cache.ts';
import type { CacheSettings } from '../../lib/data-cache/settings.ts';
import { options } from './options.ts';

type Values = OptionValues<typeof options>;

/** All that a small file holds is one page. */
const pageBytes = 2 ** 20;

/** Has small files come with their open, and serves reads of them from that. */
export class QuickRead extends DataCache {
  constructor(init: XlatorInit<typeof options>) {
    super(init, settingsOf(init.options), pageBytes);
  }

  protected override settings(values: OptionValues<OptionTable>): CacheSettings {
    return settingsOf(values as Values);
  }
}

function settingsOf(values: Values): CacheSettings {
  return {
    cacheBytes: values['cache-size'],
    timeoutMs: values['cache-timeout'] * 1000,
    minFileBytes: 0,
    maxFileBytes: values['max-file-size'],
    priority: values.priority,
    passThrough: values['pass-through'],
    reads: false,
    withOpenBytes: Math.min(values['max-file-size'], values['cache-size']),
  };
}

export const xlator: XlatorType<typeof options> = {
  type: 'performance/quick-read',
  description: 'Has small files come with their open.',
  options,
  subvolumes: { min: 1, max: 1 },
  keeps: 'nothing',
  create: (init) => new QuickRead(init),
};
